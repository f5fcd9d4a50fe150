//! The memory of one instance, and what it may grow to.

use wasmtime::ResourceLimiter;

use crate::base::limits::TABLE_ELEMENTS;

/// Linear memory of one instance.
pub(crate) struct Memory {
    /// Bytes that the instance may have.
    pub(crate) limit: u64,
    /// Bytes that the instance has.
    pub(crate) size: u64,
    /// Whether the guest asked for more.
    pub(crate) refused: bool,
    /// Whether the guest asked for a larger table than it may have.
    pub(crate) table_refused: bool,
}

impl Memory {
    /// No memory yet, of so many bytes that there may be.
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit, size: 0, refused: false, table_refused: false }
    }
}

impl ResourceLimiter for Memory {
    /// A component may have several memories: together they have the limit.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let size = self.size.saturating_sub(current as u64).saturating_add(desired as u64);
        if size > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.size = size;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.table_refused |= desired > TABLE_ELEMENTS;
        Ok(desired <= TABLE_ELEMENTS)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn memory_is_granted_to_the_limit() {
        let mut memory = Memory::new(1024);
        assert!(memory.memory_growing(0, 1024, None).unwrap());
        assert!(!memory.refused);
        assert!(!memory.memory_growing(1024, 1025, None).unwrap());
        assert!(memory.refused);
        assert_eq!(memory.size, 1024);
    }

    #[test]
    fn several_memories_share_the_limit() {
        let mut memory = Memory::new(1024);
        assert!(memory.memory_growing(0, 512, None).unwrap());
        assert!(memory.memory_growing(0, 256, None).unwrap());
        assert!(memory.memory_growing(256, 512, None).unwrap());
        assert!(!memory.memory_growing(512, 513, None).unwrap());
        assert_eq!(memory.size, 1024);
    }

    #[test]
    fn tables_have_a_bound_of_their_own() {
        let mut memory = Memory::new(0);
        assert!(memory.table_growing(0, TABLE_ELEMENTS, None).unwrap() && !memory.table_refused);
        assert!(!memory.table_growing(0, TABLE_ELEMENTS + 1, None).unwrap() && memory.table_refused);
    }
}
