//! Texts with insertions, ready to be written.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tidegate_dsl::plan::{self, ClientCertPart, Insert, Piece};

use crate::bounds::MAX_INSERTED_BYTES;
use crate::build_error::Invalid;
use crate::exchange::Exchange;
use crate::{client_cert, fields, protocol, stack_text, trace};

/// A text with insertions.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Box<[Part]>,
    /// The length of its own text, in bytes.
    own: usize,
}

/// The values that a template sees.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) exchange: &'a Exchange,
    /// The rule's name; empty before one was found.
    pub(crate) rule: &'a str,
    /// The finds of the rule's `matches`, by slot.
    pub(crate) captures: &'a [Option<Box<str>>],
}

/// The groups of a rule's `matches` that its templates use: only these are kept when the rule is taken.
#[derive(Debug, Default)]
pub(crate) struct Slots(pub(crate) Vec<Group>);

/// A group of a regular expression, as `${match.…}` names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Index(usize),
    Name(Box<str>),
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(Box<str>),
    Host,
    Port,
    Path,
    Query,
    Uri,
    OriginalUri,
    Scheme,
    Method,
    ClientIp,
    PeerIp,
    Listener,
    Rule,
    Group,
    Server,
    RequestId,
    TraceId,
    TlsVersion,
    TlsCipher,
    TlsGroup,
    Sni,
    Protocol,
    ClientPort,
    ClientCert(ClientCertPart),
    /// `${header.host}`: host and port, which are no field of the header map.
    Authority,
    Header(HeaderName),
    QueryParam(Box<str>),
    Cookie(Box<str>),
    Var(Box<str>),
    Match(usize),
    Status,
    ResponseHeader(HeaderName),
}

impl Template {
    pub(crate) fn new(template: &plan::Template, slots: &mut Slots) -> Result<Self, Invalid> {
        let parts: Box<[Part]> = template.0.iter().map(|piece| Part::new(piece, slots)).collect::<Result<_, _>>()?;
        let own = parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            _ => 0,
        });
        Ok(Self { own: own.sum(), parts })
    }

    /// The text, if nothing is inserted.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text. What is inserted is cut where it would pass [`MAX_INSERTED_BYTES`].
    pub(crate) fn render(&self, scope: Scope<'_>) -> Cow<'_, str> {
        if let Some(text) = self.fixed() {
            return Cow::Borrowed(text);
        }
        let mut out = self.output();
        for part in &self.parts {
            part.write(scope, &mut out);
        }
        Cow::Owned(out.text)
    }

    /// The text, and where each piece of it ends.
    pub(crate) fn render_apart(&self, scope: Scope<'_>) -> (String, Vec<usize>) {
        let mut out = self.output();
        let ends = self.parts.iter().map(|part| {
            part.write(scope, &mut out);
            out.text.len()
        });
        let ends = ends.collect();
        (out.text, ends)
    }

    fn output(&self) -> Output {
        Output { text: String::with_capacity(self.own + 48), left: MAX_INSERTED_BYTES }
    }
}

impl Slots {
    /// The slot of a group; the same one for the same group.
    fn slot(&mut self, group: Group) -> usize {
        let known = self.0.iter().position(|known| *known == group);
        known.unwrap_or_else(|| {
            self.0.push(group);
            self.0.len() - 1
        })
    }
}

impl Part {
    pub(crate) fn new(piece: &Piece, slots: &mut Slots) -> Result<Self, Invalid> {
        let insert = match piece {
            Piece::Text(text) => return Ok(Self::Text(text.as_str().into())),
            Piece::Insert(insert) => insert,
        };
        Ok(match insert {
            Insert::Host => Self::Host,
            Insert::Port => Self::Port,
            Insert::Path => Self::Path,
            Insert::Query => Self::Query,
            Insert::Uri => Self::Uri,
            Insert::OriginalUri => Self::OriginalUri,
            Insert::Scheme => Self::Scheme,
            Insert::Method => Self::Method,
            Insert::ClientIp => Self::ClientIp,
            Insert::PeerIp => Self::PeerIp,
            Insert::Listener => Self::Listener,
            Insert::Rule => Self::Rule,
            Insert::Group => Self::Group,
            Insert::Server => Self::Server,
            Insert::RequestId => Self::RequestId,
            Insert::TraceId => Self::TraceId,
            Insert::TlsVersion => Self::TlsVersion,
            Insert::TlsCipher => Self::TlsCipher,
            Insert::TlsGroup => Self::TlsGroup,
            Insert::Sni => Self::Sni,
            Insert::Protocol => Self::Protocol,
            Insert::ClientPort => Self::ClientPort,
            Insert::ClientCert(part) => Self::ClientCert(*part),
            Insert::Header(name) => match header_name(name)? {
                header::HOST => Self::Authority,
                name => Self::Header(name),
            },
            Insert::QueryParam(name) => Self::QueryParam(name.as_str().into()),
            Insert::Cookie(name) => Self::Cookie(name.as_str().into()),
            Insert::Var(name) => Self::Var(name.as_str().into()),
            Insert::MatchIndex(index) => Self::Match(slots.slot(Group::Index(*index))),
            Insert::MatchName(name) => Self::Match(slots.slot(Group::Name(name.as_str().into()))),
            Insert::Status => Self::Status,
            Insert::ResponseHeader(name) => Self::ResponseHeader(header_name(name)?),
            Insert::Log(field) => {
                return Err(Invalid(format!("`${{{}}}` is known only to a line of the access log", field.word())));
            }
        })
    }

