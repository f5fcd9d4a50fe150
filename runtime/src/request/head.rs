//! A request's head as it came, made into one that rules can trust.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::Listener;
use tidegate_engine::exchange::{Connection, Request};
use tidegate_engine::passage::FieldKinds;
use tidegate_engine::target::Target;
use tidegate_engine::{method, normalise};

use crate::policy::via::Via;
use crate::request::fields;

/// Reads the head of a request on a connection.
pub struct Reader<'r> {
    /// The listener that they came to.
    pub listener: &'r Listener,
    /// The name of the gateway in `Via`.
    pub via: Option<&'r Via>,
    /// The kinds of fields that it has.
    pub kinds: FieldKinds,
    /// The connection.
    pub connection: &'r Connection,
    /// The host that was asked for before.
    pub known: &'r KnownHost,
}

/// Marks a request whose head came before its handshake was complete: it may be a replay (RFC 8470, 3).
#[derive(Debug, Clone, Copy)]
pub struct InEarlyData;

impl InEarlyData {
    /// Whether a request bears the mark.
    pub fn is_on(parts: &Parts) -> bool {
        parts.extensions.get::<Self>().is_some()
    }

    /// Tells the server (RFC 8470, 5.1). It comes after what the client said of its connection, which could name it away.
    pub fn tell(headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("early-data"), HeaderValue::from_static("1"));
    }
}

/// The host and target that a request asks for.
struct Asked {
    authority: Authority,
    /// Whether the client named none: HTTP/1.0.
    unnamed: bool,
    /// The target, normalised.
    target: Target,
    /// The target as it came.
    original_target: PathAndQuery,
}

impl Reader<'_> {
    /// Checks framing-independent parts of a head, normalises host and path.
    ///
    /// # Errors
    /// What is wrong with it, and the head as it came, for the log.
    pub fn read(&self, mut parts: Parts) -> Result<Request, (Failure, Box<Parts>)> {
        match self.check(&mut parts) {
            Ok(Asked { authority, unnamed, target, original_target }) => {
                let target = (target, original_target);
                let request = Request::new(parts.method, authority, target, parts.version, parts.headers);
                Ok(Request { unnamed, ..request })
            }
            Err(failure) => Err((failure, Box::new(parts))),
        }
    }

    fn check(&self, parts: &mut Parts) -> Result<Asked, Failure> {
        let (limits, known) = (&self.listener.limits, self.known);
        if !method::is_carried(&parts.method) {
            return Err(Failure::BadMethod);
        }
        if InEarlyData::is_on(parts) && !method::is_safe(&parts.method) {
            return Err(Failure::TooEarly);
        }
        if self.kinds.transfer_encoding && !fields::has_known_coding(&parts.headers) {
            return Err(Failure::BadCoding);
        }
        let (authority, unnamed) = match parts.version {
            Version::HTTP_2 | Version::HTTP_3 => {
                if parts.headers.len() > usize::try_from(limits.headers).unwrap_or(usize::MAX) {
                    return Err(Failure::TooManyHeaders);
                }
                // In HTTP/1.1, reading the head has seen to it.
                if !fields::has_clear_length(&parts.headers) {
                    return Err(Failure::ClientBody);
                }
                fields::join_cookies(&mut parts.headers);
                (pseudo_authority(parts, known)?, false)
            }
            // Clients from before HTTP/1.1 need not name one, such as load balancers that look whether somebody is there.
            _ if parts.version < Version::HTTP_11 && names_no_host(parts) => (place(self.connection, known)?, true),
            _ => (authority(parts, known)?, false),
        };
        let original_target = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        if u64::try_from(original_target.as_str().len()).unwrap_or(u64::MAX) > limits.uri_bytes {
            return Err(Failure::UriTooLong);
        }
        let target = Target::read(&original_target, self.listener.paths).map_err(|_| Failure::BadTarget)?;
        if target.as_str() == "*" && parts.method != Method::OPTIONS {
            return Err(Failure::BadTarget);
        }
        if self.kinds.via && self.via.is_some_and(|via| via.is_among(&parts.headers)) {
            return Err(Failure::Loop);
        }
        Ok(Asked { authority, unnamed, target, original_target })
    }
}

/// The host that the client asked for: of an absolute target before the `Host` field (RFC 9112, 3.2.2), of which an
/// HTTP/1.1 request has exactly one, and a valid one (RFC 9112, 3.2).
fn authority(parts: &Parts, known: &KnownHost) -> Result<Authority, Failure> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Failure::BadHost);
    }
    let raw = match (absolute(&parts.uri)?, host) {
        (Some(authority), Some(host)) => {
            normalise::authority(host.as_bytes()).map_err(|_| Failure::BadHost)?;
            authority.as_str().as_bytes()
        }
        (Some(authority), None) if parts.version < Version::HTTP_11 => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        _ => return Err(Failure::BadHost),
    };
    known.normalise(raw)
}

