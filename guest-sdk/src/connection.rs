//! The connection of the current call.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use crate::sys;
use crate::tls::Tls;

/// The connection that the request came on. Needs `read-request` in `allow`.
///
/// ```
/// # use tidegate_guest::TestHost;
/// TestHost::new().listener("shop").in_request(|request| {
///     let connection = request.connection();
///     assert_eq!((connection.listener().as_str(), connection.protocol().as_str()), ("shop", "h1"));
/// });
/// ```
#[derive(Debug)]
pub struct Connection(());

impl Connection {
    /// The connection of the current call.
    pub(crate) const fn current() -> Self {
        Self(())
    }

    /// Address and port of the TCP or QUIC peer.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().peer("192.0.2.7:4000").in_request(|request| assert_eq!(request.connection().peer().unwrap().port(), 4000));
    /// ```
    pub fn peer(&self) -> Option<SocketAddr> {
        sys::peer().parse().ok()
    }

    /// The client's address as the listener derives it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().in_request(|request| assert!(request.connection().client_ip().unwrap().is_ipv4()));
    /// ```
    pub fn client_ip(&self) -> Option<IpAddr> {
        sys::client_ip().parse().ok()
    }

    /// [`Connection::peer`] as it is written; cheaper, and a smaller module.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().peer("192.0.2.7:4000").in_request(|request| assert_eq!(request.connection().peer_text(), "192.0.2.7:4000"));
    /// ```
    pub fn peer_text(&self) -> String {
        sys::peer()
    }

    /// [`Connection::client_ip`] as it is written; cheaper, and a smaller module.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().in_request(|request| assert_eq!(request.connection().client_ip_text(), "192.0.2.1"));
    /// ```
    pub fn client_ip_text(&self) -> String {
        sys::client_ip()
    }

    /// The listener's name.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().listener("shop").in_request(|request| assert_eq!(request.connection().listener(), "shop"));
    /// ```
    pub fn listener(&self) -> String {
        sys::listener()
    }

    /// `h1`, `h2` or `h3`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().protocol("h3").in_request(|request| assert_eq!(request.connection().protocol(), "h3"));
    /// ```
    pub fn protocol(&self) -> String {
        sys::protocol()
    }

    /// TLS, if the connection has it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().in_request(|request| assert_eq!(request.connection().tls(), None));
    /// ```
    pub fn tls(&self) -> Option<Tls> {
        sys::tls()
    }
}
