//! An exchange: one request and, once it exists, its response, which rules, templates and hooks see and change.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use tidegate_dsl::field_names;

use crate::parsed::Parsed;
use crate::target::Target;
use crate::trace::SpanContext;
use crate::vars::Vars;

/// The connection that a request came on; shared by all its requests.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The TCP or QUIC peer.
    pub peer: SocketAddr,
    /// The gateway's side of the connection.
    pub local: SocketAddr,
    /// The listener's name.
    pub listener: Arc<str>,
    /// TLS, if the connection has it.
    pub tls: Option<Tls>,
}

impl Connection {
    /// `http` or `https`.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// The facts that TLS told the gateway about a connection.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server name that the client asked for (RFC 6066, 3).
    pub sni: Option<String>,
    /// `tls1.2` or `tls1.3`.
    pub version: &'static str,
    /// The suite, by its IANA name; empty where the handshake does not tell.
    pub cipher: String,
    /// The group of the key exchange, as a TLS policy writes it; `None` where the handshake does not tell.
    pub group: Option<&'static str>,
    /// The certificate that the client showed, if it was accepted.
    pub client_cert: Option<ClientCert>,
}

/// The certificate that a client showed: the fields of it that policies ask about.
#[derive(Debug, Clone)]
pub struct ClientCert {
    /// The distinguished name of its owner, as RFC 4514 writes it.
    pub subject: String,
    /// The distinguished name of its issuer, as RFC 4514 writes it.
    pub issuer: String,
    /// The SHA-256 of the certificate's DER form, in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// The serial number, in lower-case hexadecimal digits.
    pub serial: String,
    /// The certificate itself, in DER.
    pub der: Arc<[u8]>,
}

/// The head of a request.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Host in lower case, and perhaps a port. It is what the backend gets as `Host`.
    pub authority: Authority,
    /// Whether nobody has named a host: the client spoke HTTP/1.0 without `Host` (RFC 9112, 3.2). Then `authority` is where it
    /// connected to, and no test of the host holds.
    pub unnamed: bool,
    /// Normalised path, and perhaps a query. It is what the backend gets.
    pub target: Target,
    /// The host and port that the client asked for.
    pub original_authority: Authority,
    /// The path and query as they came in.
    pub original_target: PathAndQuery,
    /// The version that the client spoke.
    pub version: Version,
    /// Header fields as they came. `host` is among them, but the authority is what leaves.
    pub headers: HeaderMap,
    /// Whether the request asks for WebSocket: by `Upgrade` (RFC 9110, 7.8), or by an extended `CONNECT` (RFC 8441, RFC 9220).
    pub websocket: bool,
    /// Whether a body follows, and be it empty: HTTP/2 and 3 need not say it in the head (RFC 9113, 8.1).
    pub has_body: bool,
    /// The fields that rules and hooks have changed.
    pub changed: Changed,
}

impl Request {
    /// The head of a request that nothing has changed yet, without a body. The client asked for `authority`, and for
    /// `original_target`, which `target` is when it is normalised.
    pub fn new(
        method: Method,
        authority: Authority,
        (target, original_target): (Target, PathAndQuery),
        version: Version,
        headers: HeaderMap,
    ) -> Self {
        Self {
            method,
            original_authority: authority.clone(),
            authority,
            unnamed: false,
            target,
            original_target,
            version,
            headers,
            websocket: false,
            has_body: false,
            changed: Changed::default(),
        }
    }

    /// A copy of the head for somebody else: what changes it is noted in neither.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self {
            method: self.method.clone(),
            authority: self.authority.clone(),
            target: self.target.clone(),
            original_authority: self.original_authority.clone(),
            original_target: self.original_target.clone(),
            headers: self.headers.clone(),
            changed: Changed::default(),
            ..*self
        }
    }

    /// Names another host, for the backend and for tests.
    pub fn set_authority(&mut self, authority: Authority) {
        self.authority = authority;
        self.unnamed = false;
    }

    /// The host without port: what tests and templates see. An IPv6 address keeps its brackets.
    ///
    /// The authority is normalised (no user name, a port of digits), so that a look at its end is enough; rules ask for
    /// the host again and again.
    pub fn host(&self) -> &str {
        let authority = self.authority.as_str();
        let without_port = authority.trim_end_matches(|char: char| char.is_ascii_digit());
        without_port.strip_suffix(':').unwrap_or(authority)
    }
}

