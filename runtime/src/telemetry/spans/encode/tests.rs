#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_base::limits;
use tidegate_dsl::plan::Server;
use tidegate_engine::exchange::{Connection, Tls};
use tidegate_engine::hook::Hook;
use tidegate_engine::trace::SpanContext;

use super::*;

/// What a collector reads.
#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// A span as a collector reads it.
fn encoded(span: &Span) -> Encoded {
    let mut bytes = Vec::new();
    encode(span, &mut bytes);
    Encoded::decode(&*bytes).unwrap()
}

const CONTEXT: SpanContext =
    SpanContext { trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span_id: 2, sampled: true, random: true };

fn span(parent: Option<(u64, bool)>, of: Of) -> Span {
    Span { context: CONTEXT, parent, state: None, start_ns: 5, end_ns: 9, of }
}

/// The span of a call of an extension.
pub(in super::super) fn hook(extension: &str) -> Span {
    span(Some((3, false)), Of::Hook(HookSpan { extension: extension.into(), hook: Hook::Request, fault: None }))
}

fn served(change: impl FnOnce(&mut RequestSpan)) -> Span {
    let tls = Tls { sni: None, version: "tls1.3", cipher: String::new(), group: None, client_cert: None };
    let connection = Connection {
        peer: "[::ffff:192.0.2.1]:4711".parse().unwrap(),
        local: "192.0.2.2:443".parse().unwrap(),
        listener: "main".into(),
        tls: Some(tls),
    };
    let mut request = RequestSpan {
        connection: Arc::new(connection),
        request_id: Some(0x2a),
        method: Method::GET,
        version: Version::HTTP_2,
        authority: Some("a.example:8443".into()),
        path: Some("/a/b".into()),
        query: Some("x=1&sig=secret".into()),
        client: "203.0.113.9".parse().unwrap(),
        user_agent: Some("t/1".into()),
        rule: Some("api".into()),
        group: Some("web".into()),
        server: Some("10.0.0.1:80".into()),
        status: 200,
        failure: None,
        received: 3,
        sent: 7,
    };
    change(&mut request);
    span(Some((1, true)), Of::Request(Box::new(request)))
}

fn tried(status: Option<u16>, failure: Option<Failure>, resends: u32) -> Span {
    let server = Server { weight: 1, backup: false, stopped: false, ..server() };
    span(
        Some((3, false)),
        Of::Try(Box::new(TrySpan {
            group: "web".into(),
            server,
            secure: true,
            version: Version::HTTP_11,
            method: Method::POST,
            target: "/a?Signature=x&b=2".into(),
            resends,
            status,
            failure,
        })),
    )
}

fn server() -> Server {
    crate::tests::plan(&crate::tests::forwarding("server 10.0.0.1:8443", "", "otherwise { forward web }")).groups[0]
        .servers[0]
        .clone()
}

/// The attributes of a span, as texts.
fn attributes(span: &Encoded) -> BTreeMap<&str, String> {
    let text = |pair: &'_ KeyValue| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
    };
    let attributes: BTreeMap<_, _> = span.attributes.iter().map(|pair| (&*pair.key, text(pair))).collect();
    assert_eq!(attributes.len(), span.attributes.len(), "no attribute stands twice");
    attributes
}

#[test]
fn a_request_is_a_server_span() {
    let span = encoded(&served(|_| {}));
    assert_eq!((&*span.name, span.kind, &span.status), ("GET api", SERVER, &None));
    assert_eq!(
        span.trace_id,
        [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c]
    );
    assert_eq!((&*span.span_id, &*span.parent_span_id), (&[0, 0, 0, 0, 0, 0, 0, 2][..], &[0, 0, 0, 0, 0, 0, 0, 1][..]));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano, span.flags), (5, 9, 0x303));
    let expected = [
        ("client.address", "203.0.113.9"),
        ("http.request.body.size", "3"),
        ("http.request.method", "GET"),
        ("http.response.body.size", "7"),
        ("http.response.status_code", "200"),
        ("http.route", "api"),
        ("network.peer.address", "192.0.2.1"),
        ("network.peer.port", "4711"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "2"),
        ("server.address", "a.example"),
        ("server.port", "8443"),
        ("tidegate.group", "web"),
        ("tidegate.listener", "main"),
        ("tidegate.request_id", "0000000000000000000000000000002a"),
        ("tidegate.rule", "api"),
        ("tidegate.server", "10.0.0.1:80"),
        ("url.path", "/a/b"),
        ("url.query", "x=1&sig=REDACTED"),
        ("url.scheme", "https"),
        ("user_agent.original", "t/1"),
    ];
    assert_eq!(attributes(&span), expected.map(|(key, value)| (key, value.to_owned())).into());
}

