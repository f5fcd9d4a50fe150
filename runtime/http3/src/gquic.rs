//! Answers to clients that speak QUIC as it was before the IETF's: they learn that we do not, and fall back.
//!
//! Three layouts of a client's packet are known, and each is answered in its own:
//!
//! | versions | header | answer |
//! | --- | --- | --- |
//! | up to Q043 | public flags, an id of 8 bytes | public flags, the id, versions |
//! | Q044 and Q046 | long header, both lengths of ids in one byte | version 0, ids swapped, versions |
//! | Q047 to Q059, T048 to T059 | long header of RFC 8999 | version negotiation of RFC 8999, 6 |
//!
//! No answer is longer than the packet that it answers, so that a forged address gains nothing.

/// Versions that are offered: one that nobody speaks, so that no client trusts the list to be short (RFC 9000, 15),
/// and version 1.
const OFFERED: [u32; 2] = [0x1a2a_3a4a, 1];

const VERSION_FLAG: u8 = 0x01;
const ID_FLAG: u8 = 0x08;

/// The datagram to send back to a packet of such a version; `None` if the packet is of no such version.
pub fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let first = *packet.first()?;
    let answer = if first & 0xc0 == 0 {
        public_header(first, packet)?
    } else if first & 0x80 != 0 {
        long_header(packet)?
    } else {
        return None;
    };
    (answer.len() <= packet.len()).then_some(answer)
}

/// The answer up to Q043: flags, id, version.
fn public_header(flags: u8, packet: &[u8]) -> Option<Vec<u8>> {
    let (id, version) = (packet.get(1..9)?, packet.get(9..13)?);
    let number = number(version, b'Q')?;
    if flags & (VERSION_FLAG | ID_FLAG) != VERSION_FLAG | ID_FLAG || number > 43 {
        return None;
    }
    let mut answer = vec![VERSION_FLAG | ID_FLAG];
    answer.extend_from_slice(id);
    Some(with_versions(answer))
}

/// The answer from Q044 on: a long header, as it was at the time.
fn long_header(packet: &[u8]) -> Option<Vec<u8>> {
    let version = packet.get(1..5)?;
    let rest = packet.get(5..)?;
    let mut answer = vec![0xc0, 0, 0, 0, 0];
    match number(version, b'Q').or_else(|| number(version, b'T'))? {
        44..=46 => {
            let (lengths, rest) = rest.split_first()?;
            let (to, from) = (old_length(lengths >> 4), old_length(lengths & 0x0f));
            answer.push(lengths.rotate_left(4));
            answer.extend_from_slice(rest.get(to..to + from)?);
            answer.extend_from_slice(rest.get(..to)?);
        }
        47..=59 => {
            let (to, rest) = counted(rest)?;
            let (from, _) = counted(rest)?;
            for id in [from, to] {
                answer.push(u8::try_from(id.len()).ok()?);
                answer.extend_from_slice(id);
            }
        }
        _ => return None,
    }
    Some(with_versions(answer))
}

fn with_versions(mut answer: Vec<u8>) -> Vec<u8> {
    for version in OFFERED {
        answer.extend_from_slice(&version.to_be_bytes());
    }
    answer
}

/// The number of a version such as `Q043`.
fn number(version: &[u8], family: u8) -> Option<u32> {
    let (first, digits) = version.split_first()?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    (*first == family).then(|| digits.parse().ok()).flatten()
}

/// The length of an id, as four bits said it: none, or three more than they count.
fn old_length(bits: u8) -> usize {
    if bits == 0 { 0 } else { usize::from(bits) + 3 }
}

/// An id behind a byte that counts it.
fn counted(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = packet.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const VERSIONS: [u8; 8] = [0x1a, 0x2a, 0x3a, 0x4a, 0, 0, 0, 1];

    fn packet(parts: &[&[u8]]) -> Vec<u8> {
        let mut packet = parts.concat();
        packet.resize(1350, 0);
        packet
    }

    #[test]
    fn q043_is_answered_with_a_public_header() {
        // Version and id flags, a packet number of one byte.
        let hello = packet(&[&[0x09], b"\x11\x22\x33\x44\x55\x66\x77\x88", b"Q043", &[1]]);
        let answer = answer(&hello).unwrap();
        assert_eq!(answer, [&[0x09][..], b"\x11\x22\x33\x44\x55\x66\x77\x88", &VERSIONS].concat());
    }

    #[test]
    fn q046_is_answered_with_its_long_header_and_the_ids_swapped() {
        let hello = packet(&[&[0xc3], b"Q046", &[0x50], b"\x11\x22\x33\x44\x55\x66\x77\x88", &[0, 0, 0, 1]]);
        let answer = answer(&hello).unwrap();
        let expected = [&[0xc0, 0, 0, 0, 0, 0x05][..], b"\x11\x22\x33\x44\x55\x66\x77\x88", &VERSIONS].concat();
        assert_eq!(answer, expected);
    }

    #[test]
    fn q050_is_answered_with_the_header_that_never_changes() {
        let hello = packet(&[&[0xc0], b"Q050", &[8], b"\x11\x22\x33\x44\x55\x66\x77\x88", &[2, 0xaa, 0xbb]]);
        let answer = answer(&hello).unwrap();
        let ids = [&[2, 0xaa, 0xbb, 8][..], b"\x11\x22\x33\x44\x55\x66\x77\x88"].concat();
        assert_eq!(answer, [&[0xc0, 0, 0, 0, 0][..], &ids, &VERSIONS].concat());
    }

    #[test]
    fn packets_of_the_ietf_are_left_alone() {
        for first in [0x40_u8, 0x5f, 0xc0, 0xe3] {
            assert_eq!(answer(&packet(&[&[first], &[0, 0, 0, 1], &[8], &[7; 8], &[0]])), None);
        }
        // A later version of the IETF's is answered by the library.
        assert_eq!(answer(&packet(&[&[0xc0], &[0x1a, 0x2a, 0x3a, 0x4a], &[8], &[7; 8], &[0]])), None);
        // The fixed bit may be greased (RFC 9287): no version, no answer.
        assert_eq!(answer(&packet(&[&[0x09], &[7; 30]])), None);
    }

    #[test]
    fn no_answer_is_longer_than_its_packet_and_nothing_panics() {
        for hello in [
            packet(&[&[0x09], &[1; 8], b"Q043"]),
            packet(&[&[0xc3], b"Q046", &[0x55], &[1; 16]]),
            packet(&[&[0xc0], b"Q050", &[255], &[1; 300]]),
        ] {
            for length in 0..400 {
                if let Some(answer) = answer(&hello[..length]) {
                    assert!(answer.len() <= length);
                }
            }
        }
    }
}
