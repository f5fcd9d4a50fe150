//! The forwarding headers that tell a backend about the client.

use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_dsl::plan::{self, ForwardedFor};

use crate::client_cert;
use crate::client_ip::X_FORWARDED_FOR;
use crate::exchange::{ClientCert, Exchange};
use crate::stack_text;

static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static X_FORWARDED_CLIENT_SRCPORT: HeaderName = HeaderName::from_static("x-forwarded-client-srcport");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_LISTENER: HeaderName = HeaderName::from_static("x-forwarded-listener");

/// The family of headers that speak of the client's certificate.
static CLIENT_CERT_SUBJECT: HeaderName = HeaderName::from_static("x-forwarded-clientcert-subjectdn");
static CLIENT_CERT_ISSUER: HeaderName = HeaderName::from_static("x-forwarded-clientcert-issuerdn");
static CLIENT_CERT_FINGERPRINT: HeaderName = HeaderName::from_static("x-forwarded-clientcert-fingerprint");
static CLIENT_CERT_VERIFY: HeaderName = HeaderName::from_static("x-forwarded-clientcert-clientverify");

/// `forwarded […]` and `forwarded-for …` of a listener.
///
/// A header that is on is always written anew. One that is off is what a rule, a hook or a trusted peer made of it: what a client
/// says was taken out when the request came.
#[derive(Debug)]
pub(crate) struct Forwarded {
    forwarded_for: Option<ForwardedFor>,
    proto: bool,
    /// The listener's port.
    port: Option<HeaderValue>,
    client_port: bool,
    host: bool,
    /// The listener's name.
    listener: Option<HeaderValue>,
    client_cert: bool,
    /// The listener asks clients for certificates.
    asks_for_cert: bool,
}

impl Forwarded {
    pub(crate) fn new(listener: &plan::Listener) -> Self {
        let setting = &listener.forwarded;
        let name = || crate::header_text::header_value(listener.name.as_str().into());
        Self {
            forwarded_for: setting.forwarded_for,
            proto: setting.proto,
            port: setting.port.then(|| HeaderValue::from(listener.bind.port())),
            client_port: setting.client_port,
            host: setting.host,
            listener: setting.listener_id.then(name),
            client_cert: setting.client_cert,
            asks_for_cert: listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        }
    }

    /// Whether the listener asks clients for certificates, and so knows better than anybody who speaks for them.
    pub(crate) const fn asks_for_cert(&self) -> bool {
        self.asks_for_cert
    }

    pub(crate) fn write(&self, exchange: &mut Exchange) {
        let connection = &exchange.connection;
        let headers = &mut exchange.request.headers;
        if let Some(how) = self.forwarded_for {
            let peer = stack_text::address(connection.peer.ip());
            write_forwarded_for(headers, how, peer.as_str());
        }
        if self.proto {
            put(headers, &X_FORWARDED_PROTO, HeaderValue::from_static(connection.scheme()));
        }
        if let Some(port) = &self.port {
            put(headers, &X_FORWARDED_PORT, port.clone());
        }
        if self.client_port {
            put(headers, &X_FORWARDED_CLIENT_SRCPORT, HeaderValue::from(connection.peer.port()));
        }
        if self.host {
            let host = exchange.request.original_authority.as_str();
            if let Ok(host) = HeaderValue::from_str(host) {
                put(headers, &X_FORWARDED_HOST, host);
            }
        }
        if let Some(listener) = &self.listener {
            put(headers, &X_FORWARDED_LISTENER, listener.clone());
        }
        if self.client_cert {
            for name in [&CLIENT_CERT_SUBJECT, &CLIENT_CERT_ISSUER, &CLIENT_CERT_FINGERPRINT, &CLIENT_CERT_VERIFY] {
                headers.remove(name);
            }
            write_client_cert(headers, connection.tls.as_ref().and_then(|tls| tls.client_cert.as_ref()));
        }
    }
}

/// Writes what the client's certificate says, and the verdict on it.
fn write_client_cert(headers: &mut HeaderMap, certificate: Option<&ClientCert>) {
    put(headers, &CLIENT_CERT_VERIFY, HeaderValue::from_static(client_cert::verdict(certificate)));
    let Some(certificate) = certificate else { return };
    for (name, text) in [
        (&CLIENT_CERT_SUBJECT, &certificate.subject),
        (&CLIENT_CERT_ISSUER, &certificate.issuer),
        (&CLIENT_CERT_FINGERPRINT, &certificate.fingerprint),
    ] {
        // Names are written without control characters, so this does not fail.
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            put(headers, name, value);
        }
    }
}

fn write_forwarded_for(headers: &mut HeaderMap, how: ForwardedFor, peer: &str) {
    let value = match how {
        ForwardedFor::Remove => {
            headers.remove(&X_FORWARDED_FOR);
            return;
        }
        ForwardedFor::Append if headers.contains_key(&X_FORWARDED_FOR) => appended(headers, peer),
        ForwardedFor::Append | ForwardedFor::Replace => HeaderValue::from_str(peer).ok(),
    };
    if let Some(value) = value {
        put(headers, &X_FORWARDED_FOR, value);
    }
}

