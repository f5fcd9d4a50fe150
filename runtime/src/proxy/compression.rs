//! `compression`: which responses are compressed for a client, and how (RFC 9110, 8.4 and 12.5.3).

use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tidegate_dsl::plan::Compression;

use crate::downstream::pieces::Pieces;
use crate::failure::Failure;
use crate::limits;

/// What a listener offers and a client takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The listener compresses at all.
    offered: bool,
    br: bool,
    gzip: bool,
}

impl Accepted {
    /// Of a request.
    pub(super) fn of(offered: &[Compression], method: &Method, headers: &HeaderMap) -> Self {
        if offered.is_empty() {
            return Self::default();
        }
        let takes = |coding: Compression, name: &str| {
            offered.contains(&coding) && *method != Method::HEAD && accepts(headers, name)
        };
        Self { offered: true, br: takes(Compression::Br, "br"), gzip: takes(Compression::Gzip, "gzip") }
    }

    /// Changes the head of a response that is to be compressed, and gives what compresses its body. `known` is the length
    /// of the body, if it is known.
    pub(super) fn apply(
        self,
        status: StatusCode,
        headers: &mut HeaderMap,
        known: Option<u64>,
    ) -> Option<Box<dyn Pieces>> {
        if !self.offered
            || !can_be_compressed(status, headers)
            || known.is_some_and(|length| length <= limits::COMPRESSED_FROM)
        {
            return None;
        }
        let text = is_text(headers);
        if self.br || text {
            // What another client gets may differ, also where this one gets it as it is.
            add_vary(headers);
        }
        // A body whose length nobody knows may be an event stream: what came so far leaves at once.
        let flush = known.is_none();
        let (coding, encoder): (_, Box<dyn Pieces>) = if self.br {
            let writer =
                CompressorWriter::new(Vec::new(), limits::BROTLI_BUFFER, limits::BROTLI_QUALITY, limits::BROTLI_WINDOW);
            ("br", Box::new(Encoder { writer: Some(writer), flush }))
        } else if self.gzip && text {
            let writer = GzEncoder::new(Vec::new(), flate2::Compression::new(limits::GZIP_LEVEL));
            ("gzip", Box::new(Encoder { writer: Some(writer), flush }))
        } else {
            return None;
        };
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        weaken(headers);
        Some(encoder)
    }
}

/// Whether a client takes a coding: it is named, or `*` is, and not with a weight of zero. A request without the field
/// takes everything, but those who send none rarely mean it.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let mut any = false;
    for entry in headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.trim().bytes().all(|byte| matches!(byte, b'0' | b'.')))
        });
        let same = name.eq_ignore_ascii_case(coding) || (coding == "gzip" && name.eq_ignore_ascii_case("x-gzip"));
        if same {
            return !refused;
        }
        any |= name == "*" && !refused;
    }
    any
}

/// Whether a response may be changed, and has a whole body that is not coded yet.
fn can_be_compressed(status: StatusCode, headers: &HeaderMap) -> bool {
    const DIGESTS: [HeaderName; 3] = [
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("repr-digest"),
        HeaderName::from_static("digest"),
    ];
    let told_not_to = || {
        let mut values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("no-transform")))
    };
    let is_whole = !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT)
        && !headers.contains_key(CONTENT_RANGE);
    let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    // A digest is of the bytes as they are (RFC 9530).
    let is_digested = || DIGESTS.iter().any(|name| headers.contains_key(name));
    is_whole && !headers.contains_key(CONTENT_ENCODING) && !is_grpc && !is_digested() && !told_not_to()
}

/// Whether the content is text, or as good as.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+xml")
        || kind.ends_with("+json")
        || matches!(
            &*kind,
            "application/xml" | "application/json" | "application/javascript" | "application/x-javascript"
        )
}

fn add_vary(headers: &mut HeaderMap) {
    let names = |value: &HeaderValue| {
        let has = |name: &str| name.trim() == "*" || name.trim().eq_ignore_ascii_case("accept-encoding");
        value.to_str().is_ok_and(|value| value.split(',').any(has))
    };
    if !headers.get_all(VARY).iter().any(names) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// A strong validator is of the bytes as they were (RFC 9110, 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let weak = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    if let Some(weak) = weak.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()) {
        headers.insert(ETAG, weak);
    }
}

/// Compresses a body piece by piece.
struct Encoder<W> {
    /// `None` after the end.
    writer: Option<W>,
    /// Each piece leaves as it comes.
    flush: bool,
}

/// Writes into memory what it makes of what is written to it.
trait Coding: Write {
    fn made(&mut self) -> &mut Vec<u8>;
    fn end(self) -> io::Result<Vec<u8>>;
}

impl Coding for GzEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

impl Coding for CompressorWriter<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> io::Result<Vec<u8>> {
        Ok(self.into_inner())
    }
}

impl<W: Coding> Encoder<W> {
    fn code(&mut self, data: &[u8], last: bool) -> io::Result<Vec<u8>> {
        let Some(mut writer) = self.writer.take() else { return Ok(Vec::new()) };
        writer.write_all(data)?;
        if last {
            return writer.end();
        }
        if self.flush {
            writer.flush()?;
        }
        let made = std::mem::take(writer.made());
        self.writer = Some(writer);
        Ok(made)
    }
}