#[test]
fn only_what_the_server_is_to_blame_for_is_an_error_of_it() {
    for (status, failure, error) in [
        (200, None, None),
        (404, None, None),
        (400, Some(Failure::BadHost), None),
        (499, Some(Failure::ClientClosed), None),
        (500, None, Some(("500", ""))),
        (200, Some(Failure::ClientClosed), None),
        (200, Some(Failure::UpstreamBody), Some(("upstream-body", "the server broke off its answer"))),
        (502, Some(Failure::UpstreamClosed), Some(("upstream-closed", "the server closed without an answer"))),
    ] {
        let span = encoded(&served(|request| (request.status, request.failure) = (status, failure)));
        let attributes = attributes(&span);
        let found = span.status.as_ref().map(|status| (status.code, &*status.message));
        assert_eq!(found, error.map(|(_, message)| (ERROR, message)), "{status} {failure:?}");
        assert_eq!(
            attributes.get("error.type").map(String::as_str),
            error.map(|(kind, _)| kind),
            "{status} {failure:?}"
        );
        assert_eq!(attributes.get("tidegate.failure").map(String::as_str), failure.map(|failure| failure.row().name));
    }
}

#[test]
fn a_try_is_a_client_span() {
    let span = encoded(&tried(Some(204), None, 2));
    assert_eq!((&*span.name, span.kind, &span.status, span.flags), ("POST", CLIENT, &None, 0x103));
    let expected = [
        ("http.request.method", "POST"),
        ("http.request.resend_count", "2"),
        ("http.response.status_code", "204"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("server.address", "10.0.0.1"),
        ("server.port", "8443"),
        ("tidegate.group", "web"),
        ("tidegate.server", "10.0.0.1:8443"),
        ("url.full", "https://10.0.0.1:8443/a?Signature=REDACTED&b=2"),
    ];
    assert_eq!(attributes(&span), expected.map(|(key, value)| (key, value.to_owned())).into());
    for (status, failure, kind) in
        [(Some(404), None, "404"), (Some(503), None, "503"), (None, Some(Failure::ConnectFailed), "connect-failed")]
    {
        let span = encoded(&tried(status, failure, 0));
        assert_eq!(attributes(&span).get("error.type").map(String::as_str), Some(kind));
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(ERROR));
        assert!(!attributes(&span).contains_key("http.request.resend_count"));
    }
}

#[test]
fn a_call_of_an_extension_is_an_internal_span() {
    let span = encoded(&hook("guard"));
    assert_eq!((&*span.name, span.kind, &span.status), ("request guard", INTERNAL, &None));
    let expected = [("tidegate.extension", "guard".to_owned()), ("tidegate.hook", "request".to_owned())];
    assert_eq!(attributes(&span), expected.into());
    let mut failed = hook("guard");
    if let Of::Hook(hook) = &mut failed.of {
        hook.fault = Some(("trap", "unreachable".into()));
    }
    let span = encoded(&failed);
    assert_eq!(span.status, Some(Status { code: ERROR, message: "unreachable".to_owned() }));
    assert_eq!(attributes(&span).get("error.type").map(String::as_str), Some("trap"));
}

#[test]
fn methods_that_nobody_knows_are_no_names() {
    let odd = encoded(&served(|request| {
        request.method = Method::from_bytes(b"BREW").unwrap();
        request.rule = None;
    }));
    let attributes = attributes(&odd);
    assert_eq!(odd.name, "HTTP");
    assert_eq!((&*attributes["http.request.method"], &*attributes["http.request.method_original"]), ("_OTHER", "BREW"));
}

#[test]
fn a_host_may_have_a_port_and_brackets() {
    for (authority, expected) in [
        ("a.example", ("a.example", None)),
        ("a.example:81", ("a.example", Some(81))),
        ("[2001:db8::1]:81", ("2001:db8::1", Some(81))),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("192.0.2.1:65536", ("192.0.2.1:65536", None)),
    ] {
        assert_eq!(host_and_port(authority), expected, "{authority}");
    }
}

#[test]
fn a_batch_of_the_largest_spans_is_one_that_collectors_take() {
    let long = || "x".repeat(limits::SPAN_TEXT).into_boxed_str();
    let large = || Span {
        state: Some("x".repeat(512).into()),
        ..served(|request| {
            for text in [&mut request.path, &mut request.query, &mut request.user_agent, &mut request.authority] {
                *text = Some(long());
            }
        })
    };
    let instance = Instance { service: "edge".to_owned(), id: "1".to_owned() };
    let batch: Vec<_> = (0..limits::SPAN_BATCH).map(|_| large()).collect();
    let bytes = request(&instance, &batch);
    assert!(bytes.len() < 4 * 1024 * 1024, "{} bytes", bytes.len());
    let back = ExportTraceServiceRequest::decode(bytes).unwrap();
    assert_eq!(back.resource_spans[0].scope_spans[0].spans[7], encoded(&batch[7]));
    let resource = back.resource_spans[0].resource.as_ref().unwrap();
    let first = resource.attributes[0].value.as_ref().and_then(|value| value.value.clone());
    assert_eq!((&*resource.attributes[0].key, first), ("service.name", Some(Value::Text("edge".to_owned()))));
    assert_eq!(back.resource_spans[0].scope_spans[0].spans.len(), limits::SPAN_BATCH);
}
