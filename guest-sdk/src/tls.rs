//! TLS as the gateway tells of it.
#![forbid(unsafe_code)]

/// The facts that TLS told the gateway about a connection.
///
/// ```
/// # use tidegate_guest::{TestHost, Tls};
/// let tls = Tls { sni: Some("shop.example".into()), version: "tls1.3".into(), cipher: "TLS_AES_128_GCM_SHA256".into() };
/// TestHost::new().tls(tls).in_request(|request| {
///     assert_eq!(request.connection().tls().unwrap().sni.as_deref(), Some("shop.example"));
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server name that the client asked for (RFC 6066, 3).
    pub sni: Option<String>,
    /// `tls1.2` or `tls1.3`.
    pub version: String,
    /// The cipher suite, by its IANA name.
    pub cipher: String,
}
