//! The client's address, as a listener derives it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use tidegate_dsl::plan::{self, Plan};

use crate::bounds::MAX_FORWARDED_TOKENS;
use crate::networks::Networks;

pub(crate) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// `client-ip …` of a listener.
#[derive(Debug)]
pub(crate) enum ClientIp {
    Peer,
    /// The first address from the right that is not in these.
    Trusted(Networks),
    Leftmost,
    /// The runtime reads the PROXY protocol before there is a request: what it found is the peer.
    ProxyProtocol(Networks),
}

impl ClientIp {
    pub(crate) fn new(setting: &plan::ClientIp, plan: &Plan) -> Self {
        match setting {
            plan::ClientIp::Peer => Self::Peer,
            plan::ClientIp::ProxyProtocol(set) => Self::ProxyProtocol(Networks::of(set, plan)),
            plan::ClientIp::XForwardedForLeftmost => Self::Leftmost,
            plan::ClientIp::XForwardedFor(set) => match Networks::of(set, plan) {
                // Whoever trusts all of IPv4 trusts everybody, IPv6 too.
                networks if networks.all_v4() => Self::Leftmost,
                networks => Self::Trusted(networks),
            },
        }
    }

    /// Whether a connection of this peer has to begin with a header of the PROXY protocol.
    pub(crate) fn expects_proxy_header(&self, peer: IpAddr) -> bool {
        matches!(self, Self::ProxyProtocol(trusted) if trusted.contains(peer.to_canonical()))
    }

    /// Whether the words of this peer about clients are taken. Whoever takes the leftmost address trusts nobody in
    /// particular; and a peer that speaks the PROXY protocol passes on what its clients say.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        matches!(self, Self::Trusted(networks) if networks.contains(peer.to_canonical()))
    }

    /// The address, in IPv4 form where it is a mapped one.
    pub(crate) fn find(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        match self {
            Self::Peer | Self::ProxyProtocol(_) => peer,
            Self::Trusted(networks) => scan(peer, headers, |address| networks.contains(address)),
            Self::Leftmost => scan(peer, headers, |_| true),
        }
    }
}

/// Goes from the peer leftwards while the addresses are trusted. The first that is not, or the last there is, is the client.
/// What is no address ends the scan: nothing left of it can be believed.
fn scan(peer: IpAddr, headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    let lines = headers.get_all(&X_FORWARDED_FOR).into_iter().rev();
    let tokens = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for token in tokens.take(MAX_FORWARDED_TOKENS) {
        if !trusted(client) {
            break;
        }
        let token = token.trim_ascii();
        if token.is_empty() {
            // RFC 9110, 5.6.1.2: empty elements of a list count for nothing.
            continue;
        }
        match address(token) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// `1.2.3.4`, `::1` or `[::1]`, perhaps with a port, perhaps quoted.
fn address(token: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(token).ok()?;
    let text = text.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')).unwrap_or(text);
    let bracketed = || -> Option<Ipv6Addr> { text.strip_prefix('[')?.strip_suffix(']')?.parse().ok() };
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| bracketed().map(IpAddr::V6))
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use http::HeaderValue;
    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::*;

    fn trusting(networks: &[&str]) -> ClientIp {
        let networks: Vec<IpNet> = networks.iter().map(|text| text.parse().unwrap()).collect();
        ClientIp::Trusted(Networks::new(networks.iter()))
    }

    fn find(setting: &ClientIp, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        setting.find(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_first_untrusted_from_the_right() {
        let setting = trusting(&["10.0.0.0/8", "2001:db8::/32"]);
        for (peer, lines, expected) in [
            ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("203.0.113.1", &["198.51.100.7"], "203.0.113.1"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.2.2.2"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.2.2.2"], "203.0.113.9"),
            ("10.0.0.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, unknown, 10.2.2.2"], "10.2.2.2"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, , ,"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9:5678"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db9::1]:80"], "2001:db9::1"),
            ("10.0.0.1", &["[2001:db9::1]"], "2001:db9::1"),
            ("10.0.0.1", &["\"[2001:db9::1]:80\""], "2001:db9::1"),
            ("10.0.0.1", &["2001:db9::1, 2001:db8::2"], "2001:db9::1"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("::ffff:203.0.113.1", &["1.1.1.1"], "203.0.113.1"),
            ("10.0.0.1", &["1.1.1.1:99999"], "10.0.0.1"),
            ("10.0.0.1", &["01.1.1.1"], "10.0.0.1"),
        ] {
            assert_eq!(find(&setting, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_leftmost_of_all() {
        for (lines, expected) in [
            (&["1.1.1.1, 203.0.113.9", "10.2.2.2"][..], "1.1.1.1"),
            (&["unknown, 203.0.113.9"], "203.0.113.9"),
            (&[], "192.0.2.1"),
        ] {
            assert_eq!(find(&ClientIp::Leftmost, "192.0.2.1", lines), expected);
        }
        assert_eq!(find(&ClientIp::Peer, "192.0.2.1", &["1.1.1.1"]), "192.0.2.1");
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let many = vec!["10.0.0.2"; MAX_FORWARDED_TOKENS].join(",");
        let setting = trusting(&["10.0.0.0/8"]);
        assert_eq!(find(&setting, "10.0.0.1", &["203.0.113.9", &many]), "10.0.0.2");
        assert_eq!(find(&setting, "10.0.0.1", &["203.0.113.9", &many[9..]]), "203.0.113.9");
    }

    proptest! {
        /// Whatever a client puts to the left, the address that our own proxy saw is the one that counts.
        #[test]
        fn a_client_cannot_forge(line in "([0-9a-f.:,\\[\\]\" ]|unknown|10\\.0\\.0\\.1,){0,40}") {
            let setting = trusting(&["10.0.0.0/8"]);
            let lines = [line.as_str(), "203.0.113.9, 10.2.2.2"];
            prop_assert_eq!(find(&setting, "10.0.0.1", &lines), "203.0.113.9");
            let joined = format!("{line}, 203.0.113.9");
            prop_assert_eq!(find(&setting, "10.0.0.1", &[&joined]), "203.0.113.9");
        }

        #[test]
        fn any_bytes_are_taken(line in proptest::collection::vec(0x20_u8.., 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let headers = HeaderMap::from_iter([(X_FORWARDED_FOR.clone(), value)]);
                let _ = ClientIp::Leftmost.find([10, 0, 0, 1].into(), &headers);
            }
        }
    }
}