    pub(crate) fn write(&self, scope: Scope<'_>, out: &mut Output) {
        let exchange = scope.exchange;
        let request = &exchange.request;
        let tls = exchange.connection.tls.as_ref();
        match self {
            Self::Text(text) => out.text.push_str(text),
            Self::Host => out.insert(request.host()),
            Self::Port => out.insert_display(port(exchange)),
            Self::Path => out.insert(request.target.path()),
            Self::Query => out.insert(request.target.query().unwrap_or_default()),
            Self::Uri => out.insert(request.target.as_str()),
            Self::OriginalUri => out.insert(request.original_target.as_str()),
            Self::Scheme => out.insert(exchange.connection.scheme()),
            Self::Method => out.insert(request.method.as_str()),
            Self::ClientIp => out.insert(stack_text::address(exchange.client_ip).as_str()),
            Self::PeerIp => out.insert(stack_text::address(exchange.connection.peer.ip()).as_str()),
            Self::Listener => out.insert(&exchange.connection.listener),
            Self::Rule => out.insert(scope.rule),
            Self::Group => out.insert(exchange.group.as_deref().unwrap_or_default()),
            Self::Server => out.insert(exchange.server.as_deref().unwrap_or_default()),
            Self::RequestId => out.insert_display(format_args!("{:032x}", exchange.request_id)),
            Self::TraceId => {
                let context = request.headers.get(&trace::TRACEPARENT).and_then(trace::read);
                out.insert(context.map(|context| context.trace_id).unwrap_or_default());
            }
            Self::TlsVersion => out.insert(tls.map(|tls| tls.version).unwrap_or_default()),
            Self::TlsCipher => out.insert(tls.map(|tls| tls.cipher.as_str()).unwrap_or_default()),
            Self::TlsGroup => out.insert(tls.and_then(|tls| tls.group).unwrap_or_default()),
            Self::Sni => out.insert(tls.and_then(|tls| tls.sni.as_deref()).unwrap_or_default()),
            Self::Protocol => out.insert(protocol::word(request.version)),
            Self::ClientPort => out.insert_display(exchange.connection.peer.port()),
            Self::ClientCert(part) => {
                out.insert(&client_cert::part(tls.and_then(|tls| tls.client_cert.as_ref()), *part));
            }
            Self::Authority => out.insert(request.authority.as_str()),
            Self::Header(name) => out.insert_joined(&request.headers, name),
            Self::QueryParam(name) => {
                let query = request.target.query().unwrap_or_default();
                out.insert(&fields::query(query, name).next().unwrap_or_default());
            }
            Self::Cookie(name) => {
                out.insert(&fields::cookie(&request.headers, name).next().unwrap_or_default());
            }
            Self::Var(name) => out.insert(exchange.vars.get(name).unwrap_or_default()),
            Self::Match(slot) => {
                let found = scope.captures.get(*slot).and_then(Option::as_deref);
                out.insert(found.unwrap_or_default());
            }
            Self::Status => {
                if let Some(response) = &exchange.response {
                    out.insert(response.status.as_str());
                }
            }
            Self::ResponseHeader(name) => {
                if let Some(response) = &exchange.response {
                    out.insert_joined(&response.headers, name);
                }
            }
        }
    }
}

/// A text that grows, and what insertions may still add to it.
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) left: usize,
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.insert(text);
        Ok(())
    }
}

impl Output {
    fn insert(&mut self, value: &str) {
        let taken = &value[..value.floor_char_boundary(self.left)];
        self.left -= taken.len();
        self.text.push_str(taken);
    }

