//! Short texts without an allocation.

use std::fmt;
use std::net::IpAddr;

/// A text of at most `N` bytes on the stack. What does not fit is an error of `write!`.
pub(crate) struct StackText<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// The text of an address; the longest, an IPv6 address, has 45 bytes at most.
pub(crate) type AddressText = StackText<48>;

impl<const N: usize> StackText<N> {
    /// The text of `value`, cut where `N` bytes end.
    pub(crate) fn of(value: impl fmt::Display) -> Self {
        let mut text = Self { bytes: [0; N], len: 0 };
        // An error means that it did not fit; what fitted stays.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{value}"));
        text
    }

    /// Adds an ASCII character, if there is room.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// The text of an address; an IPv4 address that came mapped into IPv6 is written as what it is.
pub(crate) fn address(address: IpAddr) -> AddressText {
    match address.to_canonical() {
        IpAddr::V4(address) => v4(address.octets()),
        address => AddressText::of(address),
    }
}

/// `Ipv4Addr::to_string`, without the machinery of formatting: every request writes one.
fn v4(octets: [u8; 4]) -> AddressText {
    let mut text = AddressText { bytes: [0; 48], len: 0 };
    for (index, octet) in octets.into_iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
    text
}

impl<const N: usize> fmt::Write for StackText<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn every_address_fits() {
        let longest = IpAddr::V6(Ipv6Addr::new(0xffff, 0xfffe, 0xfffd, 0xfffc, 0xfffb, 0xfffa, 0xfff9, 0xfff8));
        assert_eq!(address(longest).as_str(), longest.to_string());
        assert_eq!(address(IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0001))).as_str(), "10.0.0.1");
    }

    #[test]
    fn every_octet_is_written_as_the_standard_library_does() {
        for octet in 0..=255 {
            let plain = IpAddr::from([octet, 0, 255 - octet, octet]);
            assert_eq!(address(plain).as_str(), plain.to_string());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(StackText::<4>::of("12345").as_str(), "");
        assert_eq!(StackText::<4>::of("1234").as_str(), "1234");
    }
}
