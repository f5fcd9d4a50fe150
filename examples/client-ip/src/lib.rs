//! Lets clients in by their address, tells it to the server, and hides a part of it from the log.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use tidegate_guest::config::Many;
use tidegate_guest::{Error, Filter, Reply, Request, Result, Verdict, export, vars};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Networks that may come in; every one if none is named.
    #[serde(default)]
    allow: Many<String>,
    /// Networks that may not, though they may be allowed.
    #[serde(default)]
    deny: Many<String>,
    /// The header that tells the server the address.
    #[serde(rename = "real-ip", default)]
    real_ip: Option<String>,
    /// The header that tells the server the address without its last part.
    #[serde(default)]
    anonymous: Option<String>,
}

/// The extension.
pub struct ClientIp {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    real_ip: Option<String>,
    anonymous: Option<String>,
}

impl Filter for ClientIp {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        let Config { allow, deny, real_ip, anonymous } = config;
        Ok(Self { allow: networks(&allow)?, deny: networks(&deny)?, real_ip, anonymous })
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        let Some(client) = request.client_ip() else {
            return Verdict::respond(Reply::new(403).text("your address is not known\n"));
        };
        let client = client.to_canonical();
        let anonymous = without_last_part(client).to_string();
        vars::set("client-net", &anonymous);
        if !self.lets_in(client) {
            return Verdict::respond(Reply::new(403).text("not from your address\n"));
        }
        if let Some(name) = &self.real_ip {
            request.set_header(name, client.to_string());
        }
        if let Some(name) = &self.anonymous {
            request.set_header(name, anonymous);
        }
        Verdict::next()
    }
}

export!(ClientIp: request);

impl ClientIp {
    fn lets_in(&self, client: IpAddr) -> bool {
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }
}

/// An address alone is a network of one.
fn networks(texts: &[String]) -> Result<Vec<IpNet>> {
    let network = |text: &String| {
        let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        parsed.map_err(|_| Error::new(format!("`{text}` is no network: write 10.0.0.0/8, or an address")))
    };
    texts.iter().map(network).collect()
}

/// The part of an address that is kept: 24 bits of IPv4 and 48 of IPv6 say where, and not who.
fn without_last_part(client: IpAddr) -> IpAddr {
    let bits = if client.is_ipv4() { 24 } else { 48 };
    IpNet::new(client, bits).map_or(client, |network| network.network())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_guest::TestHost;

    use super::*;

    const CONFIG: &str = r#"{"allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": "10.9.9.9",
        "real-ip": "x-real-ip", "anonymous": "x-client-net"}"#;

    fn from(address: &str) -> tidegate_guest::Outcome {
        TestHost::new().config(CONFIG).client_ip(address).header("x-real-ip", "1.2.3.4").run::<ClientIp>()
    }

    #[test]
    fn lists_decide_who_comes_in() {
        for (address, status) in [
            ("10.1.2.3", 200),
            ("::ffff:10.1.2.3", 200),
            ("2001:db8::1", 200),
            ("10.9.9.9", 403),
            ("192.0.2.1", 403),
            ("2001:db9::1", 403),
        ] {
            assert_eq!(from(address).status(), status, "{address}");
        }
        let open = TestHost::new().config(r#"{"deny": "192.0.2.0/24"}"#);
        assert_eq!(open.clone().client_ip("198.51.100.1").run::<ClientIp>().status(), 200);
        assert_eq!(open.client_ip("192.0.2.9").run::<ClientIp>().status(), 403);
    }

    #[test]
    fn the_server_is_told_and_the_log_sees_a_part() {
        let outcome = from("10.1.2.3");
        assert_eq!(outcome.request_header_all("x-real-ip"), ["10.1.2.3"], "what the client sent is gone");
        assert_eq!(outcome.request_header("x-client-net"), Some("10.1.2.0"));
        assert_eq!(outcome.var("client-net"), Some("10.1.2.0"));
        assert_eq!(from("2001:db8:1:2::3").var("client-net"), Some("2001:db8:1::"));
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = |config: &str| TestHost::new().config(config).try_run::<ClientIp>().unwrap_err().to_string();
        let wrong = refused(r#"{"allow": ["10.0.0/8"]}"#);
        assert_eq!(wrong, "`10.0.0/8` is no network: write 10.0.0.0/8, or an address");
    }
}
