//! Spans as OTLP has them, with names and attributes by OpenTelemetry's semantic conventions for HTTP.

use bytes::Bytes;
use http::{Method, Version};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tidegate_base::failure::{Failure, Side};

use super::otlp::{
    AnyValue, CLIENT, ERROR, HAS_IS_REMOTE, INTERNAL, IS_REMOTE, InstrumentationScope, KeyValue, Resource,
    ResourceSpans, SERVER, ScopeSpans, Span as Encoded, Status, Value,
};
use super::span::{HookSpan, Of, RequestSpan, Span, TrySpan, address};

/// The version of the semantic conventions that names and attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.30.0";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The process that spans are of.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The name of the service, as the policy says.
    pub service: String,
    /// What no other process of the service has.
    pub id: String,
}

/// Spans of this process as the request to a collector.
///
/// Attributes are most of it, and are written as bytes at once: as messages each would be several allocations. The fields of a
/// message may come in any order (Protocol Buffers, "Encoding"), so that what is written so goes behind the rest.
pub fn request(instance: &Instance, spans: &[Span]) -> Bytes {
    let resource = [
        ("service.name", &*instance.service),
        ("service.version", VERSION),
        ("service.instance.id", &*instance.id),
        ("telemetry.sdk.name", "tidegate"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", VERSION),
    ];
    let pair = |(key, text): (&str, &str)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::Text(text.to_owned())) }),
    };
    let resource = Some(Resource { attributes: resource.map(pair).into() });
    let scope = Some(InstrumentationScope { name: "tidegate".to_owned(), version: VERSION.to_owned() });
    let mut scope_spans = ScopeSpans { scope, spans: Vec::new(), schema_url: SCHEMA.to_owned() }.encode_to_vec();
    let mut encoded = Vec::new();
    for span in spans {
        encoded.clear();
        encode(span, &mut encoded);
        put(2, &encoded, &mut scope_spans);
    }
    let mut resource_spans =
        ResourceSpans { resource, scope_spans: Vec::new(), schema_url: SCHEMA.to_owned() }.encode_to_vec();
    put(2, &scope_spans, &mut resource_spans);
    let mut request = Vec::with_capacity(resource_spans.len() + 8);
    put(1, &resource_spans, &mut request);
    request.into()
}

/// Writes a field that has a length.
fn put(field: u32, bytes: &[u8], to: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, to);
    encode_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

/// Writes a span as OTLP has it.
fn encode(span: &Span, to: &mut Vec<u8>) {
    let mut attributes = Attributes::default();
    let (kind, name, status) = match &span.of {
        Of::Request(request) => (SERVER, request_name(request), request.attributes(&mut attributes)),
        Of::Try(tried) => {
            (CLIENT, method(&tried.method).unwrap_or("HTTP").to_owned(), tried.attributes(&mut attributes))
        }
        Of::Hook(hook) => {
            (INTERNAL, format!("{} {}", hook.hook.name(), hook.extension), hook.attributes(&mut attributes))
        }
    };
    let flags = u32::from(span.context.sampled) | u32::from(span.context.random) << 1;
    let remote = if span.parent.is_some_and(|(_, remote)| remote) { IS_REMOTE } else { 0 };
    let message = Encoded {
        trace_id: span.context.trace_id.to_be_bytes().to_vec(),
        span_id: span.context.span_id.to_be_bytes().to_vec(),
        trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map(|(id, _)| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name,
        kind,
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: Vec::new(),
        status,
        flags: flags | HAS_IS_REMOTE | remote,
    };
    to.extend_from_slice(&message.encode_to_vec());
    to.extend_from_slice(&attributes.0);
}

/// The method and the rule: there are no more names than a policy has rules.
fn request_name(request: &RequestSpan) -> String {
    let method = method(&request.method).unwrap_or("HTTP");
    request.rule.as_deref().map_or_else(|| method.to_owned(), |rule| format!("{method} {rule}"))
}

/// The method, if it is a known one.
fn method(method: &Method) -> Option<&str> {
    const KNOWN: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
    Some(method.as_str()).filter(|method| KNOWN.contains(method))
}

impl RequestSpan {
    fn attributes(&self, of: &mut Attributes) -> Option<Status> {
        let info = &self.connection;
        of.method(&self.method);
        of.text("url.scheme", info.scheme());
        of.given("url.path", self.path.as_deref());
        of.given("url.query", self.query.as_deref().map(redacted).as_deref());
        of.given("http.route", self.rule.as_deref());
        if let Some(authority) = &self.authority {
            let (host, port) = host_and_port(authority);
            of.text("server.address", host);
            of.number("server.port", port.unwrap_or(if info.tls.is_some() { 443 } else { 80 }));
        }
        of.text("client.address", self.client.to_canonical().to_string());
        let (peer, port) = address(info.peer);
        of.text("network.peer.address", peer);
        of.number("network.peer.port", port);
        of.version(self.version);
        of.given("user_agent.original", self.user_agent.as_deref());
        of.number("http.request.body.size", i64::try_from(self.received).unwrap_or(i64::MAX));
        of.number("http.response.body.size", i64::try_from(self.sent).unwrap_or(i64::MAX));
        of.text("tidegate.listener", &*info.listener);
        of.given("tidegate.rule", self.rule.as_deref());
        of.given("tidegate.group", self.group.as_deref());
        of.given("tidegate.server", self.server.as_deref());
        if let Some(id) = self.request_id {
            of.text("tidegate.request_id", format!("{id:032x}"));
        }
        // Of a client's own mistakes, its server is not to blame (HTTP spans, Status).
        of.outcome(Some(self.status).filter(|status| *status != 0), self.failure, 500)
    }
}

impl TrySpan {
    fn attributes(&self, of: &mut Attributes) -> Option<Status> {
        let scheme = if self.secure { "https" } else { "http" };
        of.method(&self.method);
        of.text("server.address", &*self.server.host);
        of.number("server.port", i64::from(self.server.port));
        let authority = tidegate_base::address::address(&self.server.host, self.server.port);
        of.text("url.full", format!("{scheme}://{authority}{}", redacted_target(&self.target)));
        of.version(self.version);
        if self.resends > 0 {
            of.number("http.request.resend_count", i64::from(self.resends));
        }
        of.text("tidegate.group", &*self.group);
        of.text("tidegate.server", authority);
        of.outcome(self.status, self.failure, 400)
    }
}

impl HookSpan {
    fn attributes(&self, of: &mut Attributes) -> Option<Status> {
        of.text("tidegate.extension", &*self.extension);
        of.text("tidegate.hook", self.hook.name());
        let (kind, message) = self.fault.as_ref()?;
        of.text("error.type", *kind);
        Some(Status { code: ERROR, message: String::from(&**message) })
    }
}

/// The host and the port of an authority.
fn host_and_port(authority: &str) -> (&str, Option<i64>) {
    let port = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = port.map_or((authority, None), |(host, port)| (host, Some(i64::from(port))));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// A query without the values that are as good as a password (URL attributes, `url.query`).
fn redacted(query: &str) -> String {
    const SECRET: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];
    let shown = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if SECRET.contains(&name) => format!("{name}=REDACTED"),
        _ => pair.to_owned(),
    };
    query.split('&').map(shown).collect::<Vec<_>>().join("&")
}

