//! The two readers of field sections that a request meets: [`tidegate_http3::field_section`], and behind it the `h3` crate's own.
//! What both take means the same, and where ours is stricter, a table says why.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use http::Method;
use proptest::prelude::*;
use tidegate_http3::field_section::{self, Kind, PROTOCOL, SectionError};

#[path = "../../../fuzz/src/h3_reader.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod h3_reader;
use h3_reader::Reading;

/// The lines of the static table that a request's fields may be written with (RFC 9204, A).
const STATIC: &[(u8, &str, &str)] = &[
    (0, ":authority", ""),
    (1, ":path", "/"),
    (5, "cookie", ""),
    (15, ":method", "CONNECT"),
    (17, ":method", "GET"),
    (20, ":method", "POST"),
    (22, ":scheme", "http"),
    (23, ":scheme", "https"),
    (25, ":status", "200"),
    (31, "accept-encoding", "gzip, deflate, br"),
    (71, ":status", "500"),
    (95, "user-agent", ""),
];

/// The codes of the characters from space to `~`, with their lengths in bits (RFC 7541, B).
#[rustfmt::skip]
const HUFFMAN: [(u32, u32); 95] = [
    (0x14, 6), (0x3f8, 10), (0x3f9, 10), (0xffa, 12), (0x1ff9, 13), (0x15, 6), (0xf8, 8), (0x7fa, 11), (0x3fa, 10),
    (0x3fb, 10), (0xf9, 8), (0x7fb, 11), (0xfa, 8), (0x16, 6), (0x17, 6), (0x18, 6), (0x0, 5), (0x1, 5), (0x2, 5),
    (0x19, 6), (0x1a, 6), (0x1b, 6), (0x1c, 6), (0x1d, 6), (0x1e, 6), (0x1f, 6), (0x5c, 7), (0xfb, 8), (0x7ffc, 15),
    (0x20, 6), (0xffb, 12), (0x3fc, 10), (0x1ffa, 13), (0x21, 6), (0x5d, 7), (0x5e, 7), (0x5f, 7), (0x60, 7), (0x61, 7),
    (0x62, 7), (0x63, 7), (0x64, 7), (0x65, 7), (0x66, 7), (0x67, 7), (0x68, 7), (0x69, 7), (0x6a, 7), (0x6b, 7),
    (0x6c, 7), (0x6d, 7), (0x6e, 7), (0x6f, 7), (0x70, 7), (0x71, 7), (0x72, 7), (0xfc, 8), (0x73, 7), (0xfd, 8),
    (0x1ffb, 13), (0x7fff0, 19), (0x1ffc, 13), (0x3ffc, 14), (0x22, 6), (0x7ffd, 15), (0x3, 5), (0x23, 6), (0x4, 5),
    (0x24, 6), (0x5, 5), (0x25, 6), (0x26, 6), (0x27, 6), (0x6, 5), (0x74, 7), (0x75, 7), (0x28, 6), (0x29, 6),
    (0x2a, 6), (0x7, 5), (0x2b, 6), (0x76, 7), (0x2c, 6), (0x8, 5), (0x9, 5), (0x2d, 6), (0x77, 7), (0x78, 7), (0x79, 7),
    (0x7a, 7), (0x7b, 7), (0x7ffe, 15), (0x7fc, 11), (0x3ffd, 14), (0x1ffd, 13),
];

/// A field, and how it is written.
#[derive(Debug, Clone)]
struct Field {
    name: &'static str,
    value: String,
    coding: Coding,
}

/// The ways to write a field, of which a section takes the first that can be had: a line of the table, a name of it, or
/// neither; and which texts are in Huffman's code.
#[derive(Debug, Clone, Copy)]
struct Coding {
    indexed: bool,
    named: bool,
    huffman_name: bool,
    huffman_value: bool,
}