    /// Inserts a value that is short by its nature.
    fn insert_display(&mut self, value: impl std::fmt::Display) {
        let before = self.text.len();
        // Writing to a `String` does not fail.
        let _ = write!(self.text, "{value}");
        self.left = self.left.saturating_sub(self.text.len() - before);
    }

    fn insert_joined(&mut self, headers: &HeaderMap, name: &HeaderName) {
        for (index, value) in fields::header(headers, name).enumerate() {
            if index > 0 {
                self.insert(", ");
            }
            self.insert(&value);
        }
    }
}

/// The port that the client asked for.
fn port(exchange: &Exchange) -> u16 {
    let asked = exchange.request.original_authority.port_u16();
    asked.unwrap_or(if exchange.connection.tls.is_some() { 443 } else { 80 })
}

/// A header name of the policy.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Invalid(format!("`{name}` is no header name; letters, digits and `-` make one")))
}

/// A header value from a template.
#[derive(Debug)]
pub(crate) enum HeaderText {
    Fixed(HeaderValue),
    Made(Template),
}

impl HeaderText {
    pub(crate) fn new(template: &plan::Template, slots: &mut Slots) -> Result<Self, Invalid> {
        let template = Template::new(template, slots)?;
        Ok(match template.fixed() {
            Some(text) => Self::Fixed(header_value(Cow::Borrowed(text))),
            None => Self::Made(template),
        })
    }

    pub(crate) fn value(&self, scope: Scope<'_>) -> HeaderValue {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Made(template) => header_value(template.render(scope)),
        }
    }
}

