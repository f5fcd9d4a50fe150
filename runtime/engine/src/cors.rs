//! `cors`: what pages of other origins may do with a rule's answers (Fetch standard, 3.3, "HTTP-CORS protocol").
//!
//! Nothing is refused here but by the browser: an origin that may not ask gets an answer without the fields that would let its
//! page see it.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tidegate_dsl::Glob;
use tidegate_dsl::plan::{self, CorsHeaders, CorsOrigins};

use crate::exchange::Request;
use crate::header_text::header_value;
use crate::hook::Reply;

/// The settings of a `cors`, ready to answer.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Origins,
    methods: HeaderValue,
    headers: Headers,
    /// `None` if there are none.
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

#[derive(Debug)]
enum Origins {
    Any,
    Only(Box<[Glob]>),
}

#[derive(Debug)]
enum Headers {
    /// Whatever is asked for.
    Any,
    /// The fields of this list; `None` if it is empty.
    Only(Option<HeaderValue>),
}

/// The effect of `cors` on a request.
#[derive(Debug)]
pub(crate) struct Met {
    /// The marks that the answer gets on the way back.
    pub(crate) marks: Marks,
    /// The answer to a preflight request, without marks.
    pub(crate) preflight: Option<Reply>,
    /// The reason in words, for `explain`.
    pub(crate) why: &'static str,
}

/// Fields that an answer gets, in place of those that a backend wrote.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// `Access-Control-Allow-Origin`; `None` if the origin may not ask.
    origin: Option<HeaderValue>,
    credentials: bool,
    expose: Option<HeaderValue>,
    /// Whether another origin would get another answer.
    varies: bool,
}

impl Cors {
    pub(crate) fn new(cors: &plan::Cors) -> Self {
        Self {
            origins: match &cors.origins {
                CorsOrigins::Any => Origins::Any,
                CorsOrigins::Only(origins) => Origins::Only(origins.iter().map(|origin| Glob::new(origin)).collect()),
            },
            methods: joined(&cors.methods).unwrap_or_else(|| HeaderValue::from_static("")),
            headers: match &cors.headers {
                CorsHeaders::Any => Headers::Any,
                CorsHeaders::Only(names) => Headers::Only(joined(names)),
            },
            expose: joined(&cors.expose),
            credentials: cors.credentials,
            max_age: HeaderValue::from(cors.max_age.as_secs()),
        }
    }

    /// The effect of `cors` on this request.
    pub(crate) fn meet(&self, request: &Request) -> Met {
        let origin = only(&request.headers);
        let allowed = origin.filter(|origin| self.allows(origin));
        // Where every origin gets the same, caches need not tell them apart (Fetch, "CORS protocol and HTTP caches").
        let same_for_all = matches!(self.origins, Origins::Any) && !self.credentials;
        let marks = Marks {
            origin: if same_for_all { Some(HeaderValue::from_static("*")) } else { allowed.cloned() },
            credentials: self.credentials && allowed.is_some(),
            expose: self.expose.clone(),
            varies: !same_for_all,
        };
        let asks = request.method == Method::OPTIONS && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        match (origin, allowed) {
            (None, _) => Met { marks, preflight: None, why: "the request has no `Origin`" },
            (Some(_), None) if asks => {
                Met { marks, preflight: Some(self.refuse()), why: "a preflight request, of an origin that may not ask" }
            }
            (Some(_), None) => Met { marks, preflight: None, why: "the origin may not ask; its browser will refuse" },
            (Some(_), Some(_)) if asks => {
                let marks = Marks { expose: None, ..marks };
                Met { marks, preflight: Some(self.allow(request)), why: "a preflight request, answered here" }
            }
            (Some(_), Some(_)) => Met { marks, preflight: None, why: "the origin may ask; the answer is marked" },
        }
    }

