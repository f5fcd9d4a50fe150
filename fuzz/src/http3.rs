//! What must hold for every byte of an HTTP/3 stream.

use bytes::Bytes;
use http::Method;
use tidegate_http3::field_section::{self, Kind, PROTOCOL};
use tidegate_http3::frames::{FrameError, Frames};

use super::h3_reader::{self, Reading};

/// A stream's bytes come to the same in pieces of any size, none of them is added, and what was passed on is passed on again
/// as it is.
///
/// The first byte says which stream it is, and the second how it is cut.
pub fn frames(input: &[u8]) {
    let [which, cut, stream @ ..] = input else { return };
    let frames = || {
        let longest = 1 << (which >> 4);
        if which & 1 == 0 { Frames::request(longest) } else { Frames::unidirectional(longest) }
    };
    let whole = pass(frames(), std::iter::once(stream));
    let pieces = pass(frames(), stream.chunks(usize::from(*cut) % 19 + 1));
    assert_eq!(whole, pieces, "the size of the pieces does not matter");
    let Ok(passed) = whole else { return };
    assert!(passed.bytes.len() <= stream.len());
    if !passed.names_protocol {
        assert_eq!(
            pass(frames(), std::iter::once(&passed.bytes[..])).as_ref().map(|again| &again.bytes),
            Ok(&passed.bytes)
        );
    }
}

/// What a stream's bytes come to.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    bytes: Vec<u8>,
    between_frames: bool,
    names_protocol: bool,
}

fn pass<'p>(mut frames: Frames, pieces: impl Iterator<Item = &'p [u8]>) -> Result<Passed, FrameError> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(&frames.pass(Bytes::copy_from_slice(piece))?);
    }
    Ok(Passed { bytes, between_frames: frames.is_between_frames(), names_protocol: frames.names_protocol() })
}

/// What is taken here and by the `h3` crate means the same. The first byte says what the section is of.
pub fn field_section(input: &[u8]) {
    let Some((which, section)) = input.split_first() else { return };
    if which & 1 == 1 {
        let checked = field_section::check(section, Kind::Trailers);
        assert!(!matches!(checked, Ok(Some(_))), "trailers name no protocol");
        let theirs = h3_reader::trailers(section);
        if let (Ok(_), Reading::Taken(_)) = (checked, theirs) {
            // With the same fields before a head, no pseudo-header field would be missing: there was none.
            let head = [&section[..2], &[0xd1, 0xd7, 0xc1], &section[2..]].concat();
            assert!(has_long_prefix(section) || field_section::check(&head, Kind::Request).is_ok());
        }
        return;
    }
    let mut section = section.to_vec();
    let checked = field_section::check(&section, Kind::Request);
    if let Ok(Some(at)) = checked {
        let before = section.clone();
        field_section::rename(&mut section, at);
        let changed = before.iter().zip(&section).filter(|(before, after)| before != after).count();
        assert_eq!((changed, section.len()), (1, before.len()));
    }
    let theirs = h3_reader::request(&section);
    let (Ok(protocol), Reading::Taken(request)) = (checked, theirs) else { return };
    assert!(request.extensions().get::<h3::ext::Protocol>().is_none(), "the library sees no protocol");
    let whole = request.uri().scheme().is_some() && request.uri().path_and_query().is_some();
    match protocol {
        Some(_) => {
            assert!(request.method() == Method::CONNECT && whole, "{request:?}");
            assert!(request.headers().contains_key(PROTOCOL), "{request:?}");
        }
        None => assert!(request.method() == Method::CONNECT || whole, "{request:?}"),
    }
}

/// Whether one of the two numbers that a section begins with has more than a byte.
fn has_long_prefix(section: &[u8]) -> bool {
    section.first() == Some(&0xff) || section.get(1).is_some_and(|base| base & 0x7f == 0x7f)
}