impl<W: Coding> Pieces for Encoder<W> {
    fn piece(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure> {
        // Memory takes every byte: this cannot fail.
        self.code(&data, last).map(Bytes::from).map_err(|_| Failure::Extension)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::io::Read;

    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    const BOTH: &[Compression] = &[Compression::Br, Compression::Gzip];

    fn accepted(value: &'static str) -> Accepted {
        Accepted::of(BOTH, &Method::GET, &map(&[("accept-encoding", value)]))
    }

    /// The coding of a response of some length.
    fn coding(accepted: Accepted, status: u16, fields: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = map(fields);
        let length = crate::proxy::fields::content_length(&headers);
        accepted.apply(StatusCode::from_u16(status).unwrap(), &mut headers, length)?;
        Some(headers[CONTENT_ENCODING].to_str().unwrap().to_owned())
    }

    #[test]
    fn a_client_gets_what_it_takes() {
        for (value, br, gzip) in [
            ("gzip, deflate, br", true, true),
            ("GZIP;q=0.5", false, true),
            ("br;q=0, gzip;q=0.0", false, false),
            ("br;q=0.000, *", false, true),
            ("*;q=0", false, false),
            ("identity", false, false),
            ("x-gzip", false, true),
            ("", false, false),
        ] {
            assert_eq!(accepted(value), Accepted { offered: true, br, gzip }, "{value}");
        }
        assert_eq!(
            Accepted::of(BOTH, &Method::GET, &HeaderMap::new()),
            Accepted { offered: true, br: false, gzip: false }
        );
        assert_eq!(Accepted::of(&[], &Method::GET, &map(&[("accept-encoding", "br")])), Accepted::default());
    }

    #[test]
    fn what_is_compressed() {
        let json = [("content-type", "application/json; charset=utf-8"), ("content-length", "1025")];
        assert_eq!(coding(accepted("gzip, br"), 200, &json).as_deref(), Some("br"));
        assert_eq!(coding(accepted("gzip"), 404, &json).as_deref(), Some("gzip"));
        let image = [("content-type", "image/png"), ("content-length", "5000")];
        assert_eq!(coding(accepted("gzip"), 200, &image), None);
        assert_eq!(coding(accepted("br"), 200, &image).as_deref(), Some("br"));
        assert_eq!(coding(accepted("gzip"), 200, &[("content-type", "text/event-stream")]).as_deref(), Some("gzip"));
        for (status, field) in [
            (200, ("content-length", "1024")),
            (200, ("content-encoding", "gzip")),
            (200, ("cache-control", "max-age=1, No-Transform")),
            (200, ("content-digest", "sha-256=:AA==:")),
            (200, ("content-type", "application/grpc+proto")),
            (206, ("content-range", "bytes 0-1/2")),
            (304, ("x-a", "1")),
        ] {
            assert_eq!(coding(accepted("br, gzip"), status, &[field]), None, "{field:?}");
        }
    }

    #[test]
    fn the_head_says_what_was_done() {
        let mut headers = map(&[
            ("content-type", "text/css"),
            ("content-length", "2000"),
            ("etag", "\"a\""),
            ("accept-ranges", "bytes"),
        ]);
        assert!(accepted("gzip").apply(StatusCode::OK, &mut headers, Some(2000)).is_some());
        assert_eq!(headers[ETAG], "W/\"a\"");
        assert_eq!(headers[VARY], "accept-encoding");
        assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(ACCEPT_RANGES));
        let mut headers = map(&[("content-type", "text/css"), ("content-length", "2000"), ("vary", "Accept-Encoding")]);
        assert!(accepted("identity").apply(StatusCode::OK, &mut headers, Some(2000)).is_none());
        assert_eq!(headers.get_all(VARY).iter().count(), 1, "a cache has to know, but once is enough");
        assert_eq!(headers[CONTENT_LENGTH], "2000");
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|at| (at / 7).to_le_bytes()).collect();
        for (accept, known) in [("br", None), ("br", Some(800_000)), ("gzip", None), ("gzip", Some(800_000))] {
            let mut headers = map(&[("content-type", "text/plain")]);
            let mut encoder = accepted(accept).apply(StatusCode::OK, &mut headers, known).unwrap();
            let mut coded = Vec::new();
            for piece in text.chunks(70_000) {
                let out = encoder.piece(Bytes::copy_from_slice(piece), false).unwrap();
                assert!(known.is_some() || !out.is_empty(), "{accept}: each piece leaves at once");
                coded.extend(out);
            }
            coded.extend(encoder.piece(Bytes::new(), true).unwrap());
            let mut decoded = Vec::new();
            match accept {
                "br" => brotli::Decompressor::new(&coded[..], 4096).read_to_end(&mut decoded).unwrap(),
                _ => flate2::read::GzDecoder::new(&coded[..]).read_to_end(&mut decoded).unwrap(),
            };
            assert!(decoded == text && coded.len() < text.len() / 2, "{accept} {known:?} {}", coded.len());
        }
    }
}
