//! A bounded number of things at once.

use std::cell::Cell;

/// Room for so many.
#[derive(Debug)]
pub struct Permits {
    taken: Cell<usize>,
    most: Cell<usize>,
}

/// One of them; it is free again when this is dropped.
#[derive(Debug)]
pub struct Permit<'p>(&'p Permits);

impl Permits {
    /// Room for `most`.
    pub const fn new(most: usize) -> Self {
        Self { taken: Cell::new(0), most: Cell::new(most) }
    }

    /// Makes room for `most` from now on; places that are taken stay so.
    pub fn set_most(&self, most: usize) {
        self.most.set(most);
    }

    /// Takes a place, if one is free.
    pub fn enter(&self) -> Option<Permit<'_>> {
        let taken = self.taken.get();
        if taken >= self.most.get() {
            return None;
        }
        self.taken.set(taken + 1);
        Some(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get().saturating_sub(1));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again() {
        let places = Permits::new(1);
        let place = places.enter().unwrap();
        assert!(places.enter().is_none());
        drop(place);
        assert!(places.enter().is_some());
    }

    #[test]
    fn less_room_counts_what_is_taken() {
        let places = Permits::new(3);
        let (_one, two) = (places.enter().unwrap(), places.enter().unwrap());
        places.set_most(1);
        assert!(places.enter().is_none());
        drop(two);
        assert!(places.enter().is_none(), "one is taken still");
        places.set_most(2);
        assert!(places.enter().is_some());
    }
}
