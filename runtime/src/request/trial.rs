//! One request through a policy without sockets: what `explain` and `test` have in common.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use tidegate_base::failure::Failure;
use tidegate_dsl::ShownCertificate;
use tidegate_dsl::plan::{ExtensionId, Listener, ListenerId, ListenerTls, Plan, Protocol, TlsVersion};
use tidegate_engine::Moment;
use tidegate_engine::exchange::{ClientCert, Connection, Exchange, Tls};
use tidegate_engine::hook::{BodyVerdict, Hook, HookFault, Verdict};
use tidegate_engine::passage::FieldKinds;
use tidegate_wasm_host::{Extension, Pool};

use crate::policy::snapshot::Snapshot;
use crate::request::head;

/// The moment of every trial, and what chance says: always the same.
pub const MOMENT: Moment = Moment { nanos: 1, random: 0 };

/// Who sends a request.
pub struct Client<'c> {
    /// The address of the peer.
    pub from: IpAddr,
    /// The certificate that it shows where it is asked for one.
    pub certificate: Option<&'c ShownCertificate>,
    /// The version of HTTP that it speaks; `None` is the best that the listener has.
    pub version: Option<Version>,
}

/// The versions in which clients of today would bring a request: the best that the listener has. Whoever asks for WebSocket
/// comes with HTTP/1.1 (RFC 9110, 7.8) or, where there is HTTP/2, over that (RFC 8441), as the connection happens to be.
pub fn versions(plan: &Plan, listener: ListenerId, headers: &HeaderMap) -> Vec<Version> {
    let Some(listener) = plan.listeners.get(listener.0) else { return Vec::new() };
    match version(listener) {
        Version::HTTP_2 if asks_for_websocket(headers) => vec![Version::HTTP_11, Version::HTTP_2],
        Version::HTTP_2 if headers.contains_key(UPGRADE) => vec![Version::HTTP_11],
        best => vec![best],
    }
}

/// Whether a request, as it is written down, is one for WebSocket.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The request as a connection of this listener would bring it from a client of today.
///
/// # Errors
/// Why it is refused before any rule sees it.
pub fn exchange(
    snapshot: &Snapshot,
    listener: ListenerId,
    mut request: Request<()>,
    client: &Client<'_>,
) -> Result<Box<Exchange>, Failure> {
    let from = client.from;
    let plan = snapshot.plan().listeners.get(listener.0).ok_or(Failure::NoServer)?;
    *request.version_mut() = client.version.unwrap_or_else(|| version(plan));
    let websocket = request.method() == Method::GET && asks_for_websocket(request.headers());
    if request.version() >= Version::HTTP_2 {
        // What asks for it is no header there, but an extended `CONNECT`, which rules see as a `GET`.
        request.headers_mut().remove(UPGRADE);
        request.headers_mut().remove(CONNECTION);
    }
    let tls = plan.tls.as_ref().map(|secured| Tls {
        sni: request.uri().host().filter(|host| !is_address(host)).map(str::to_ascii_lowercase),
        version: tls_version(snapshot.plan(), secured).word(),
        cipher: String::new(),
        group: None,
        client_cert: certificate(secured, client),
    });
    let connection = Arc::new(Connection {
        peer: SocketAddr::new(from, 0),
        local: SocketAddr::new(from, plan.bind.port()),
        listener: Arc::from(plan.name.as_str()),
        tls,
    });
    let known = head::KnownHost::default();
    let via = snapshot.names.via.as_ref();
    let kinds = FieldKinds::of(request.headers());
    let reader = head::Reader { listener: plan, via, kinds, connection: &connection, known: &known };
    let mut head = reader.read(request.into_parts().0).map_err(|(failure, _)| failure)?;
    head.websocket = websocket;
    snapshot.engine.receive(listener, from, &mut head.headers, kinds);
    let client_ip = snapshot.engine.client_ip(listener, from, &head.headers);
    Ok(Box::new(Exchange::new(connection, head, client_ip, 0)))
}

/// The best version of HTTP that the listener has.
fn version(listener: &Listener) -> Version {
    match (listener.protocol, &listener.tls) {
        (Protocol::Quic, _) => Version::HTTP_3,
        (Protocol::Https, Some(tls)) if tls.http2 => Version::HTTP_2,
        _ => Version::HTTP_11,
    }
}

