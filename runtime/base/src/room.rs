//! A bounded number of bytes for one purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for so many bytes. Copies share it.
#[derive(Debug, Clone)]
pub struct Room(Arc<AtomicUsize>);

/// Some of the bytes of a [`Room`]; they are free again when this is dropped.
#[derive(Debug)]
pub struct Share {
    room: Room,
    bytes: usize,
}

impl Room {
    /// Room for `most` bytes.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(most)))
    }

    /// Takes so many bytes, if they are free.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        let mut share = self.share();
        share.grow_to(bytes).then_some(share)
    }

    /// A share that has none of the bytes yet.
    pub fn share(&self) -> Share {
        Share { room: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Takes what is missing to so many bytes; false if that is not free.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let taken =
            self.room.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(more)).is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_free_again() {
        let room = Room::new(100);
        let mut share = room.take(60).unwrap();
        assert!(room.take(41).is_none());
        assert!(share.grow_to(100) && share.grow_to(50), "it grows, and never shrinks");
        assert!(!share.grow_to(101));
        assert!(room.take(1).is_none());
        drop(share);
        assert!(room.take(101).is_none());
        assert!(room.take(100).is_some());
    }
}