impl Field {
    fn write(&self, section: &mut Vec<u8>) {
        let Coding { indexed, named, huffman_name, huffman_value } = self.coding;
        let name = STATIC.iter().filter(|(_, name, _)| *name == self.name);
        let whole = name.clone().find(|(.., value)| *value == self.value);
        match (whole.filter(|_| indexed), name.clone().next().filter(|_| named)) {
            (Some((index, ..)), _) => number(section, 0xc0, 6, usize::from(*index)),
            (None, Some((index, ..))) => {
                number(section, 0x50, 4, usize::from(*index));
                text(section, 0, 7, &self.value, huffman_value);
            }
            (None, None) => {
                text(section, 0x20, 3, self.name, huffman_name);
                text(section, 0, 7, &self.value, huffman_value);
            }
        }
    }
}

/// A section of these fields.
fn section(fields: &[Field]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for field in fields {
        field.write(&mut section);
    }
    section
}

/// A number behind the first bits of its byte (RFC 7541, 5.1).
fn number(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return out.push(first | u8::try_from(value).unwrap());
    }
    out.push(first | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// A text behind its length (RFC 9204, 4.1.2).
fn text(out: &mut Vec<u8>, first: u8, bits: u32, text: &str, huffman: bool) {
    let bytes = if huffman { encoded(text) } else { text.as_bytes().to_vec() };
    number(out, first | u8::from(huffman) << bits, bits, bytes.len());
    out.extend_from_slice(&bytes);
}

/// A text in Huffman's code.
fn encoded(text: &str) -> Vec<u8> {
    let bits: Vec<bool> = text
        .bytes()
        .flat_map(|byte| {
            let (code, length) = HUFFMAN[usize::from(byte - b' ')];
            (0..length).rev().map(move |bit| code >> bit & 1 == 1)
        })
        .collect();
    let byte = |bits: &[bool]| (0..8).fold(0, |byte, at| byte << 1 | u8::from(bits.get(at).copied().unwrap_or(true)));
    bits.chunks(8).map(byte).collect()
}

/// What a request of these fields is (RFC 9114, 4.3; RFC 9220, 3); nothing if it is malformed.
fn meaning(fields: &[Field]) -> Option<Meaning<'_>> {
    let known = [":method", ":scheme", ":authority", ":path", ":protocol"];
    let pseudo = fields.iter().take_while(|field| field.name.starts_with(':')).count();
    let (pseudo, others) = fields.split_at(pseudo);
    let once = |name| {
        let mut values = pseudo.iter().filter(|field| field.name == name).map(|field| field.value.as_str());
        (values.next(), values.next().is_none())
    };
    let [method, scheme, authority, path, protocol] = known.map(|name| once(name).0);
    let whole = scheme.is_some() && path.is_some();
    let right = match protocol {
        Some(_) => method == Some("CONNECT") && whole,
        None => method.is_some() && (whole || method == Some("CONNECT")),
    };
    let right = right
        && known.iter().all(|name| once(name).1)
        && pseudo.iter().all(|field| known.contains(&field.name) && !field.value.is_empty())
        && !others.iter().any(|field| field.name.starts_with(':'));
    right.then_some(Meaning { method: method?, scheme, authority, path, protocol, others })
}

struct Meaning<'f> {
    method: &'f str,
    scheme: Option<&'f str>,
    authority: Option<&'f str>,
    path: Option<&'f str>,
    protocol: Option<&'f str>,
    others: &'f [Field],
}

fn coding() -> impl Strategy<Value = Coding> {
    any::<[bool; 4]>().prop_map(|[indexed, named, huffman_name, huffman_value]| Coding {
        indexed,
        named,
        huffman_name,
        huffman_value,
    })
}

/// Any field, of those that matter here.
fn field() -> impl Strategy<Value = Field> {
    let named = prop_oneof![
        (Just(":method"), prop_oneof![Just("GET"), Just("POST"), Just("CONNECT"), Just("X-M")].prop_map(str::to_owned)),
        (Just(":scheme"), prop_oneof![Just("http"), Just("https")].prop_map(str::to_owned)),
        (Just(":authority"), prop_oneof![Just("a"), Just("shop.example:8443"), Just("")].prop_map(str::to_owned)),
        (Just(":path"), prop_oneof![Just("/"), Just("/a/b?c=d"), Just("")].prop_map(str::to_owned)),
        (Just(":protocol"), prop_oneof![Just("websocket"), Just("connect-udp")].prop_map(str::to_owned)),
        (Just(":status"), Just("200".to_owned())),
        (Just(":new"), Just("1".to_owned())),
        (prop_oneof![Just("cookie"), Just("user-agent"), Just("x-a"), Just(PROTOCOL)], "[ -~]{0,40}"),
    ];
    (named, coding()).prop_map(|((name, value), coding)| Field { name, value, coding })
}

