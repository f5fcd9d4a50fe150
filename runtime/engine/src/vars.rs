//! Variables of one request: `set-var`, `${var.NAME}`, tests on `var "NAME"`, and hooks.

use std::fmt;

use crate::bounds::{MAX_VARS, MAX_VARS_BYTES};

/// The variables of one request, in the order of their first `set`.
///
/// There are few of them, so that a scan is faster than a hash. Count and size are bounded by
/// [`MAX_VARS`] and [`MAX_VARS_BYTES`].
#[derive(Debug, Clone, Default)]
pub struct Vars {
    entries: Vec<Entry>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    name: Box<str>,
    value: Box<str>,
    /// Whether the variable was set since all of them were last given on.
    fresh: bool,
}

/// A variable was not set, because the request has too many or too large ones. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VarsFull;

impl Vars {
    /// No variables; allocates nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), bytes: 0 }
    }

    /// The value of `name`, if it was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|entry| &*entry.name == name).map(|entry| &*entry.value)
    }

    /// Sets `name`, replacing what it was.
    ///
    /// # Errors
    ///
    /// [`VarsFull`] if a bound would be passed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), VarsFull> {
        let known = self.entries.iter().position(|entry| &*entry.name == name);
        let freed = match known.and_then(|index| self.entries.get(index)) {
            Some(entry) => entry.name.len() + entry.value.len(),
            None if self.entries.len() >= MAX_VARS => return Err(VarsFull),
            None => 0,
        };
        let bytes = (self.bytes - freed).saturating_add(name.len()).saturating_add(value.len());
        if bytes > MAX_VARS_BYTES {
            return Err(VarsFull);
        }
        self.bytes = bytes;
        match known.and_then(|index| self.entries.get_mut(index)) {
            Some(entry) => (entry.value, entry.fresh) = (value.into(), true),
            None => self.entries.push(Entry { name: name.into(), value: value.into(), fresh: true }),
        }
        Ok(())
    }

    /// A copy of which nothing counts as set.
    #[must_use]
    pub fn settled(&self) -> Self {
        let mut copy = self.clone();
        copy.entries.iter_mut().for_each(|entry| entry.fresh = false);
        copy
    }

    /// Sets here what was set in `others` since this was done last. What passes a bound is left out.
    pub fn adopt(&mut self, others: &mut Self) {
        for entry in others.entries.iter_mut().filter(|entry| entry.fresh) {
            entry.fresh = false;
            // Where there is no more room, the variable stays what it was, as for whoever sets it here.
            let _ = self.set(&entry.name, &entry.value);
        }
    }

    /// Names and values, in the order of their first `set`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (&*entry.name, &*entry.value))
    }

    /// The number of variables.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the request has no variables.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Display for VarsFull {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a request holds at most {MAX_VARS} variables, {MAX_VARS_BYTES} bytes together")
    }
}

impl std::error::Error for VarsFull {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts() {
        let mut vars = Vars::new();
        assert_eq!(vars.get("a"), None);
        assert_eq!(vars.set("a", "1"), Ok(()));
        assert_eq!(vars.set("b", "2"), Ok(()));
        assert_eq!(vars.set("a", "3"), Ok(()));
        assert_eq!(vars.get("a"), Some("3"));
        assert_eq!(vars.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }

    #[test]
    fn what_was_set_since_is_adopted() {
        let mut own = Vars::new();
        assert_eq!(own.set("a", "1"), Ok(()));
        let mut others = own.settled();
        assert_eq!(own.set("a", "2"), Ok(()));
        assert_eq!(others.set("b", "3"), Ok(()));
        own.adopt(&mut others);
        assert_eq!(own.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")], "what was not set there stays");
        assert_eq!(own.set("b", "4"), Ok(()));
        own.adopt(&mut others);
        assert_eq!(own.get("b"), Some("4"), "what was adopted is not adopted again");
        for index in 0..MAX_VARS {
            assert_eq!(others.set(&index.to_string(), "x").is_ok(), index < MAX_VARS - 2);
        }
        let mut full = Vars::new();
        for index in 0..MAX_VARS {
            assert_eq!(full.set(&format!("own-{index}"), ""), Ok(()));
        }
        full.adopt(&mut others);
        assert_eq!((full.len(), full.get("0")), (MAX_VARS, None), "a bound holds");
    }

    #[test]
    fn the_count_is_bounded() {
        let mut vars = Vars::new();
        for index in 0..MAX_VARS {
            assert_eq!(vars.set(&index.to_string(), ""), Ok(()));
        }
        assert_eq!(vars.set("more", ""), Err(VarsFull));
        assert_eq!(vars.set("0", "again"), Ok(()));
        assert_eq!(vars.len(), MAX_VARS);
    }

    #[test]
    fn the_bytes_are_bounded_and_given_back() {
        let mut vars = Vars::new();
        let large = "x".repeat(MAX_VARS_BYTES - 1);
        assert_eq!(vars.set("a", &large), Ok(()));
        assert_eq!(vars.set("b", ""), Err(VarsFull));
        assert_eq!(vars.get("b"), None);
        assert_eq!(vars.set("a", ""), Ok(()));
        assert_eq!(vars.set("b", &large), Err(VarsFull));
        assert_eq!(vars.set("b", "small"), Ok(()));
    }
}
