//! Tests of templates: each insertion, and the bound of what is inserted.

use proptest::prelude::*;

use std::sync::Arc;

use http::HeaderValue;

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
    headers.append("traceparent", HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
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

proptest! {
    #[test]
    fn a_template_is_its_pieces_in_order(pieces in proptest::collection::vec("[a-z]{0,3}", 0..6)) {
        let exchange = testing::exchange("GET", "shop.example", "/");
        let made = pieces.iter().flat_map(|piece| [text(piece), Piece::Insert(Insert::Host)]).collect();
        let expected: String = pieces.iter().map(|piece| format!("{piece}shop.example")).collect();
        prop_assert_eq!(render(made, &exchange), expected);
    }
}
