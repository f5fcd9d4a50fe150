//! The value of a field.
#![forbid(unsafe_code)]

/// The first value of a field, by its name without case.
pub(super) fn value<'h>(headers: &'h [(String, Vec<u8>)], name: &str) -> Option<&'h [u8]> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}