/// The newest version of TLS that the listener has.
fn tls_version(plan: &Plan, secured: &ListenerTls) -> TlsVersion {
    let policy = secured.policy.and_then(|id| plan.tls_policies.get(id.0));
    policy.and_then(|policy| policy.versions.last().copied()).unwrap_or(TlsVersion::Tls13)
}

/// What the client shows: if a certificate is required, no client comes without one.
fn certificate(secured: &ListenerTls, client: &Client<'_>) -> Option<ClientCert> {
    let asked = secured.client_ca.as_ref()?;
    let shown = client.certificate.cloned().or_else(|| asked.required.then(ShownCertificate::default))?;
    Some(ClientCert {
        subject: shown.subject,
        issuer: shown.issuer,
        fingerprint: shown.fingerprint,
        serial: String::new(),
        der: [].into(),
    })
}

/// Server names are names alone (RFC 6066, 3).
fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<IpAddr>().is_ok()
}

/// Gives a request the `Host` of its URL.
pub fn set_host(headers: &mut HeaderMap, uri: &Uri) {
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
}

/// The extensions of a policy, with instances of their own.
pub struct Guests<'s> {
    extensions: &'s [Arc<Extension>],
    pools: Vec<Pool>,
}

impl<'s> Guests<'s> {
    pub fn new(snapshot: &'s Snapshot) -> Self {
        let pools = snapshot.extensions.iter().map(|extension| Pool::new(Arc::clone(extension))).collect();
        Self { extensions: &snapshot.extensions, pools }
    }

    /// Asks an extension, if the request interests it; no verdict if it does not have the hook.
    pub fn call(
        &mut self,
        id: ExtensionId,
        hook: Hook,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Option<Result<Verdict, HookFault>>) {
        match (self.extensions.get(id.0), self.pools.get_mut(id.0)) {
            (Some(extension), Some(pool)) if extension.wants(hook, &exchange) => {
                let (exchange, verdict) = pool.call(hook, exchange);
                let (exchange, verdict) =
                    if verdict.is_ok() { after_hold(pool, hook, exchange, verdict) } else { (exchange, verdict) };
                (exchange, Some(verdict))
            }
            (Some(extension), _) if extension.interest().hooks().all(|other| other != hook) => (exchange, None),
            _ => (exchange, Some(Ok(Verdict::Next))),
        }
    }
}