    /// Whether this origin may ask. Only what looks like an origin (RFC 6454, 6.2) is held against globs: a `*` takes anything.
    fn allows(&self, origin: &HeaderValue) -> bool {
        let Origins::Only(globs) = &self.origins else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        let whole = origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && host.chars().all(plain));
        whole && globs.iter().any(|glob| glob.matches(&origin))
    }

    fn refuse(&self) -> Reply {
        Reply { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn allow(&self, request: &Request) -> Reply {
        let mut reply = self.refuse();
        reply.headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let headers = match &self.headers {
            Headers::Any => request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
            Headers::Only(names) => names.clone(),
        };
        if let Some(headers) = headers {
            reply.headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
        reply.headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        reply
    }
}

impl Marks {
    /// Writes them into an answer, and takes out what a backend wrote: two values of one field, and a browser refuses both.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let fields = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone()),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, self.credentials.then(|| HeaderValue::from_static("true"))),
            (ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone().filter(|_| self.origin.is_some())),
        ];
        for (name, value) in fields {
            match value {
                Some(value) => _ = headers.try_insert(name, value),
                None => _ = headers.remove(name),
            }
        }
        if self.varies && !varies_by_origin(headers) {
            _ = headers.try_append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let names = headers.get_all(VARY).into_iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    names.map(<[u8]>::trim_ascii).any(|name| name.eq_ignore_ascii_case(b"origin") || name == b"*")
}

/// The value of the only `Origin`; with several, nobody knows who asks.
fn only(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(ORIGIN).into_iter();
    values.next().filter(|_| values.next().is_none())
}

fn joined(values: &[String]) -> Option<HeaderValue> {
    (!values.is_empty()).then(|| header_value(values.join(", ").into()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing;

    fn shop() -> plan::Cors {
        let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        plan::Cors {
            origins: CorsOrigins::Only(texts(&["https://shop.example", "https://*.shop.example"])),
            methods: texts(&["GET", "PUT"]),
            headers: CorsHeaders::Only(texts(&["x-token"])),
            expose: texts(&["x-request-id"]),
            credentials: true,
            max_age: Duration::from_secs(600),
        }
    }

    fn anybody() -> plan::Cors {
        plan::Cors {
            origins: CorsOrigins::Any,
            headers: CorsHeaders::Any,
            credentials: false,
            expose: Vec::new(),
            ..shop()
        }
    }

    /// The status of an answer made here, and every field of the answer.
    fn answer(
        cors: &plan::Cors,
        method: &str,
        fields: &[(&str, &str)],
        backend: &[(&str, &str)],
    ) -> (u16, Vec<String>) {
        let mut exchange = testing::exchange(method, "shop.example", "/");
        let name = |name: &str| http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        for (field, value) in fields {
            exchange.request.headers.append(name(field), value.parse().unwrap());
        }
        let met = Cors::new(cors).meet(&exchange.request);
        let (status, mut headers) = match met.preflight {
            Some(reply) => (reply.status.as_u16(), reply.headers),
            None => (0, backend.iter().map(|(field, value)| (name(field), value.parse().unwrap())).collect()),
        };
        met.marks.apply(&mut headers);
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        (status, lines)
    }

    const ASK: (&str, &str) = ("access-control-request-method", "PUT");

    #[test]
    fn a_preflight_request_is_answered() {
        let fields = [("origin", "https://shop.example"), ASK, ("access-control-request-headers", "x-other")];
        let (status, lines) = answer(&shop(), "OPTIONS", &fields, &[]);
        assert_eq!(status, 204);
        assert_eq!(
            lines,
            [
                "access-control-allow-credentials: true",
                "access-control-allow-headers: x-token",
                "access-control-allow-methods: GET, PUT",
                "access-control-allow-origin: https://shop.example",
                "access-control-max-age: 600",
                "vary: Origin",
            ]
        );
        let (status, lines) = answer(&anybody(), "OPTIONS", &fields, &[]);
        assert_eq!(status, 204);
        assert_eq!(
            lines,
            [
                "access-control-allow-headers: x-other",
                "access-control-allow-methods: GET, PUT",
                "access-control-allow-origin: *",
                "access-control-max-age: 600",
            ]
        );
    }

    #[test]
    fn an_origin_that_may_not_ask_gets_nothing() {
        let (status, lines) = answer(&shop(), "OPTIONS", &[("origin", "https://evil.example"), ASK], &[]);
        assert_eq!((status, lines), (204, vec!["vary: Origin".to_owned()]));
        let backend = [("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")];
        let (status, lines) = answer(&shop(), "GET", &[("origin", "https://evil.example")], &backend);
        assert_eq!((status, lines), (0, vec!["vary: Origin".to_owned()]));
    }

    #[test]
    fn options_alone_is_no_preflight_request() {
        assert_eq!(answer(&shop(), "OPTIONS", &[("origin", "https://shop.example")], &[]).0, 0);
        assert_eq!(answer(&shop(), "OPTIONS", &[ASK], &[]).0, 0);
        assert_eq!(answer(&shop(), "GET", &[("origin", "https://shop.example"), ASK], &[]).0, 0);
    }

    #[test]
    fn answers_are_marked_once() {
        let backend =
            [("access-control-allow-origin", "https://old.example"), ("vary", "accept, ORIGIN"), ("x-a", "1")];
        let (_, lines) = answer(&shop(), "GET", &[("origin", "https://API.shop.example")], &backend);
        assert_eq!(
            lines,
            [
                "access-control-allow-credentials: true",
                "access-control-allow-origin: https://API.shop.example",
                "access-control-expose-headers: x-request-id",
                "vary: accept, ORIGIN",
                "x-a: 1",
            ]
        );
        // A cache gives the answer for no origin to those that have one.
        assert_eq!(answer(&shop(), "GET", &[], &[]).1, ["vary: Origin"]);
        assert_eq!(answer(&anybody(), "GET", &[], &[]).1, ["access-control-allow-origin: *"]);
    }

    #[test]
    fn only_whole_origins_fit() {
        let cors = Cors::new(&shop());
        for (origin, fits) in [
            ("https://shop.example", true),
            ("https://a.b.shop.example", true),
            ("http://shop.example", false),
            ("https://shop.example:8443", false),
            ("https://evilshop.example", false),
            ("https://evil.example/.shop.example", false),
            ("https://evil.example?.shop.example", false),
            ("https://user@x.shop.example", false),
            ("https://evil.example\\.shop.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(cors.allows(&HeaderValue::from_str(origin).unwrap()), fits, "{origin}");
        }
        let twice = [("origin", "https://shop.example"), ("origin", "https://evil.example")];
        assert_eq!(answer(&shop(), "GET", &twice, &[]).1, ["vary: Origin"]);
    }
}