fn redacted_target(target: &str) -> String {
    target.split_once('?').map_or_else(|| target.to_owned(), |(path, query)| format!("{path}?{}", redacted(query)))
}

/// The attributes of a span: fields of its message, as bytes.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    /// The field of attributes in a span.
    const FIELD: u32 = 9;

    /// Writes a key, and a value of so many bytes, which `value` writes.
    fn put(&mut self, key: &str, length: usize, value: impl FnOnce(&mut Vec<u8>)) {
        let Self(out) = self;
        let with_head = |length: usize| 1 + encoded_len_varint(length as u64) + length;
        encode_key(Self::FIELD, WireType::LengthDelimited, out);
        encode_varint((with_head(key.len()) + with_head(length)) as u64, out);
        put(1, key.as_bytes(), out);
        encode_key(2, WireType::LengthDelimited, out);
        encode_varint(length as u64, out);
        value(out);
    }

    fn text(&mut self, key: &str, text: impl AsRef<str>) {
        let text = text.as_ref().as_bytes();
        let length = 1 + encoded_len_varint(text.len() as u64) + text.len();
        self.put(key, length, |out| put(1, text, out));
    }

    fn number(&mut self, key: &str, number: i64) {
        let number = number.cast_unsigned();
        self.put(key, 1 + encoded_len_varint(number), |out| {
            encode_key(3, WireType::Varint, out);
            encode_varint(number, out);
        });
    }

    fn given(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn method(&mut self, sent: &Method) {
        self.text("http.request.method", method(sent).unwrap_or("_OTHER"));
        if method(sent).is_none() {
            self.text("http.request.method_original", super::span::text(sent.as_str()));
        }
    }

    fn version(&mut self, version: Version) {
        self.text("network.protocol.name", "http");
        let number = match version {
            Version::HTTP_3 => "3",
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        self.text("network.protocol.version", number);
    }

    /// The status of an answer, or what went wrong. A status is an error from this one on; so is an answer that began well and
    /// broke off, unless its client is to blame.
    fn outcome(&mut self, status: Option<u16>, failure: Option<Failure>, error_from: u16) -> Option<Status> {
        if let Some(status) = status {
            self.number("http.response.status_code", i64::from(status));
        }
        if let Some(failure) = failure {
            self.text("tidegate.failure", failure.row().name);
        }
        let blamed = failure.is_some_and(|failure| failure.row().side != Side::Client);
        let is_error = match status {
            Some(status) => status >= error_from || status < 400 && blamed,
            None => failure.is_some(),
        };
        if !is_error {
            return None;
        }
        match (failure, status) {
            (Some(failure), _) => self.text("error.type", failure.row().name),
            (None, Some(status)) => self.text("error.type", status.to_string()),
            (None, None) => {}
        }
        let message = failure.map(|failure| failure.row().text.to_owned()).unwrap_or_default();
        Some(Status { code: ERROR, message })
    }
}

#[cfg(test)]
pub(super) mod tests;
