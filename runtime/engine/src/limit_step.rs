//! The `limit` step: which bucket a request takes from, and how it is refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use ipnet::Ipv6Net;
use tidegate_dsl::plan::{self, LimitKey};

use crate::build_error::Invalid;
use crate::exchange::Exchange;
use crate::fields;
use crate::header_name::header_name;
use crate::header_text::header_value;
use crate::hook::Reply;
use crate::limiter::{BucketKey, Limiter};
use crate::outcome;
use crate::rule::Builder;

/// A `limit` step.
#[derive(Debug)]
pub(crate) struct Limit {
    limiter: Arc<Limiter>,
    per: Per,
    status: StatusCode,
    /// The rule's name, for `tidegate-limited`.
    rule: HeaderValue,
}

#[derive(Debug)]
enum Per {
    All,
    /// The IPv4 address, or the IPv6 network with a prefix of this length.
    ClientIp(u8),
    Header(HeaderName),
    Cookie(Box<str>),
    Host,
}

/// The name of a limit: rule list, rule, and position among the limits of the rule. By it a reload finds its buckets again.
pub(crate) type LimitName = (String, String, usize);

/// The buckets of every limit.
pub(crate) type Limiters = HashMap<LimitName, Arc<Limiter>>;

impl Limit {
    pub(crate) fn new(limit: &plan::Limit, name: LimitName, builder: &mut Builder<'_>) -> Result<Self, Invalid> {
        let rule = header_value(name.1.as_str().into());
        let kept = builder.previous.and_then(|previous| previous.get(&name));
        let limiter = match kept {
            Some(kept) if kept.serves(limit) => Arc::clone(kept),
            _ => Arc::new(Limiter::new(limit)),
        };
        builder.limiters.insert(name, Arc::clone(&limiter));
        Ok(Self {
            limiter,
            per: match &limit.per {
                LimitKey::All => Per::All,
                LimitKey::ClientIp(prefix) => Per::ClientIp(*prefix),
                LimitKey::Header(name) => match header_name(name)? {
                    header::HOST => Per::Host,
                    name => Per::Header(name),
                },
                LimitKey::Cookie(name) => Per::Cookie(name.as_str().into()),
                LimitKey::Host => Per::Host,
            },
            status: outcome::final_status(limit.status)?,
            rule,
        })
    }

    /// Takes a token at `now`. A request without the header or cookie counts as one whose value is empty.
    ///
    /// # Errors
    ///
    /// How long until there is one.
    pub(crate) fn take(&self, exchange: &Exchange, now: u64) -> Result<(), Duration> {
        match &self.per {
            Per::All => self.limiter.take(BucketKey::All, now),
            Per::ClientIp(prefix) => self.limiter.take(BucketKey::Address(network(exchange.client_ip, *prefix)), now),
            Per::Header(name) => {
                let value = exchange.request.headers.get(name);
                let value = value.map_or(&b""[..], HeaderValue::as_bytes);
                self.limiter.take(BucketKey::Text(value), now)
            }
            Per::Cookie(name) => {
                let value = fields::cookie(&exchange.request.headers, name).next();
                self.limiter.take(BucketKey::Text(value.unwrap_or_default().as_bytes()), now)
            }
            Per::Host => {
                let host = exchange.request.host();
                self.limiter.take(BucketKey::Text(host.as_bytes()), now)
            }
        }
    }

    /// The refusal, with the seconds until there is a token again (RFC 9110, 10.2.3), rounded up.
    pub(crate) fn refusal(&self, wait: Duration) -> Reply {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let mut reply = outcome::plain(self.status, Bytes::from_static(b"over the limit\n"));
        reply.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        reply.headers.insert("tidegate-limited", self.rule.clone());
        reply
    }
}

/// The client that an address stands for: an IPv4 address itself, mapped into IPv6 (RFC 4291, 2.5.5.2) or not; of an IPv6
/// address the network, for whoever has one of its addresses has them all.
fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Net::new(address, prefix).map_or(address, |network| network.network())),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        for (address, prefix, client) in [
            ("203.0.113.9", 64, "203.0.113.9"),
            ("::ffff:203.0.113.9", 32, "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", 64, "2001:db8:1:2::"),
            ("2001:db8:1:3::", 64, "2001:db8:1:3::"),
            ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", 127, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:7", 127, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", 56, "2001:db8:1::"),
            ("2001:db8:1:2:3:4:5:6", 32, "2001:db8::"),
            ("2001:db8:1:2:3:4:5:6", 0, "::"),
        ] {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(network(address.parse().unwrap(), prefix), client, "{address}/{prefix}");
        }
    }
}
