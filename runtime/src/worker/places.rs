//! A bounded number of things at once.

use std::cell::Cell;

/// Room for so many.
#[derive(Debug)]
pub struct Places {
    free: Cell<usize>,
}

/// One of them; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place<'p>(&'p Places);

impl Places {
    /// Room for `most`.
    pub const fn new(most: usize) -> Self {
        Self { free: Cell::new(most) }
    }

    /// Takes a place, if one is free.
    pub fn enter(&self) -> Option<Place<'_>> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again() {
        let places = Places::new(1);
        let place = places.enter().unwrap();
        assert!(places.enter().is_none());
        drop(place);
        assert!(places.enter().is_some());
    }
}