/// The value of a field that came, its lines joined (RFC 9110, 5.3), and the peer behind it.
fn appended(headers: &HeaderMap, peer: &str) -> Option<HeaderValue> {
    let lines = || headers.get_all(&X_FORWARDED_FOR).into_iter();
    let mut value = Vec::with_capacity(lines().map(|line| line.len() + 2).sum::<usize>() + peer.len());
    for line in lines().filter(|line| !line.as_bytes().trim_ascii().is_empty()) {
        value.extend_from_slice(line.as_bytes());
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(peer.as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()
}

/// Sets a header. A map that can hold no more keeps what it has: the listener's limit on headers is far below that.
fn put(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    let _ = headers.try_insert(name, value);
}

#[cfg(test)]
mod tests {
    use tidegate_dsl::plan::ForwardedFor::{Append, Remove, Replace};

    use super::*;
    use crate::testing;

    fn written(change: impl Fn(&mut plan::Forwarded), came: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut listener = testing::plan(Vec::new()).listeners.remove(0);
        listener.forwarded = plan::Forwarded {
            forwarded_for: None,
            proto: false,
            port: false,
            client_port: false,
            host: false,
            listener_id: false,
            client_cert: false,
        };
        change(&mut listener.forwarded);
        let mut exchange = testing::exchange("GET", "shop.example:81", "/");
        for (name, value) in came {
            exchange.request.headers.append(*name, HeaderValue::from_static(value));
        }
        Forwarded::new(&listener).write(&mut exchange);
        let headers = exchange.request.headers.iter();
        headers.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect()
    }

    #[test]
    fn forwarded_for_in_three_ways() {
        let came = [("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "3.3.3.3")];
        let with = |how, came: &[_]| written(|setting| setting.forwarded_for = how, came);
        assert_eq!(with(Some(Append), &came), ["x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1"]);
        assert_eq!(with(Some(Append), &[]), ["x-forwarded-for: 192.0.2.1"]);
        assert_eq!(with(Some(Append), &[("x-forwarded-for", "")]), ["x-forwarded-for: 192.0.2.1"]);
        assert_eq!(with(Some(Replace), &came), ["x-forwarded-for: 192.0.2.1"]);
        assert!(with(Some(Remove), &came).is_empty());
        assert_eq!(with(None, &came), ["x-forwarded-for: 1.1.1.1, 2.2.2.2", "x-forwarded-for: 3.3.3.3"]);
    }

    #[test]
    fn what_is_on_overwrites() {
        let forged = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-client-srcport", "2"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-listener", "other"),
        ];
        let all = |setting: &mut plan::Forwarded| {
            setting.proto = true;
            setting.port = true;
            setting.client_port = true;
            setting.host = true;
            setting.listener_id = true;
        };
        let expected = [
            "x-forwarded-proto: http",
            "x-forwarded-port: 8080",
            "x-forwarded-client-srcport: 4711",
            "x-forwarded-host: shop.example:81",
            "x-forwarded-listener: main",
        ];
        assert_eq!(written(all, &forged), expected);
        assert_eq!(written(all, &[]), expected);
        assert_eq!(written(|_| (), &forged).len(), 5);
        assert_eq!(written(|_| (), &forged)[0], "x-forwarded-proto: https");
    }

    /// The fields that a backend gets about the client's certificate, of a client that forges, on a listener that asks
    /// or does not.
    fn about_cert(asks: bool, told: bool, certificate: Option<ClientCert>) -> Vec<String> {
        let mut listener = testing::plan(Vec::new()).listeners.remove(0);
        listener.forwarded =
            plan::Forwarded { forwarded_for: None, proto: false, client_cert: told, ..listener.forwarded };
        listener.tls = asks.then(|| plan::ListenerTls {
            certificates: vec![plan::CertificateId(0)],
            policy: None,
            client_ca: Some(plan::ClientCa { ca: plan::CaId(0), required: false }),
            http2: false,
            early_data: false,
        });
        let mut exchange = testing::exchange("GET", "shop.example", "/");
        let mut connection = crate::exchange::Connection::clone(&exchange.connection);
        connection.tls = Some(crate::exchange::Tls {
            sni: None,
            version: "tls1.3",
            group: None,
            cipher: String::new(),
            client_cert: certificate,
        });
        exchange.connection = std::sync::Arc::new(connection);
        for name in ["x-forwarded-clientcert-subjectdn", "x-forwarded-clientcert-clientverify"] {
            exchange.request.headers.append(name, HeaderValue::from_static("forged"));
        }
        Forwarded::new(&listener).write(&mut exchange);
        let headers = exchange.request.headers.iter();
        let mut lines: Vec<_> = headers
            .map(|(name, value)| {
                let short = name.as_str().trim_start_matches("x-forwarded-clientcert-");
                format!("{short}: {}", String::from_utf8_lossy(value.as_bytes()))
            })
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn nobody_speaks_of_a_certificate_but_the_gateway() {
        let certificate = || {
            Some(ClientCert {
                subject: "CN=J\u{fc}rgen".into(),
                issuer: "CN=Root".into(),
                fingerprint: "ab".into(),
                serial: "0f".into(),
                der: [].into(),
            })
        };
        let all = ["clientverify: SUCCESS", "fingerprint: ab", "issuerdn: CN=Root", "subjectdn: CN=J\u{fc}rgen"];
        assert_eq!(about_cert(true, true, certificate()), all);
        assert_eq!(about_cert(true, true, None), ["clientverify: NONE"]);
        assert_eq!(about_cert(false, true, None), ["clientverify: NONE"]);
        for asks in [false, true] {
            let kept = ["clientverify: forged", "subjectdn: forged"];
            assert_eq!(about_cert(asks, false, None), kept, "what a rule wrote is not taken out");
        }
    }
}