/// A foreign guest may hold a head back until it has seen the body. Here there is none: it is shown an empty one.
fn after_hold(
    pool: &mut Pool,
    hook: Hook,
    exchange: Box<Exchange>,
    verdict: Result<Verdict, HookFault>,
) -> (Box<Exchange>, Result<Verdict, HookFault>) {
    let body = if hook == Hook::Request { Hook::RequestBody } else { Hook::ResponseBody };
    if !pool.holds(body, &exchange) {
        return (exchange, verdict);
    }
    let (exchange, verdict) = pool.call_body(body, exchange, (&[], true), false);
    let verdict = verdict.map(|verdict| match verdict {
        BodyVerdict::Next | BodyVerdict::Replace(_) => Verdict::Next,
        BodyVerdict::Respond(reply) => Verdict::Respond(reply),
        BodyVerdict::Close => Verdict::Close,
    });
    (exchange, verdict)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tidegate_engine::Engine;

    use super::*;
    use crate::tls::tests::{Authority, sound};

    /// A policy with a listener of each kind.
    fn served() -> Snapshot {
        let plan = sound(
            r#"tidegate 1
            certificate shop { chain "shop.pem"; key "shop.key" }
            ca partners { bundle "partners.pem" }
            tls-policy older { versions [tls1.2] }
            listener http plain { port 80; rules site }
            listener https main { port 443; certificate shop; rules site; client-ca partners optional }
            listener https strict { port 444; certificate shop; rules site; client-ca partners required; http2 off }
            listener https older { port 445; certificate shop; rules site; tls-policy older }
            listener quic fast { port 443; certificate shop; rules site }
            rules site { otherwise { respond 204 } }"#,
        );
        let engine = Arc::new(Engine::build(Arc::new(plan), None).unwrap());
        Snapshot::build(engine, Vec::new(), Authority::new("ours").certificates(), None).unwrap()
    }

    const PLAIN: ListenerId = ListenerId(0);
    const MAIN: ListenerId = ListenerId(1);
    const STRICT: ListenerId = ListenerId(2);
    const OLDER: ListenerId = ListenerId(3);
    const FAST: ListenerId = ListenerId(4);

    /// A `GET` of `/` with this value of `upgrade`, if it is not empty.
    fn get(url: &str, upgrade: &str) -> Request<()> {
        let uri: Uri = url.parse().unwrap();
        let mut request = Request::new(());
        set_host(request.headers_mut(), &uri);
        *request.uri_mut() = uri;
        if !upgrade.is_empty() {
            request.headers_mut().insert(UPGRADE, upgrade.parse().unwrap());
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        request
    }

    fn client(version: Option<Version>) -> Client<'static> {
        Client { from: IpAddr::from([192, 0, 2, 1]), certificate: None, version }
    }

    #[test]
    fn clients_come_with_the_best_version_that_can_carry_what_they_want() {
        let served = served();
        let (h1, h2, h3) = (Version::HTTP_11, Version::HTTP_2, Version::HTTP_3);
        for (listener, upgrade, expected) in [
            (PLAIN, "", &[h1][..]),
            (PLAIN, "websocket", &[h1]),
            (MAIN, "", &[h2]),
            (MAIN, "WebSocket", &[h1, h2]),
            (MAIN, "h2c", &[h1]),
            (STRICT, "websocket", &[h1]),
            (FAST, "", &[h3]),
            (ListenerId(9), "", &[]),
        ] {
            let request = get("http://a.test/", upgrade);
            assert_eq!(versions(served.plan(), listener, request.headers()), expected, "{listener:?} {upgrade}");
        }
    }

    #[test]
    fn websocket_over_http2_is_no_header() {
        let served = served();
        for (version, upgrade, websocket, kept) in [
            (Version::HTTP_11, "websocket", true, true),
            (Version::HTTP_2, "websocket", true, false),
            (Version::HTTP_2, "", false, false),
        ] {
            let request = get("https://a.test/", upgrade);
            let head = exchange(&served, MAIN, request, &client(Some(version))).unwrap().request;
            assert_eq!(head.websocket, websocket, "{version:?} {upgrade}");
            assert_eq!(head.headers.contains_key(UPGRADE), kept, "{version:?} {upgrade}");
        }
    }

    #[test]
    fn a_connection_is_what_such_a_client_would_have_made() {
        let served = served();
        let tls = |listener, url: &str, client: &Client<'_>| {
            exchange(&served, listener, get(url, ""), client).unwrap().connection.tls.clone()
        };
        assert!(tls(PLAIN, "http://a.test/", &client(None)).is_none());
        for (url, sni) in
            [("https://A.Test/", Some("a.test")), ("https://192.0.2.7/", None), ("https://[2001:db8::1]:443/", None)]
        {
            assert_eq!(tls(MAIN, url, &client(None)).unwrap().sni.as_deref(), sni, "{url}");
        }
        for (listener, version) in [(MAIN, "tls1.3"), (OLDER, "tls1.2"), (FAST, "tls1.3")] {
            assert_eq!(tls(listener, "https://a.test/", &client(None)).unwrap().version, version);
        }
        let till = ShownCertificate { subject: "CN=till".to_owned(), ..ShownCertificate::default() };
        let own = ShownCertificate::default().subject;
        for (listener, certificate, subject) in [
            (MAIN, None, None),
            (MAIN, Some(&till), Some("CN=till")),
            // No client comes without one.
            (STRICT, None, Some(&*own)),
            (STRICT, Some(&till), Some("CN=till")),
            // Nobody asks for it.
            (FAST, Some(&till), None),
        ] {
            let shown = tls(listener, "https://a.test/", &Client { certificate, ..client(None) }).unwrap().client_cert;
            assert_eq!(shown.map(|shown| shown.subject).as_deref(), subject, "{listener:?}");
        }
    }
}
