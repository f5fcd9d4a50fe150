//! Texts with insertions, ready to be written.

use std::borrow::Cow;
use std::fmt::Write;

use http::{HeaderMap, HeaderName, header};
use tidegate_dsl::plan::{self, ClientCertPart, Insert, Piece};

use crate::bounds::MAX_INSERTED_BYTES;
use crate::build_error::Invalid;
use crate::exchange::Exchange;
use crate::header_name::header_name;
use crate::{client_cert, fields, protocol, stack_text, trace};

/// A text with insertions.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Box<[TemplatePart]>,
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
pub(crate) struct Slots(pub(crate) Vec<MatchGroup>);

/// A group of a regular expression, as `${match.…}` names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MatchGroup {
    Index(usize),
    Name(Box<str>),
}

/// A part of a template: its own text, or a value of the exchange.
#[derive(Debug)]
pub(crate) enum TemplatePart {
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
        let parts: Box<[TemplatePart]> =
            template.0.iter().map(|piece| TemplatePart::new(piece, slots)).collect::<Result<_, _>>()?;
        let own = parts.iter().map(|part| match part {
            TemplatePart::Text(text) => text.len(),
            _ => 0,
        });
        Ok(Self { own: own.sum(), parts })
    }

    /// The text, if nothing is inserted.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [TemplatePart::Text(text)] => Some(text),
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
    fn slot(&mut self, group: MatchGroup) -> usize {
        let known = self.0.iter().position(|known| *known == group);
        known.unwrap_or_else(|| {
            self.0.push(group);
            self.0.len() - 1
        })
    }
}

impl TemplatePart {
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
            Insert::MatchIndex(index) => Self::Match(slots.slot(MatchGroup::Index(*index))),
            Insert::MatchName(name) => Self::Match(slots.slot(MatchGroup::Name(name.as_str().into()))),
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
            Self::TraceId => match &exchange.trace {
                Some(own) => out.insert_display(format_args!("{:032x}", own.trace_id)),
                None => {
                    let context = request.headers.get(&trace::TRACEPARENT).and_then(trace::read);
                    out.insert(context.map(|context| context.trace_id).unwrap_or_default());
                }
            },
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests;
