//! Variables of one request: `set-var`, `${var.NAME}`, tests on `var "NAME"`, and hooks.

use std::fmt;

use crate::bounds::{MAX_VARS, MAX_VARS_BYTES};

/// The variables of one request, in the order of their first `set`.
///
/// There are few of them, so that a scan is faster than a hash. Count and size are bounded by
/// [`MAX_VARS`] and [`MAX_VARS_BYTES`].
#[derive(Debug, Clone, Default)]
pub struct Vars {
    entries: Vec<(Box<str>, Box<str>)>,
    bytes: usize,
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
        self.entries.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// Sets `name`, replacing what it was.
    ///
    /// # Errors
    ///
    /// [`VarsFull`] if a bound would be passed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), VarsFull> {
        let known = self.entries.iter().position(|(known, _)| &**known == name);
        let freed = match known.and_then(|index| self.entries.get(index)) {
            Some((name, value)) => name.len() + value.len(),
            None if self.entries.len() >= MAX_VARS => return Err(VarsFull),
            None => 0,
        };
        let bytes = (self.bytes - freed).saturating_add(name.len()).saturating_add(value.len());
        if bytes > MAX_VARS_BYTES {
            return Err(VarsFull);
        }
        self.bytes = bytes;
        match known.and_then(|index| self.entries.get_mut(index)) {
            Some(entry) => entry.1 = value.into(),
            None => self.entries.push((name.into(), value.into())),
        }
        Ok(())
    }

    /// Names and values, in the order of their first `set`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
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