/// The head of a response.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// The fields that rules and hooks have changed.
    pub changed: Changed,
}

impl Response {
    /// The head of a response that no trailers follow.
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers, changed: Changed::default() }
    }

    /// A copy of the head for somebody else: what changes it is noted in neither.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self::new(self.status, self.headers.clone())
    }
}

/// The names of fields that rules and hooks have changed in a head whose body may end with trailers: what was decided about them
/// there is not undone in a trailer. Nothing is kept where no trailers can come. In a box: heads and bodies are moved often, and
/// few have trailers.
#[derive(Debug, Clone, Default)]
pub struct Changed(Option<Box<HeaderMap<()>>>);

impl Changed {
    /// Keeps names: for a head whose trailers can come.
    pub fn watched() -> Self {
        Self(Some(Box::default()))
    }

    /// Notes that a field was set, added or removed.
    pub fn note(&mut self, name: &HeaderName) {
        if let Some(names) = &mut self.0 {
            // A map that can hold no more has thousands of names, which are those of one guest.
            let _ = names.try_insert(name.clone(), ());
        }
    }

    /// Whether this field was changed, or one whose name differs in nothing but its marks.
    pub fn covers(&self, name: &str) -> bool {
        let alike = |names: &HeaderMap<()>| names.keys().any(|known| field_names::is_alike(known.as_str(), name));
        self.0.as_deref().is_some_and(alike)
    }
}

/// An exchange: one request, its connection, and its response once there is one.
///
/// It lives in a `Box`, because it moves into a guest's store and back for each hook.
#[derive(Debug)]
pub struct Exchange {
    /// The connection.
    pub connection: Arc<Connection>,
    /// The request's head.
    pub request: Request,
    /// The response's head; `None` until a backend, a rule or a hook has answered.
    pub response: Option<Response>,
    /// The client's address as the listener derives it.
    pub client_ip: IpAddr,
    /// Names this request in logs and headers.
    pub request_id: u128,
    /// The request's own span, where its listener is traced.
    pub trace: Option<SpanContext>,
    /// Variables of this request: rules, hooks, templates and the access log see them.
    pub vars: Vars,
    /// The chosen group's name.
    pub group: Option<Arc<str>>,
    /// The chosen server's address, as written.
    pub server: Option<Arc<str>>,
    /// The rule that runs extensions; `None` for a listener's.
    pub rule: Option<Arc<str>>,
    /// Lines that `log` steps wrote, for the gateway's log.
    pub log_lines: Vec<String>,
    /// The findings of tests about the request that other tests need again.
    pub parsed: Parsed,
}

impl Exchange {
    /// The exchange of a request that has just been read.
    pub fn new(connection: Arc<Connection>, request: Request, client_ip: IpAddr, request_id: u128) -> Self {
        Self {
            connection,
            request,
            response: None,
            client_ip,
            request_id,
            trace: None,
            vars: Vars::default(),
            group: None,
            server: None,
            rule: None,
            log_lines: Vec::new(),
            parsed: Parsed::default(),
        }
    }

    /// An exchange of nobody, which stands in for another while a guest has that.
    pub fn blank() -> Self {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let connection = Connection { peer: nobody, local: nobody, listener: Arc::from(""), tls: None };
        let target = (Target::root(), PathAndQuery::from_static("/"));
        let authority = Authority::from_static("_");
        let request = Request::new(Method::GET, authority, target, Version::HTTP_11, HeaderMap::new());
        Self::new(Arc::new(connection), request, nobody.ip(), 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::exchange;

    #[test]
    fn the_host_has_no_port() {
        for (authority, host) in [
            ("shop.example", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("12345", "12345"),
        ] {
            assert_eq!(exchange("GET", authority, "/").request.host(), host);
        }
    }
}