fn names_no_host(parts: &Parts) -> bool {
    !parts.headers.contains_key(HOST) && parts.uri.scheme().is_none() && parts.uri.authority().is_none()
}

/// The address that the client connected to, as it would be written in its URL: without the port that every client knows.
fn place(connection: &Connection, known: &KnownHost) -> Result<Authority, Failure> {
    let local = connection.local;
    let usual = if connection.tls.is_some() { 443 } else { 80 };
    let place = match local.ip() {
        IpAddr::V6(ip) if local.port() == usual => format!("[{ip}]"),
        IpAddr::V4(ip) if local.port() == usual => ip.to_string(),
        ip => SocketAddr::new(ip, local.port()).to_string(),
    };
    known.normalise(place.as_bytes())
}

/// The authority of a target in absolute form (RFC 9112, 3.2.2). A word without a slash is a target in authority form, which is of
/// `CONNECT` alone (RFC 9112, 3.2.3).
fn absolute(target: &Uri) -> Result<Option<&Authority>, Failure> {
    match (target.scheme_str(), target.authority()) {
        (None, None) => Ok(None),
        (Some("http" | "https"), Some(authority)) => Ok(Some(authority)),
        _ => Err(Failure::BadTarget),
    }
}

/// The host of `:authority`, from which a `Host` field must not differ (RFC 9113, 8.3.1); afterwards it is in `Host`,
/// as in HTTP/1.1.
fn pseudo_authority(parts: &mut Parts, known: &KnownHost) -> Result<Authority, Failure> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let raw = match (parts.uri.authority(), host) {
        (Some(authority), Some(host)) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            return Err(Failure::BadHost);
        }
        _ if more.is_some() => return Err(Failure::BadHost),
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(Failure::BadHost),
    };
    let authority = known.normalise(raw)?;
    if host.is_none() {
        let host = known.field().ok_or(Failure::BadHost)?;
        parts.headers.insert(HOST, host);
    }
    Ok(authority)
}

/// The last host that a connection asked for, normalised: most ask for one host alone.
#[derive(Default)]
pub struct KnownHost(RefCell<Option<Known>>);

struct Known {
    /// The host as it came.
    raw: Vec<u8>,
    normalised: Authority,
    /// The host as a field's value; made when it is first asked for.
    field: Option<HeaderValue>,
}

impl KnownHost {
    fn normalise(&self, raw: &[u8]) -> Result<Authority, Failure> {
        let mut known = self.0.borrow_mut();
        match &*known {
            Some(known) if known.raw == raw => Ok(known.normalised.clone()),
            _ => {
                let authority = normalise::authority(raw).map_err(|_| Failure::BadHost)?;
                *known = Some(Known { raw: raw.to_vec(), normalised: authority.clone(), field: None });
                Ok(authority)
            }
        }
    }