/// A header value of any text: bytes that a value cannot have (RFC 9110, 5.5) are dropped, and so are spaces around it.
pub(crate) fn header_value(text: Cow<'_, str>) -> HeaderValue {
    let forbidden = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    let clean = text.trim_matches([' ', '\t']).len() == text.len() && !text.bytes().any(forbidden);
    let bytes = if clean {
        Bytes::from(text.into_owned())
    } else {
        let kept: Vec<u8> = text.bytes().filter(|byte| !forbidden(*byte)).collect();
        Bytes::copy_from_slice(kept.trim_ascii())
    };
    HeaderValue::from_maybe_shared(bytes).unwrap_or(const { HeaderValue::from_static("") })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use proptest::prelude::*;

    use std::sync::Arc;

    use super::*;
    use crate::exchange::{ClientCert, Response, Tls};
    use crate::testing;

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    fn render(pieces: Vec<Piece>, exchange: &Exchange) -> String {
        let template = Template::new(&plan::Template(pieces), &mut Slots::default()).unwrap();
        let scope = Scope { exchange, rule: "api", captures: &[Some("found".into())] };
        template.render(scope).into_owned()
    }

    #[test]
    fn every_insert_has_its_value() {
        let mut exchange = testing::exchange("GET", "shop.example:8443", "/a/b?q=x%20y&q=2");
        let headers = &mut exchange.request.headers;
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        headers.append("cookie", HeaderValue::from_static("plan=pro"));
        headers
            .append("traceparent", HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        exchange.vars.set("v", "value").unwrap();
        Arc::make_mut(&mut exchange.connection).tls = Some(Tls {
            sni: Some("shop.example".into()),
            version: "tls1.3",
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            group: Some("x25519"),
            client_cert: Some(ClientCert {
                subject: "CN=till".into(),
                issuer: "CN=root".into(),
                fingerprint: "ab".into(),
                serial: "0f".into(),
                der: Arc::from([]),
            }),
        });
        exchange.group = Some("web".into());
        exchange.server = Some("10.0.0.1:80".into());
        exchange.response = Some(Response::new(
            http::StatusCode::NOT_FOUND,
            HeaderMap::from_iter([(header::SERVER, HeaderValue::from_static("backend"))]),
        ));
        for (insert, expected) in [
            (Insert::Host, "shop.example"),
            (Insert::Port, "8443"),
            (Insert::Path, "/a/b"),
            (Insert::Query, "q=x%20y&q=2"),
            (Insert::Uri, "/a/b?q=x%20y&q=2"),
            (Insert::OriginalUri, "/a/b?q=x%20y&q=2"),
            (Insert::Scheme, "https"),
            (Insert::Method, "GET"),
            (Insert::ClientIp, "203.0.113.9"),
            (Insert::PeerIp, "192.0.2.1"),
            (Insert::Listener, "main"),
            (Insert::Rule, "api"),
            (Insert::Group, "web"),
            (Insert::Server, "10.0.0.1:80"),
            (Insert::RequestId, "0000000000000000000000000000002a"),
            (Insert::TraceId, "0af7651916cd43dd8448eb211c80319c"),
            (Insert::Header("x-a".into()), "1, 2"),
            (Insert::Header("x-none".into()), ""),
            (Insert::Header("host".into()), "shop.example:8443"),
            (Insert::QueryParam("q".into()), "x y"),
            (Insert::QueryParam("none".into()), ""),
            (Insert::Cookie("plan".into()), "pro"),
            (Insert::Var("v".into()), "value"),
            (Insert::Var("none".into()), ""),
            (Insert::MatchIndex(1), "found"),
            (Insert::MatchName("n".into()), "found"),
            (Insert::Status, "404"),
            (Insert::ResponseHeader("server".into()), "backend"),
            (Insert::TlsVersion, "tls1.3"),
            (Insert::TlsCipher, "TLS_AES_128_GCM_SHA256"),
            (Insert::TlsGroup, "x25519"),
            (Insert::Sni, "shop.example"),
            (Insert::Protocol, "h1"),
            (Insert::ClientPort, "4711"),
            (Insert::ClientCert(ClientCertPart::Subject), "CN=till"),
            (Insert::ClientCert(ClientCertPart::Verify), "SUCCESS"),
        ] {
            let shown = format!("{insert:?}");
            let pieces = vec![text("<"), Piece::Insert(insert), text(">")];
            assert_eq!(render(pieces, &exchange), format!("<{expected}>"), "{shown}");
        }
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let exchange = testing::exchange("GET", "a", "/");
        for insert in [
            Insert::Query,
            Insert::Group,
            Insert::Server,
            Insert::TraceId,
            Insert::MatchIndex(2),
            Insert::Status,
            Insert::ResponseHeader("server".into()),
        ] {
            // The first slot is filled by the scope above; ask for a second one.
            let pieces = vec![Piece::Insert(Insert::MatchName("first".into())), text("|"), Piece::Insert(insert)];
            assert_eq!(render(pieces, &exchange), "found|");
        }
        assert_eq!(render(vec![Piece::Insert(Insert::Port)], &exchange), "80");
        assert_eq!(render(vec![], &exchange), "");
    }

    #[test]
    fn the_output_is_bounded() {
        let mut exchange = testing::exchange("GET", "a", "/");
        let large = HeaderValue::from_str(&"\u{e9}".repeat(MAX_INSERTED_BYTES)).unwrap();
        exchange.request.headers.append("x-a", large);
        let insert = || Piece::Insert(Insert::Header("x-a".into()));
        let rendered = render(vec![text("a"), insert(), insert(), text("z")], &exchange);
        assert_eq!(rendered.len(), MAX_INSERTED_BYTES + 2);
        assert!(rendered.ends_with("\u{e9}z"));
    }

    #[test]
    fn a_bad_header_name_is_told() {
        let template = plan::Template(vec![Piece::Insert(Insert::Header("a b".into()))]);
        let error = Template::new(&template, &mut Slots::default()).unwrap_err();
        assert!(error.0.contains("`a b`"), "{error:?}");
    }

    #[test]
    fn header_values_are_made_safe() {
        for (raw, expected) in [
            ("plain", "plain"),
            ("a\r\nset-cookie: b", "aset-cookie: b"),
            ("\0\x07\x7fa\tb", "a\tb"),
            ("  a  ", "a"),
            ("\n a", "a"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("", ""),
        ] {
            assert_eq!(header_value(Cow::Borrowed(raw)).as_bytes(), expected.as_bytes(), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_value(raw in "[ -~\\x00-\\x1f\\x7f\u{e9}]{0,24}") {
            let value = header_value(Cow::Borrowed(&raw));
            let wanted: String = raw.chars().filter(|c| *c == '\t' || !c.is_ascii_control()).collect();
            prop_assert_eq!(value.as_bytes(), wanted.trim_matches([' ', '\t']).as_bytes());
        }

        #[test]
        fn a_template_is_its_pieces_in_order(pieces in proptest::collection::vec("[a-z]{0,3}", 0..6)) {
            let exchange = testing::exchange("GET", "shop.example", "/");
            let made = pieces.iter().flat_map(|piece| [text(piece), Piece::Insert(Insert::Host)]).collect();
            let expected: String = pieces.iter().map(|piece| format!("{piece}shop.example")).collect();
            prop_assert_eq!(render(made, &exchange), expected);
        }
    }
}
