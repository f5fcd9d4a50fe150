//! The memory of a core module, read and written as the canonical ABI lays values out.
//!
//! Nothing that the guest says about its memory is believed: every address is looked up in the bounds of the moment.

use wasmtime::{Caller, Memory, TypedFunc};

use crate::base::host_error::HostError;
use crate::base::limits::TRANSFER_BYTES;
use crate::guest::Data;

/// `cabi_realloc`: old address, old size, alignment, new size.
pub(crate) type Realloc = TypedFunc<(u32, u32, u32, u32), u32>;

/// Memory and allocator of an instance, by which the host passes values.
pub(crate) struct Handles {
    pub(crate) memory: Memory,
    pub(crate) realloc: Realloc,
}

/// The data of a core module's store. The handles are in it while the guest may call the host, and are out while its allocator
/// runs, which may not.
pub(crate) type ModuleData = Data<Option<Box<Handles>>>;

/// Reads what the guest gives; all reads together may take [`TRANSFER_BYTES`].
pub(crate) struct Reader<'m> {
    memory: &'m [u8],
    left: usize,
}

impl<'m> Reader<'m> {
    pub(crate) const fn new(memory: &'m [u8]) -> Self {
        Self { memory, left: TRANSFER_BYTES }
    }

    /// Bytes of a list or string.
    pub(crate) fn slice(&mut self, at: u32, length: u32) -> Result<&'m [u8], HostError> {
        let (start, length) = (at as usize, length as usize);
        self.left = self.left.checked_sub(length).ok_or_else(HostError::transfer)?;
        let end = start.checked_add(length).ok_or_else(HostError::outside)?;
        self.memory.get(start..end).ok_or_else(HostError::outside)
    }

    fn fixed<const N: usize>(&self, at: u32) -> Result<[u8; N], HostError> {
        let start = at as usize;
        let bytes = start.checked_add(N).and_then(|end| self.memory.get(start..end)).ok_or_else(HostError::outside)?;
        bytes.try_into().map_err(|_| HostError::outside())
    }

    pub(crate) fn u8(&self, at: u32) -> Result<u8, HostError> {
        self.fixed(at).map(|[byte]| byte)
    }

    pub(crate) fn u16(&self, at: u32) -> Result<u16, HostError> {
        self.fixed(at).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&self, at: u32) -> Result<u32, HostError> {
        self.fixed(at).map(u32::from_le_bytes)
    }

    /// The list or string whose address and length stand at `at`.
    pub(crate) fn bytes(&mut self, at: u32) -> Result<&'m [u8], HostError> {
        let (start, length) = (self.u32(at)?, self.u32(field(at, 4)?)?);
        self.slice(start, length)
    }

    /// The string whose address and length stand at `at`.
    pub(crate) fn text(&mut self, at: u32) -> Result<&'m str, HostError> {
        std::str::from_utf8(self.bytes(at)?).map_err(|_| HostError::not_text())
    }

    /// The items of the list that stands at `at`, each of `size` bytes.
    pub(crate) fn list<T>(
        &mut self,
        at: u32,
        size: u32,
        item: impl Fn(&mut Self, u32) -> Result<T, HostError>,
    ) -> Result<Vec<T>, HostError> {
        let (start, length) = (self.u32(at)?, self.u32(field(at, 4)?)?);
        let bytes = length.checked_mul(size).ok_or_else(HostError::outside)?;
        self.slice(start, bytes)?;
        (0..length).map(|index| item(self, field(start, index * size)?)).collect()
    }
}

/// The address of a field.
pub(crate) fn field(at: u32, offset: u32) -> Result<u32, HostError> {
    at.checked_add(offset).ok_or_else(HostError::outside)
}

/// Writes an answer, from within a host function.
pub(crate) struct Out<'a, 'c> {
    caller: &'a mut Caller<'c, ModuleData>,
    handles: &'a Handles,
}

impl<'a, 'c> Out<'a, 'c> {
    pub(crate) const fn new(caller: &'a mut Caller<'c, ModuleData>, handles: &'a Handles) -> Self {
        Self { caller, handles }
    }

    /// Memory that the guest allocates for the host.
    pub(crate) fn allocate(&mut self, size: u32, align: u32) -> wasmtime::Result<u32> {
        let at = self.handles.realloc.call(&mut *self.caller, (0, 0, align, size))?;
        let inside = (at as usize).checked_add(size as usize).is_some_and(|end| end <= self.memory().len());
        if inside && at.is_multiple_of(align) { Ok(at) } else { Err(HostError::outside().into()) }
    }

    /// Room for a list; its address and length.
    pub(crate) fn allocate_list(&mut self, items: usize, size: u32, align: u32) -> wasmtime::Result<(u32, u32)> {
        let length = u32::try_from(items).map_err(|_| HostError::transfer())?;
        let bytes = length.checked_mul(size).ok_or_else(HostError::transfer)?;
        Ok((self.allocate(bytes, align)?, length))
    }

    /// A list of bytes or a string: the bytes into memory of their own, address and length to `at`.
    pub(crate) fn put_bytes(&mut self, at: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        let (start, length) = self.allocate_list(bytes.len(), 1, 1)?;
        let memory = self.memory();
        write(memory, start, bytes)?;
        write(memory, at, &start.to_le_bytes())?;
        write(memory, at.saturating_add(4), &length.to_le_bytes())?;
        Ok(())
    }

    /// Bytes of a fixed part.
    pub(crate) fn put(&mut self, at: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        Ok(write(self.memory(), at, bytes)?)
    }

    fn memory(&mut self) -> &mut [u8] {
        self.handles.memory.data_mut(&mut *self.caller)
    }
}

pub(crate) fn write(memory: &mut [u8], at: u32, bytes: &[u8]) -> Result<(), HostError> {
    let start = at as usize;
    let end = start.checked_add(bytes.len()).ok_or_else(HostError::outside)?;
    memory.get_mut(start..end).ok_or_else(HostError::outside)?.copy_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_read_or_written() {
        let mut memory = vec![0_u8; 64];
        for (at, length) in [(0, 65), (64, 1), (63, 2), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
            assert!(Reader::new(&memory).slice(at, length).is_err(), "{at} {length}");
        }
        assert_eq!(Reader::new(&memory).slice(64, 0).unwrap(), b"");
        for at in [61, 64, u32::MAX] {
            assert!(Reader::new(&memory).u32(at).is_err() && write(&mut memory, at, &[1; 4]).is_err());
        }
        assert_eq!(memory, vec![0; 64]);
    }

    #[test]
    fn a_list_whose_size_overflows_is_refused() {
        let mut memory = vec![0_u8; 64];
        write(&mut memory, 4, &0x2000_0001_u32.to_le_bytes()).unwrap();
        let listed = Reader::new(&memory).list(0, 16, |_, _| Ok(()));
        assert!(listed.is_err_and(|error| error.0.message.ends_with("outside its memory")));
    }
}
