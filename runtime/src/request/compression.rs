//! `compression`: which responses are compressed for a client, and how (RFC 9110, 8.4 and 12.5.3).

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tidegate_base::bounds::Bound;
use tidegate_base::limits;
use tidegate_base::room::Room;
use tidegate_dsl::plan::Compression;
use tidegate_engine::status::is_bodiless;

use crate::request::body_filter::BodyFilter;
use crate::request::encoder;
use crate::request::encoder::AsItIs;

/// What a listener offers and a client takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The listener compresses at all.
    offered: bool,
    /// The listener offers Brotli, which is for every type of content.
    offers_br: bool,
    br: bool,
    gzip: bool,
    /// The answer has no body, and the head that `GET` would get (RFC 9110, 9.3.2).
    head_only: bool,
    /// The entity tags that the client has (RFC 9110, 13.1.2).
    known_tags: Option<HeaderValue>,
}

/// A coding for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Br,
    Gzip,
}

impl Accepted {
    /// Of a request.
    pub(super) fn of(offered: &[Compression], method: &Method, headers: &HeaderMap) -> Self {
        if offered.is_empty() {
            return Self::default();
        }
        let takes = |coding: Compression, name: &str| offered.contains(&coding) && accepts(headers, name);
        Self {
            offered: true,
            offers_br: offered.contains(&Compression::Br),
            br: takes(Compression::Br, "br"),
            gzip: takes(Compression::Gzip, "gzip"),
            head_only: *method == Method::HEAD,
            known_tags: headers.get(IF_NONE_MATCH).cloned(),
        }
    }

    /// Whether compressing depends on the length of the body, where the head does not tell it.
    pub(super) fn depends_on_length(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        self.offered
            && !self.head_only
            && is_whole(status, headers)
            && can_be_coded(headers)
            && self.coding(is_text(headers)).is_some()
    }

    /// The coding for a body of text, or of something else.
    const fn coding(&self, text: bool) -> Option<Coding> {
        if self.br {
            Some(Coding::Br)
        } else if self.gzip && text {
            Some(Coding::Gzip)
        } else {
            None
        }
    }

    /// Changes the head of a response that is to be compressed, and gives what compresses its body. `known` is the length
    /// of the body, if it is known; `room` is for the encoder.
    pub(super) fn apply(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        known: Option<u64>,
        room: &Room,
    ) -> Option<Box<dyn BodyFilter>> {
        let unchanged = status == StatusCode::NOT_MODIFIED;
        if !self.offered
            || (is_bodiless(status) && !unchanged)
            || status.is_informational()
            || !can_be_coded(headers)
            || known.is_some_and(|length| length <= limits::COMPRESSED_FROM)
        {
            return None;
        }
        let text = is_text(headers);
        // It need not say what it is of, and then it may be of text.
        let perhaps_text = text || (unchanged && !headers.contains_key(CONTENT_TYPE));
        if self.offers_br || perhaps_text {
            // What another client gets may differ, also where this one gets it as it is.
            add_vary(headers);
        }
        if unchanged && self.coding(perhaps_text).is_some() {
            self.name_what_is_known(headers);
        }
        if !is_whole(status, headers) {
            return None;
        }
        let coding = self.coding(text)?;
        let pieces: Box<dyn BodyFilter> = if self.head_only {
            Box::new(AsItIs)
        } else if let Some(encoder) = encoder::new(coding, known, room) {
            encoder
        } else {
            Bound::Encoders.met();
            return None;
        };
        let name = match coding {
            Coding::Br => "br",
            Coding::Gzip => "gzip",
        };
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        weaken(headers);
        Some(pieces)
    }

