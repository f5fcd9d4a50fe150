//! Request, response and connection of the current call.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use crate::{Value, sys};

/// The request of the current call.
///
/// To read needs `read-request` in `allow`, to change headers `write-request-headers`, to change path, query or authority
/// `rewrite`. The gateway stops the call if a header name is no token, if a value holds a line break or NUL, and if
/// the field is one of its own: hop-by-hop fields, `content-length`, `host`.
#[derive(Debug)]
pub struct Request(());

/// The response of the current call.
///
/// To read needs `read-response` in `allow`, to change `write-response-headers`; fields and values are refused as in [`Request`].
#[derive(Debug)]
pub struct Response(());

/// The connection that the request came on. Needs `read-request` in `allow`.
#[derive(Debug)]
pub struct Connection(());

/// What TLS told the gateway about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server name that the client asked for (RFC 6066, 3).
    pub sni: Option<String>,
    /// `tls1.2` or `tls1.3`.
    pub version: String,
    /// The cipher suite, by its IANA name.
    pub cipher: String,
}

impl Request {
    #[doc(hidden)]
    pub const fn current() -> Self {
        Self(())
    }

    /// The method, as RFC 9110 (9) writes it.
    pub fn method(&self) -> String {
        sys::method()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> String {
        sys::scheme()
    }

    /// Host in lower case, and perhaps a port: what the backend gets as `Host`.
    pub fn authority(&self) -> String {
        sys::authority()
    }

    /// The normalised path as it stands.
    pub fn path(&self) -> String {
        sys::path()
    }

    /// The query as it stands, without `?`.
    pub fn query(&self) -> Option<String> {
        sys::query()
    }

    /// The version that the client spoke: `1.0`, `1.1`, `2` or `3`.
    pub fn version(&self) -> String {
        sys::version()
    }

    /// The connection that the request came on.
    pub const fn connection(&self) -> Connection {
        Connection(())
    }

    /// The client's address as the listener derives it.
    pub fn client_ip(&self) -> Option<IpAddr> {
        sys::client_ip().parse().ok()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<Value> {
        sys::request_get(name).map(Value::new)
    }

    /// Every value of a header, in order.
    pub fn header_all(&self, name: &str) -> Vec<Value> {
        sys::request_get_all(name).into_iter().map(Value::new).collect()
    }

    /// Every header field; names are in lower case.
    pub fn headers(&self) -> Vec<(String, Value)> {
        sys::request_all().into_iter().map(|(name, value)| (name, Value::new(value))).collect()
    }

    /// The first value of a cookie (RFC 6265, 4.2), as it is written.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.header_all("cookie").iter().find_map(|line| {
            let pairs = line.to_str()?.split(';');
            pairs
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        })
    }

    /// Replaces every value of a header with this one.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::request_set(name, value.as_ref());
    }

    /// Adds a value to a header.
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::request_add(name, value.as_ref());
    }

    /// Takes every value of a header out.
    pub fn remove_header(&mut self, name: &str) {
        sys::request_remove(name);
    }

    /// Replaces the path; it begins with `/` and holds no `?` and no `#`. The query stays.
    pub fn set_path(&mut self, path: &str) {
        sys::set_path(path);
    }

    /// Replaces host and port: what the backend gets as `Host`.
    pub fn set_authority(&mut self, authority: &str) {
        sys::set_authority(authority);
    }

    /// Replaces the query, written without `?`; `None` takes it out. The path stays.
    pub fn set_query(&mut self, query: Option<&str>) {
        sys::set_query(query);
    }
}

impl Response {
    #[doc(hidden)]
    pub const fn current() -> Self {
        Self(())
    }

    /// The status.
    pub fn status(&self) -> u16 {
        sys::status()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<Value> {
        sys::response_get(name).map(Value::new)
    }

    /// Every value of a header, in order.
    pub fn header_all(&self, name: &str) -> Vec<Value> {
        sys::response_get_all(name).into_iter().map(Value::new).collect()
    }

    /// Every header field; names are in lower case.
    pub fn headers(&self) -> Vec<(String, Value)> {
        sys::response_all().into_iter().map(|(name, value)| (name, Value::new(value))).collect()
    }

    /// Replaces the status with a final one, 200 to 599. It may not cross 204 or 304, which have no body.
    pub fn set_status(&mut self, status: u16) {
        sys::set_status(status);
    }

    /// Replaces every value of a header with this one.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::response_set(name, value.as_ref());
    }

    /// Adds a value to a header.
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::response_add(name, value.as_ref());
    }

    /// Takes every value of a header out.
    pub fn remove_header(&mut self, name: &str) {
        sys::response_remove(name);
    }
}

impl Connection {
    /// Address and port of the TCP or QUIC peer.
    pub fn peer(&self) -> Option<SocketAddr> {
        sys::peer().parse().ok()
    }

    /// The client's address as the listener derives it.
    pub fn client_ip(&self) -> Option<IpAddr> {
        sys::client_ip().parse().ok()
    }

    /// [`Connection::peer`] as it is written; cheaper, and a smaller module.
    pub fn peer_text(&self) -> String {
        sys::peer()
    }

    /// [`Connection::client_ip`] as it is written; cheaper, and a smaller module.
    pub fn client_ip_text(&self) -> String {
        sys::client_ip()
    }

    /// The listener's name.
    pub fn listener(&self) -> String {
        sys::listener()
    }

    /// `h1`, `h2` or `h3`.
    pub fn protocol(&self) -> String {
        sys::protocol()
    }

    /// TLS, if the connection has it.
    pub fn tls(&self) -> Option<Tls> {
        sys::tls()
    }
}
