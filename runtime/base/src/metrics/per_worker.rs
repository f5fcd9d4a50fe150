//! The cells of each worker for one thing that is counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::histogram::{Histogram, HistogramRead};
use super::names::Held;

/// Cells of each worker, made when the worker first asks. A worker asks once and keeps them; nobody else writes them.
#[derive(Debug)]
pub struct PerWorker<C>(Mutex<Vec<Option<Arc<C>>>>);

impl<C> Default for PerWorker<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> PerWorker<C> {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Arc<C>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cells of a worker. The same over reloads.
    pub fn of(&self, worker: u16) -> Arc<C>
    where
        C: Default,
    {
        let mut all = self.lock();
        let at = usize::from(worker);
        if all.len() <= at {
            all.resize_with(at + 1, || None);
        }
        match all.get_mut(at) {
            Some(cells) => Arc::clone(cells.get_or_insert_default()),
            // It was made just now.
            None => Arc::default(),
        }
    }

    /// Reads the cells of all workers, one after the other. The lock is held while a few pointers are copied.
    pub fn each(&self, mut read: impl FnMut(&C)) {
        let all = self.lock().clone();
        all.iter().flatten().for_each(|cells| read(cells));
    }

    /// The sum of what is read of all workers.
    pub fn sum(&self, read: impl Fn(&C) -> u64) -> u64 {
        let mut sum = 0_u64;
        self.each(|cells| sum = sum.wrapping_add(read(cells)));
        sum
    }

    /// The sum of a histogram of all workers.
    pub fn histogram(&self, of: impl Fn(&C) -> &Histogram) -> HistogramRead {
        let mut sum = HistogramRead::default();
        self.each(|cells| of(cells).read(&mut sum));
        sum
    }

    /// The sum of the values of all workers.
    pub fn total(&self, read: impl Fn(&C) -> i64) -> i64 {
        let mut total = 0_i64;
        self.each(|cells| total = total.wrapping_add(read(cells)));
        total
    }
}

impl<C> Held for PerWorker<C> {
    fn is_held(&self) -> bool {
        self.lock().iter().flatten().any(|cells| Arc::strong_count(cells) > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counter;

    #[test]
    fn each_worker_has_its_own_and_finds_it_again() {
        let all = PerWorker::<Counter>::default();
        assert!(!all.is_held());
        let (second, first) = (all.of(1), all.of(0));
        second.add(3);
        first.add(4);
        assert!(Arc::ptr_eq(&second, &all.of(1)) && !Arc::ptr_eq(&second, &first));
        assert_eq!(all.sum(Counter::value), 7);
        assert!(all.is_held());
        drop((first, second));
        assert!(!all.is_held());
        assert_eq!(all.sum(Counter::value), 7, "what was counted stays");
    }
}