    /// Gives a 304 the tag of the 200 that it stands for (RFC 9110, 15.4.5). Whether that was compressed depends on a length that the
    /// 304 does not tell; the client names the tag that it got.
    fn name_what_is_known(&self, headers: &mut HeaderMap) {
        let (Some(tag), Some(known)) = (headers.get(ETAG), &self.known_tags) else { return weaken(headers) };
        let mut known = known.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let has_strong = known.clone().any(|known| known == tag.as_bytes());
        let has_weak = known.any(|known| known.strip_prefix(b"W/") == Some(tag.as_bytes()));
        if has_weak || !has_strong {
            weaken(headers);
        }
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

/// Whether a response has a body, and the whole body.
fn is_whole(status: StatusCode, headers: &HeaderMap) -> bool {
    !status.is_informational()
        && !is_bodiless(status)
        && status != StatusCode::PARTIAL_CONTENT
        && !headers.contains_key(CONTENT_RANGE)
}

/// Whether a response may be changed, and is not coded yet.
fn can_be_coded(headers: &HeaderMap) -> bool {
    const DIGESTS: [HeaderName; 3] = [
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("repr-digest"),
        HeaderName::from_static("digest"),
    ];
    let told_not_to = || {
        let mut values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("no-transform")))
    };
    let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    // A digest is of the bytes as they are (RFC 9530).
    let is_digested = || DIGESTS.iter().any(|name| headers.contains_key(name));
    !headers.contains_key(CONTENT_ENCODING) && !is_grpc && !is_digested() && !told_not_to()
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    const BOTH: &[Compression] = &[Compression::Br, Compression::Gzip];

    fn accepted(value: &'static str) -> Accepted {
        Accepted::of(BOTH, &Method::GET, &map(&[("accept-encoding", value)]))
    }

    fn room() -> Room {
        Room::new(limits::ENCODERS_BYTES)
    }