    /// The host that was normalised last, as a field's value.
    fn field(&self) -> Option<HeaderValue> {
        let mut known = self.0.borrow_mut();
        let known = known.as_mut()?;
        if known.field.is_none() {
            known.field = HeaderValue::from_str(known.normalised.as_str()).ok();
        }
        known.field.clone()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::tests::House;

    #[test]
    fn the_place_of_a_request_without_a_host_has_the_port_that_is_not_usual() {
        let tls = tidegate_engine::exchange::Tls {
            sni: None,
            version: "tls1.3",
            cipher: String::new(),
            group: None,
            client_cert: None,
        };
        for (local, secure, expected) in [
            ("192.0.2.2:80", false, "192.0.2.2"),
            ("192.0.2.2:443", false, "192.0.2.2:443"),
            ("192.0.2.2:443", true, "192.0.2.2"),
            ("192.0.2.2:80", true, "192.0.2.2:80"),
            ("[2001:db8::1]:80", false, "[2001:db8::1]"),
            ("[2001:db8::1]:8080", false, "[2001:db8::1]:8080"),
        ] {
            let connection = Connection {
                peer: "192.0.2.1:4711".parse().unwrap(),
                local: local.parse().unwrap(),
                listener: "main".into(),
                tls: secure.then(|| tls.clone()),
            };
            assert_eq!(place(&connection, &KnownHost::default()).unwrap(), expected);
        }
    }

    /// What becomes of these heads, one after the other, on a connection to a listener with these words.
    fn read(listener: &str, requests: Vec<http::request::Builder>) -> Vec<Result<Request, Failure>> {
        let house = House::answering(listener);
        let (connection, view) = (house.connection(), house.worker.view());
        let read = |request: http::request::Builder| {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let reader = Reader {
                listener: &view.snapshot.plan().listeners[0],
                via: None,
                kinds: FieldKinds::of(&parts.headers),
                connection: &connection.info,
                known: &connection.host,
            };
            reader.read(parts).map_err(|(failure, _)| failure)
        };
        requests.into_iter().map(read).collect()
    }

    fn http2(target: &str) -> http::request::Builder {
        http::Request::get(target).version(Version::HTTP_2)
    }

    #[test]
    fn authority_and_host_of_http_2_say_the_same() {
        for (request, host) in [
            (http2("https://A.example/"), Ok("a.example")),
            (http2("https://a.example/").header(HOST, "A.example"), Ok("a.example")),
            (http2("/").header(HOST, "A.example:81"), Ok("a.example:81")),
            (http2("https://a.example/").header(HOST, "b.example"), Err(Failure::BadHost)),
            (http2("https://a.example/").header(HOST, "a.example").header(HOST, "a.example"), Err(Failure::BadHost)),
            (http2("/").header(HOST, "a.example").header(HOST, "b.example"), Err(Failure::BadHost)),
            (http2("/"), Err(Failure::BadHost)),
            (http2("https://user@a.example/"), Err(Failure::BadHost)),
        ] {
            let shown = format!("{request:?}");
            let read = read("", vec![request]).remove(0);
            let read = read.map(|request| (request.authority.to_string(), request.headers.contains_key(HOST)));
            assert_eq!(read, host.map(|host| (host.to_owned(), true)), "{shown}");
        }
    }

    #[test]
    fn a_connection_may_ask_for_one_host_after_the_other() {
        let targets = ["https://A.example/", "https://A.example/", "https://b.example/", "https://A.example/"];
        let heads = read("", targets.map(http2).into());
        let hosts = heads.into_iter().map(|head| {
            let head = head.unwrap();
            (head.authority.to_string(), head.headers[HOST].to_str().unwrap().to_owned())
        });
        let expected =
            ["a.example", "a.example", "b.example", "a.example"].map(|host| (host.to_owned(), host.to_owned()));
        assert_eq!(hosts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_head_of_http_2_is_held_to_what_reading_it_in_http_1_sees_to() {
        let fields =
            |count: usize| (0..count).fold(http2("https://a/"), |head, at| head.header(format!("x-{at}"), "y"));
        let two = http2("https://a/").header("content-length", "1").header("content-length", "1");
        let codings = http2("https://a/").header("transfer-encoding", "gzip");
        let heads = read("limits { headers 8 }", vec![fields(8), fields(9), two, codings]);
        let failures: Vec<_> = heads.into_iter().map(Result::err).collect();
        let [many, length, coding] = [Failure::TooManyHeaders, Failure::ClientBody, Failure::BadCoding].map(Some);
        assert_eq!(failures, [None, many, length, coding]);
    }

    #[test]
    fn crumbs_of_a_cookie_are_joined_before_rules_see_them() {
        let head =
            read("", vec![http2("https://a/").header("cookie", "a=1").header("cookie", "b=2")]).remove(0).unwrap();
        assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn an_absolute_target_counts_more_than_the_host_beside_it() {
        let http1 = |target: &str| http::Request::get(target).version(Version::HTTP_11);
        for (request, host) in [
            (http1("http://a.example/x").header(HOST, "b.example"), Ok("a.example")),
            (http1("http://a.example/x").header(HOST, "b b"), Err(Failure::BadHost)),
            (http1("http://a.example/x"), Err(Failure::BadHost)),
            (http1("http://a.example/x").version(Version::HTTP_10), Ok("a.example")),
            (http1("/x").version(Version::HTTP_10), Ok("192.0.2.2:8080")),
        ] {
            let shown = format!("{request:?}");
            let read =
                read("", vec![request]).remove(0).map(|request| (request.authority.to_string(), request.unnamed));
            assert_eq!(read, host.map(|host| (host.to_owned(), host.starts_with("192."))), "{shown}");
        }
    }

    #[test]
    fn what_may_be_a_replay_is_read_if_its_method_is_safe() {
        for (method, failure) in [
            ("GET", None),
            ("HEAD", None),
            ("OPTIONS", None),
            ("POST", Some(Failure::TooEarly)),
            ("PUT", Some(Failure::TooEarly)),
        ] {
            let request = http2("https://a/").method(method).extension(InEarlyData);
            assert_eq!(read("", vec![request]).remove(0).err(), failure, "{method}");
        }
        let mut headers = HeaderMap::new();
        headers.append("early-data", HeaderValue::from_static("0"));
        InEarlyData::tell(&mut headers);
        assert_eq!(headers.get_all("early-data").iter().collect::<Vec<_>>(), ["1"], "whatever the client said");
    }
}
