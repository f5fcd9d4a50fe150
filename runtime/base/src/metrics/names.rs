//! What is counted, by name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether somebody still counts.
pub trait Held {
    /// Whether somebody has cells of it, and may count yet.
    fn is_held(&self) -> bool;
}

/// Things that are counted, by the names that a policy gives them. They outlive the policy: who asks for the same name later gets
/// the same thing.
///
/// They stand in the order of their names: there may be many such lists, most of them with one entry, for which a tree would take
/// several times the room.
#[derive(Debug)]
pub struct Names<T>(Mutex<List<T>>);

type List<T> = Vec<(Arc<str>, Arc<T>)>;

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Names<T> {
    fn lock(&self) -> MutexGuard<'_, List<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thing of this name, made if there is none.
    pub fn of(&self, name: &str) -> Arc<T>
    where
        T: Default,
    {
        let mut all = self.lock();
        match all.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => all.get(at).map(|(_, known)| Arc::clone(known)).unwrap_or_default(),
            Err(at) => {
                let made = Arc::<T>::default();
                all.insert(at, (name.into(), Arc::clone(&made)));
                made
            }
        }
    }

    /// Everything, in the order of the names. The lock is held while pointers are copied.
    pub fn list(&self) -> Vec<(Arc<str>, Arc<T>)> {
        self.lock().clone()
    }

    /// Drops what has no name any more, if nobody holds it either.
    pub fn keep(&self, named: impl Fn(&str) -> bool)
    where
        T: Held,
    {
        self.lock().retain(|(name, thing)| named(name) || Arc::strong_count(thing) > 1 || thing.is_held());
    }
}

impl<T: Held> Held for Names<T> {
    fn is_held(&self) -> bool {
        self.lock().iter().any(|(_, thing)| Arc::strong_count(thing) > 1 || thing.is_held())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Counter, PerWorker};

    type Counted = Names<PerWorker<Counter>>;

    fn names(all: &Counted) -> Vec<String> {
        all.list().iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn the_same_name_is_the_same_thing() {
        let all = Counted::default();
        let (b, a) = (all.of("b"), all.of("a"));
        assert!(Arc::ptr_eq(&b, &all.of("b")) && !Arc::ptr_eq(&a, &b));
        assert_eq!(names(&all), ["a", "b"]);
    }

    #[test]
    fn what_has_no_name_goes_when_nobody_holds_it() {
        let all = Counted::default();
        let (by_thing, by_cells) = (all.of("thing"), all.of("cells").of(0));
        drop((all.of("named"), all.of("none")));
        all.keep(|name| name == "named");
        assert_eq!(names(&all), ["cells", "named", "thing"]);
        assert!(all.is_held());
        by_cells.one();
        drop((by_thing, by_cells));
        assert!(!all.is_held());
        all.keep(|name| name == "named");
        assert_eq!(names(&all), ["named"]);
    }
}