/// A request's fields as they should be.
fn well_formed() -> impl Strategy<Value = Vec<Field>> {
    let pseudo = prop_oneof![
        4 => Just(vec![(":method", "GET"), (":scheme", "https"), (":path", "/a"), (":authority", "a")]),
        1 => Just(vec![(":method", "CONNECT"), (":authority", "a:1")]),
        1 => Just(vec![(":method", "CONNECT"), (":scheme", "https"), (":path", "/"), (":authority", "a"), (":protocol", "websocket")]),
    ];
    let shuffled = pseudo.prop_shuffle();
    let others = proptest::collection::vec(field().prop_filter("others", |field| !field.name.starts_with(':')), 0..5);
    (shuffled, proptest::collection::vec(coding(), 5), others).prop_map(|(pseudo, codings, others)| {
        let pseudo = pseudo.into_iter().zip(codings);
        let pseudo = pseudo.map(|((name, value), coding)| Field { name, value: value.to_owned(), coding });
        pseudo.chain(others).collect()
    })
}

/// Fields as they should be, with one of them taken out, put in, or moved.
fn nearly_well_formed() -> impl Strategy<Value = Vec<Field>> {
    (well_formed(), field(), any::<[prop::sample::Index; 2]>(), 0..4).prop_map(
        |(mut fields, other, [from, to], change)| {
            let (from, to) = (from.index(fields.len()), to.index(fields.len()));
            match change {
                0 => {}
                1 => fields.insert(to, other),
                2 => drop(fields.remove(from)),
                _ => {
                    let field = fields.remove(from);
                    fields.insert(to, field);
                }
            }
            fields
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The encoding says nothing, and what passes here means to the library what it says.
    #[test]
    fn what_both_take_means_the_same(fields in prop_oneof![nearly_well_formed(), proptest::collection::vec(field(), 0..7)]) {
        let mut section = section(&fields);
        let meaning = meaning(&fields);
        let checked = field_section::check(&section, Kind::Request);
        let Some(meaning) = meaning else {
            prop_assert_eq!(checked, Err(SectionError::Malformed));
            return Ok(());
        };
        prop_assert_eq!(checked.map(|protocol| protocol.is_some()), Ok(meaning.protocol.is_some()));
        if let Ok(Some(at)) = checked {
            field_section::rename(&mut section, at);
        }
        let host = meaning.authority.is_some();
        match h3_reader::request(&section) {
            Reading::Taken(request) => {
                prop_assert!(host);
                prop_assert_eq!(request.method(), &Method::from_bytes(meaning.method.as_bytes()).unwrap());
                let uri = request.uri();
                prop_assert_eq!(uri.scheme_str(), meaning.scheme);
                prop_assert_eq!(uri.authority().map(|authority| authority.as_str()), meaning.authority);
                prop_assert_eq!(uri.path_and_query().map(|path| path.as_str()), meaning.path);
                prop_assert!(request.extensions().get::<h3::ext::Protocol>().is_none());
                let protocol = meaning.protocol.into_iter().map(|protocol| (PROTOCOL, protocol));
                let others = meaning.others.iter().map(|field| (field.name, field.value.as_str()));
                let mut expected: Vec<_> = protocol.chain(others).collect();
                let headers = request.headers().iter();
                let mut seen: Vec<_> = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
                // Of several with one name, the order counts; of others it does not, and the library keeps none.
                expected.sort_by_key(|(name, _)| *name);
                seen.sort_by_key(|(name, _)| *name);
                prop_assert_eq!(seen, expected);
            }
            // The library alone asks for an authority, and for one of the two that an absolute form needs.
            Reading::Malformed => prop_assert!(!host || meaning.scheme.is_some() != meaning.path.is_some(), "{fields:?}"),
            Reading::Undecodable => panic!("{fields:?}"),
        }
    }

    /// Trailers have no pseudo-header fields here, and are for the library what they say.
    #[test]
    fn trailers_that_both_take_are_the_same(fields in proptest::collection::vec(field(), 0..5)) {
        let section = section(&fields);
        let right = !fields.iter().any(|field| field.name.starts_with(':'));
        let expected = if right { Ok(None) } else { Err(SectionError::Malformed) };
        prop_assert_eq!(field_section::check(&section, Kind::Trailers), expected);
        if right {
            let Reading::Taken(trailers) = h3_reader::trailers(&section) else { panic!("{fields:?}") };
            prop_assert_eq!(trailers.len(), fields.len());
        }
    }

    /// Bytes of a section that are changed are refused or mean something; nobody panics.
    #[test]
    fn changed_bytes_are_read_or_refused(
        fields in nearly_well_formed(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut section = section(&fields);
        for (at, byte) in changes {
            let at = at.index(section.len());
            section[at] = byte;
        }
        let checked = field_section::check(&section, Kind::Request);
        if let Ok(Some(at)) = checked {
            field_section::rename(&mut section, at);
        }
        if let (Ok(protocol), Reading::Taken(request)) = (checked, h3_reader::request(&section)) {
            let whole = request.uri().scheme().is_some() && request.uri().path_and_query().is_some();
            prop_assert!(whole || request.method() == Method::CONNECT && protocol.is_none());
            prop_assert!(protocol.is_none() || request.headers().contains_key(PROTOCOL));
        }
    }
}

/// A field in the shortest form.
fn plain(name: &'static str, value: &str) -> Field {
    let coding = Coding { indexed: true, named: true, huffman_name: false, huffman_value: false };
    Field { name, value: value.to_owned(), coding }
}

#[test]
fn where_ours_is_stricter_there_is_a_reason() {
    let get = [plain(":method", "GET"), plain(":scheme", "https"), plain(":path", "/"), plain(":authority", "a")];
    let with = |more: &[Field]| section(&[&get[..], more].concat());
    let table = [
        (
            "a pseudo-header field comes once (RFC 9114, 4.3): somebody else may have looked at the other one",
            with(&[plain(":path", "/b")]),
            SectionError::Malformed,
        ),
        (
            "pseudo-header fields come before others (RFC 9114, 4.3)",
            section(&[&[plain("x-a", "1")], &get[..]].concat()),
            SectionError::Malformed,
        ),
        ("`:status` is of responses (RFC 9114, 4.3)", with(&[plain(":status", "200")]), SectionError::Malformed),
        (
            "a request has a scheme and a path (RFC 9114, 4.3.1)",
            section(&[plain(":method", "GET"), plain(":authority", "a")]),
            SectionError::Malformed,
        ),
        (
            "`:protocol` is of CONNECT alone (RFC 8441, 4; RFC 9220, 3)",
            with(&[plain(":protocol", "connect-udp")]),
            SectionError::Malformed,
        ),
        (
            "a section that needs the client's table cannot be read without it (RFC 9204, 2.2.1)",
            [&[1, 0], &with(&[])[2..]].concat(),
            SectionError::Undecodable,
        ),
        (
            "a number of more than 32 bits counts nothing that we hold, however it is padded (RFC 9204, 4.1.1)",
            [&with(&[])[..], &[0x23], b"x-a", &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], &[b'1'; 127]].concat(),
            SectionError::Undecodable,
        ),
    ];
    for (why, section, error) in table {
        assert_eq!(field_section::check(&section, Kind::Request), Err(error), "{why}");
        assert!(matches!(h3_reader::request(&section), Reading::Taken(_)), "the library has learnt it: {why}");
    }
    let trailers = section(&[plain("x-a", "1"), plain(":path", "/")]);
    assert_eq!(field_section::check(&trailers, Kind::Trailers), Err(SectionError::Malformed));
    assert!(
        matches!(h3_reader::trailers(&trailers), Reading::Taken(_)),
        "the library has learnt it: trailers have no pseudo-header fields (RFC 9114, 4.3)"
    );
}
