//! The request of a test and its response, before a filter sees them.

use super::TestHost;
use crate::sys::mock::{self, Connection, Exchange, Hook};
use crate::tls::Tls;

/// The request: what a client sends.
impl TestHost {
    /// The request's method.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().method("PUT").in_request(|request| assert_eq!(request.method(), "PUT"));
    /// ```
    pub fn method(mut self, method: &str) -> Self {
        self.exchange.request.method = method.to_owned();
        self
    }

    /// The request's host, and perhaps a port, normalised as the gateway does.
    ///
    /// # Panics
    ///
    /// If the gateway would refuse the request for its host.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().authority("shop.example").in_request(|request| assert_eq!(request.authority(), "shop.example"));
    /// ```
    pub fn authority(mut self, authority: &str) -> Self {
        self.exchange.request.authority = sendable("host", authority, mock::normal_authority(authority));
        self
    }

    /// The request's path, and perhaps a query. The path is normalised, as the gateway does before an extension sees it.
    ///
    /// # Panics
    ///
    /// If the gateway would refuse the request for its path.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().target("/shop?id=1").in_request(|request| assert_eq!(request.query().as_deref(), Some("id=1")));
    /// ```
    pub fn target(mut self, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        self.exchange.request.path = match path {
            "*" => path.to_owned(),
            path if path.starts_with('/') => sendable("path", path, mock::normal_path(path)),
            path => sendable("path", path, Err("it does not begin with `/`")),
        };
        self.exchange.request.query = query;
        self
    }

    /// The protocol of the connection: `h1`, as it is if not written, `h2` or `h3`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().protocol("h2").in_request(|request| assert_eq!(request.version(), "2"));
    /// ```
    pub fn protocol(mut self, protocol: &str) -> Self {
        let version = protocol.strip_prefix('h').filter(|version| *version != "1").unwrap_or("1.1");
        self.exchange.request.version = version.to_owned();
        self.exchange.connection.protocol = protocol.to_owned();
        self
    }

    /// Adds a request header.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("x-a", "1").in_request(|request| assert_eq!(request.header("X-A").unwrap(), "1"));
    /// ```
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.exchange.request.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The request's body. In stream mode it comes in pieces as large as the extension asked for.
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, BodyVerdict, Filter, Interest, Piece, Request, Result, TestHost};
    /// # struct Upper;
    /// # impl Filter for Upper {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn interest(&self) -> Interest {
    /// #         Interest::everything().request_body(BodyMode::Buffer(1024))
    /// #     }
    /// #     fn on_request_body(&self, _: &mut Request, piece: Piece<'_>) -> BodyVerdict {
    /// #         BodyVerdict::replace(piece.data.to_ascii_uppercase())
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Upper: request_body);
    /// assert_eq!(TestHost::new().body("a").run::<Upper>().request_body(), b"A");
    /// ```
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.body_pieces(if body.is_empty() { Vec::new() } else { vec![body] })
    }

    /// The request's body, as it comes: in stream mode each piece is a call of its own. The last call comes after
    /// them and has no data: until then the gateway does not know that there is no more.
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, BodyVerdict, Filter, Interest, Piece, Request, Result, TestHost};
    /// # struct Brackets;
    /// # impl Filter for Brackets {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn interest(&self) -> Interest {
    /// #         Interest::everything().request_body(BodyMode::Stream(1024))
    /// #     }
    /// #     fn on_request_body(&self, _: &mut Request, piece: Piece<'_>) -> BodyVerdict {
    /// #         BodyVerdict::replace([b"[", piece.data, b"]"].concat())
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Brackets: request_body);
    /// assert_eq!(TestHost::new().body_pieces(["a", "b"]).run::<Brackets>().request_body(), b"[a][b][]");
    /// ```
    pub fn body_pieces<P: Into<Vec<u8>>>(mut self, pieces: impl IntoIterator<Item = P>) -> Self {
        self.exchange.request_body = pieces.into_iter().map(Into::into).collect();
        self
    }

    /// The client's address.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().client_ip("203.0.113.9").in_request(|request| assert!(request.client_ip().unwrap().is_ipv4()));
    /// ```
    pub fn client_ip(mut self, address: &str) -> Self {
        self.exchange.connection.client_ip = address.to_owned();
        self
    }

    /// The TCP peer's address and port.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let host = TestHost::new().peer("10.0.0.1:4000");
    /// host.in_request(|request| assert_eq!(request.connection().peer_text(), "10.0.0.1:4000"));
    /// ```
    pub fn peer(mut self, address: &str) -> Self {
        self.exchange.connection.peer = address.to_owned();
        self
    }

    /// The connection's TLS; the scheme is `https` then.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, Tls};
    /// let tls = Tls { sni: None, version: "tls1.3".to_owned(), cipher: "TLS_AES_128_GCM_SHA256".to_owned() };
    /// TestHost::new().tls(tls).in_request(|request| assert_eq!(request.scheme(), "https"));
    /// ```
    pub fn tls(mut self, tls: Tls) -> Self {
        self.exchange.connection.tls = Some(tls);
        self
    }
}

/// The response: what a server answers.
impl TestHost {
    /// The status of the server's response.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().status(404).in_response(|_, response| assert_eq!(response.status(), 404));
    /// ```
    pub fn status(mut self, status: u16) -> Self {
        self.exchange.response.status = status;
        self
    }

    /// Adds a header to the server's response.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let host = TestHost::new().response_header("server", "apache");
    /// host.in_response(|_, response| assert_eq!(response.header("server").unwrap(), "apache"));
    /// ```
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.exchange.response.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The body of the server's response; see [`TestHost::body`].
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().response_body("hello").in_response(|_, _| ());
    /// assert_eq!(outcome.response_body(), b"hello");
    /// ```
    pub fn response_body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.response_body_pieces(if body.is_empty() { Vec::new() } else { vec![body] })
    }

    /// The body of the server's response, as it comes; see [`TestHost::body_pieces`].
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().response_body_pieces(["hel", "lo"]).in_response(|_, _| ());
    /// assert_eq!(outcome.response_body(), b"hello");
    /// ```
    pub fn response_body_pieces<P: Into<Vec<u8>>>(mut self, pieces: impl IntoIterator<Item = P>) -> Self {
        self.exchange.response_body = pieces.into_iter().map(Into::into).collect();
        self
    }
}

/// The normal form of what a builder was given, if the gateway could be given it.
#[expect(clippy::panic, reason = "what no client can send is no request to test with")]
fn sendable(what: &str, given: &str, normal: Result<String, &str>) -> String {
    normal.unwrap_or_else(|why| panic!("no client can ask for the {what} `{given}`: {why}"))
}

pub(super) fn plain() -> Exchange {
    Exchange {
        hook: Hook::Request,
        streams: false,
        answered: false,
        request_body: Vec::new(),
        response_body: Vec::new(),
        request: mock::Request {
            method: "GET".to_owned(),
            authority: "example.com".to_owned(),
            path: "/".to_owned(),
            query: None,
            version: "1.1".to_owned(),
            headers: Vec::new(),
        },
        response: mock::Response { status: 200, headers: Vec::new() },
        connection: Connection {
            peer: "192.0.2.1:50123".to_owned(),
            client_ip: "192.0.2.1".to_owned(),
            listener: "test".to_owned(),
            protocol: "h1".to_owned(),
            tls: None,
        },
        vars: Vec::new(),
        log: Vec::new(),
    }
}