    /// The coding of a response of some length.
    fn coding(accepted: &Accepted, status: u16, fields: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = map(fields);
        let length = crate::request::fields::content_length(&headers);
        accepted.apply(StatusCode::from_u16(status).unwrap(), &mut headers, length, &room())?;
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
            let accepted = accepted(value);
            assert_eq!((accepted.br, accepted.gzip), (br, gzip), "{value}");
        }
        let silent = Accepted::of(BOTH, &Method::GET, &HeaderMap::new());
        assert!(silent.offered && !silent.br && !silent.gzip);
        assert_eq!(Accepted::of(&[], &Method::GET, &map(&[("accept-encoding", "br")])), Accepted::default());
    }

    #[test]
    fn what_is_compressed() {
        let json = [("content-type", "application/json; charset=utf-8"), ("content-length", "1025")];
        assert_eq!(coding(&accepted("gzip, br"), 200, &json).as_deref(), Some("br"));
        assert_eq!(coding(&accepted("gzip"), 404, &json).as_deref(), Some("gzip"));
        let image = [("content-type", "image/png"), ("content-length", "5000")];
        assert_eq!(coding(&accepted("gzip"), 200, &image), None);
        assert_eq!(coding(&accepted("br"), 200, &image).as_deref(), Some("br"));
        assert_eq!(coding(&accepted("gzip"), 200, &[("content-type", "text/event-stream")]).as_deref(), Some("gzip"));
        for (status, field) in [
            (200, ("content-length", "1024")),
            (200, ("content-encoding", "gzip")),
            (200, ("cache-control", "max-age=1, No-Transform")),
            (200, ("content-digest", "sha-256=:AA==:")),
            (200, ("content-type", "application/grpc+proto")),
            (206, ("content-range", "bytes 0-1/2")),
            (304, ("x-a", "1")),
        ] {
            assert_eq!(coding(&accepted("br, gzip"), status, &[field]), None, "{field:?}");
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
        assert!(accepted("gzip").apply(StatusCode::OK, &mut headers, Some(2000), &room()).is_some());
        assert_eq!(headers[ETAG], "W/\"a\"");
        assert_eq!(headers[VARY], "accept-encoding");
        assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(ACCEPT_RANGES));
        let mut headers = map(&[("content-type", "text/css"), ("content-length", "2000"), ("vary", "Accept-Encoding")]);
        assert!(accepted("identity").apply(StatusCode::OK, &mut headers, Some(2000), &room()).is_none());
        assert_eq!(headers.get_all(VARY).iter().count(), 1, "a cache has to know, but once is enough");
        assert_eq!(headers[CONTENT_LENGTH], "2000");
    }

    #[test]
    fn caches_know_wherever_another_client_may_get_something_else() {
        let png = ("content-type", "image/png");
        let css = ("content-type", "text/css");
        let long = ("content-length", "5000");
        for (offered, accept, status, fields, vary) in [
            (BOTH, "gzip", 200, &[png, long][..], true),
            (BOTH, "identity", 200, &[png, long], true),
            (&[Compression::Gzip], "gzip", 200, &[png, long], false),
            (&[Compression::Gzip], "identity", 200, &[css, long], true),
            (BOTH, "br", 206, &[css, ("content-range", "bytes 0-1/5000")], true),
            (BOTH, "br", 304, &[], true),
            (&[Compression::Gzip], "gzip", 304, &[], true),
            (&[Compression::Gzip], "gzip", 304, &[png], false),
            (BOTH, "br", 204, &[], false),
            (BOTH, "br", 200, &[css, ("content-length", "1024")], false),
            (BOTH, "br", 200, &[css, long, ("content-encoding", "br")], false),
            (&[], "br", 200, &[css, long], false),
        ] {
            let request = map(&[("accept-encoding", accept)]);
            let mut headers = map(fields);
            let known = crate::request::fields::content_length(&headers);
            let status = StatusCode::from_u16(status).unwrap();
            Accepted::of(offered, &Method::GET, &request).apply(status, &mut headers, known, &room());
            assert_eq!(headers.contains_key(VARY), vary, "{offered:?} {accept} {status} {fields:?}");
        }
    }

    #[test]
    fn head_gets_the_head_that_get_gets() {
        let fields = [("content-type", "text/css"), ("content-length", "2000"), ("etag", "\"a\"")];
        for accept in ["br", "gzip", "identity"] {
            let [get, head] = [Method::GET, Method::HEAD].map(|method| {
                let mut headers = map(&fields);
                let accepted = Accepted::of(BOTH, &method, &map(&[("accept-encoding", accept)]));
                accepted.apply(StatusCode::OK, &mut headers, Some(2000), &room());
                headers
            });
            assert_eq!(get, head, "{accept}");
        }
        let accepted = Accepted::of(BOTH, &Method::HEAD, &map(&[("accept-encoding", "br")]));
        let none = Room::new(0);
        assert!(accepted.apply(StatusCode::OK, &mut map(&fields), Some(2000), &none).is_some(), "it needs no encoder");
    }

    #[test]
    fn a_304_has_the_tag_of_the_200_that_it_stands_for() {
        for (accept, known, tag) in [
            ("br", "W/\"a\"", "W/\"a\""),
            ("gzip", "\"b\", W/\"a\"", "W/\"a\""),
            // It was too short to be compressed, or another client's.
            ("br", "\"a\"", "\"a\""),
            ("br", "\"a\", W/\"a\"", "W/\"a\""),
            ("br", "*", "W/\"a\""),
            ("identity", "W/\"a\"", "\"a\""),
        ] {
            let request = map(&[("accept-encoding", accept), ("if-none-match", known)]);
            let mut headers = map(&[("etag", "\"a\"")]);
            let accepted = Accepted::of(BOTH, &Method::GET, &request);
            assert!(accepted.apply(StatusCode::NOT_MODIFIED, &mut headers, None, &room()).is_none());
            assert_eq!(headers[ETAG], tag, "{accept} {known}");
        }
    }

    #[test]
    fn without_room_an_answer_goes_as_it_is() {
        let fields = [("content-type", "text/css"), ("content-length", "2000"), ("etag", "\"a\"")];
        let mut headers = map(&fields);
        let before = Bound::Encoders.count();
        assert!(accepted("br").apply(StatusCode::OK, &mut headers, Some(2000), &Room::new(0)).is_none());
        assert!(Bound::Encoders.count() > before);
        headers.remove(VARY).unwrap();
        assert_eq!(headers, map(&fields));
    }
}
