//! Choosing a server of a group, as one worker does it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::HeaderValue;
use tidegate_dsl::plan::{Balance, HashKey, Server, ServerGroup};

use crate::affinity::{CookieKeys, Values, set_cookie};
use crate::balance::{RoundRobin, weighted};
use crate::exchange::Exchange;
use crate::{fields, hash};

/// The servers of a group. Positions are those of the plan.
///
/// For one worker: it knows of the requests that this one has in flight, and of no others.
#[derive(Debug)]
pub struct Servers {
    balance: Balance,
    members: Vec<Member>,
    turn: RoundRobin,
    sticky: Option<Sticky>,
}

#[derive(Debug)]
struct Member {
    /// The share of the server; 0 is never chosen.
    weight: u32,
    in_flight: u32,
    /// The hash of its address.
    hash: u64,
}

/// The cookie that keeps clients on their servers.
#[derive(Debug)]
struct Sticky {
    cookie: String,
    ttl: Option<Duration>,
    /// The cookie values of each server.
    values: Vec<Values>,
}

/// The wishes of a request about the choice of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PickRequest {
    /// The server that the client's cookie names.
    kept: Option<usize>,
    /// The cookie is not as it would be today.
    stale: bool,
    /// The key that `balance hash` goes by; `None` if the request does not have it, or nobody asks.
    key: Option<u64>,
}

impl Servers {
    /// The servers of a group, with nothing in flight.
    pub fn new(group: &ServerGroup, keys: &CookieKeys) -> Self {
        // What is stopped takes nothing, as what has no weight.
        let weight = |server: &Server| if server.stopped { 0 } else { server.weight };
        let member = |server: &Server| {
            // Written as it always was, so that no client moves.
            let name = format!("{:016x}", hash::of_names([&server.host, &server.port.to_string()]));
            Member { weight: weight(server), in_flight: 0, hash: hash::of_bytes(name.as_bytes()) }
        };
        let values = |server: &Server| keys.values(&[&group.name, &server.host, &server.port.to_string()]);
        Self {
            balance: group.balance.clone(),
            members: group.servers.iter().map(member).collect(),
            turn: RoundRobin::new(group.servers.iter().map(weight)),
            sticky: group.sticky.as_ref().map(|sticky| Sticky {
                cookie: sticky.cookie.clone(),
                ttl: sticky.ttl,
                values: group.servers.iter().map(values).collect(),
            }),
        }
    }

    /// The wishes of a request about the choice of a server. They are read before the request leaves.
    pub fn pick_request(&self, exchange: &Exchange) -> PickRequest {
        let kept = self.sticky.as_ref().and_then(|sticky| sticky.kept(exchange));
        PickRequest {
            kept: kept.map(|(at, _)| at),
            stale: kept.is_some_and(|(_, current)| !current),
            key: match &self.balance {
                Balance::Hash(key) => self::key(key, exchange),
                _ => None,
            },
        }
    }

    /// The next server among those that are `usable`; `None` if there is none.
    pub fn pick(&mut self, pick: PickRequest, random: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let open = |at: &usize| self.members.get(*at).is_some_and(|member| member.weight > 0) && usable(*at);
        if let Some(kept) = pick.kept.filter(open) {
            return Some(kept);
        }
        match self.balance {
            Balance::RoundRobin => self.turn.pick(usable),
            Balance::LeastRequests => {
                let least = self
                    .members
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| open(at))
                    .map(|(_, member)| member)
                    .min_by(busier)?;
                let (weight, in_flight) = (least.weight, least.in_flight);
                let equal = |at: usize| {
                    let same = |member: &Member| busier(&member, &&Member { weight, in_flight, hash: 0 }).is_eq();
                    self.members.get(at).is_some_and(same)
                };
                self.turn.pick(|at| usable(at) && equal(at))
            }
            Balance::Hash(_) => match pick.key {
                Some(key) => self.nearest(key, open),
                None => self.by_chance(random, open),
            },
            Balance::RandomTwo => {
                let first = self.by_chance(random, open)?;
                let second = self.by_chance(hash::both(random, 2), |at| *at != first && open(at));
                let less_busy = second.filter(|second| match (self.members.get(first), self.members.get(*second)) {
                    (Some(first), Some(second)) => busier(&first, &second).is_gt(),
                    _ => false,
                });
                Some(less_busy.unwrap_or(first))
            }
        }
    }

    /// The server of a key by weighted rendezvous: each server draws a number for the key, spread by its weight, and
    /// the highest takes it. When a server comes or goes, only its own keys move.
    fn nearest(&self, key: u64, open: impl Fn(&usize) -> bool) -> Option<usize> {
        let drawn =
            |(at, member): (usize, &Member)| (at, f64::from(member.weight) / -unit(hash::both(key, member.hash)).ln());
        let members = self.members.iter().enumerate().filter(|(at, _)| open(at));
        members.map(drawn).max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(at, _)| at)
    }

    fn by_chance(&self, random: u64, open: impl Fn(&usize) -> bool) -> Option<usize> {
        let weights = self.members.iter().enumerate().map(|(at, member)| if open(&at) { member.weight } else { 0 });
        weighted(weights, random)
    }

    /// Whether requests in flight have to be counted.
    pub const fn counts(&self) -> bool {
        matches!(self.balance, Balance::LeastRequests | Balance::RandomTwo)
    }

    /// A request goes to a server.
    pub fn begin(&mut self, at: usize) {
        if let Some(member) = self.members.get_mut(at) {
            member.in_flight = member.in_flight.saturating_add(1);
        }
    }

    /// Counts a request at a server as over.
    pub fn end(&mut self, at: usize) {
        if let Some(member) = self.members.get_mut(at) {
            member.in_flight = member.in_flight.saturating_sub(1);
        }
    }

    /// The cookie that tells a client its server, if it does not know yet; `secure` says that it came over TLS.
    pub fn sticky_cookie(&self, pick: PickRequest, at: usize, secure: bool) -> Option<HeaderValue> {
        let sticky = self.sticky.as_ref().filter(|_| pick.stale || pick.kept != Some(at))?;
        Some(set_cookie(&sticky.cookie, sticky.values.get(at)?.made(), sticky.ttl, secure))
    }
}

impl Sticky {
    /// The server that the cookie names, and whether the cookie is as it would be today.
    fn kept(&self, exchange: &Exchange) -> Option<(usize, bool)> {
        let mut cookies = fields::cookie(&exchange.request.headers, &self.cookie);
        let named = |cookie: &str| self.values.iter().enumerate().find_map(|(at, one)| Some((at, one.fits(cookie)?)));
        cookies.find_map(|cookie| named(&cookie))
    }
}

/// Compares how busy two servers would be with one request more, for their weights.
fn busier(one: &&Member, other: &&Member) -> std::cmp::Ordering {
    let share = |member: &Member, weight: u32| (u64::from(member.in_flight) + 1) * u64::from(weight);
    share(one, other.weight).cmp(&share(other, one.weight))
}

/// The hash of what `balance hash` goes by.
fn key(key: &HashKey, exchange: &Exchange) -> Option<u64> {
    let request = &exchange.request;
    let of = |value: Cow<'_, str>| hash::of_bytes(value.as_bytes());
    match key {
        HashKey::ClientIp => Some(match exchange.client_ip {
            IpAddr::V4(ip) => hash::of_bytes(&ip.octets()),
            IpAddr::V6(ip) => hash::of_bytes(&ip.octets()),
        }),
        HashKey::Uri => Some(hash::of_bytes(request.target.as_str().as_bytes())),
        HashKey::Header(name) => request.headers.get(name).map(|value| hash::of_bytes(value.as_bytes())),
        HashKey::Query(name) => fields::query(request.target.query()?, name).next().map(of),
        HashKey::Cookie(name) => fields::cookie(&request.headers, name).next().map(of),
    }
}

/// A number between 0 and 1, neither of them, from the upper 32 bits.
fn unit(hash: u64) -> f64 {
    let upper = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
    (f64::from(upper) + 0.5) / 4_294_967_296.0
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::{exchange, group};

    const ANY: fn(usize) -> bool = |_| true;

    /// Servers by the last part of their address and their weight.
    fn servers(balance: Balance, servers: &[(u8, u32)]) -> Servers {
        let server = |(last, weight): &(u8, u32)| Server {
            host: format!("10.0.0.{last}"),
            port: 80,
            weight: *weight,
            backup: false,
            stopped: false,
        };
        let group = ServerGroup { balance, servers: servers.iter().map(server).collect(), ..group("web") };
        Servers::new(&group, &CookieKeys::default())
    }

    fn keyed(key: u64) -> PickRequest {
        PickRequest { stale: false, key: Some(key), kept: None }
    }

    #[test]
    fn the_one_with_the_fewest_for_its_weight_is_next() {
        let mut servers = servers(Balance::LeastRequests, &[(1, 2), (2, 1), (3, 1)]);
        let mut counts = [0; 3];
        for _ in 0..8 {
            let at = servers.pick(PickRequest::default(), 0, ANY).unwrap();
            servers.begin(at);
            counts[at] += 1;
        }
        assert_eq!(counts, [4, 2, 2], "none has ended");
        servers.end(2);
        assert_eq!(servers.pick(PickRequest::default(), 0, ANY), Some(2));
        assert_ne!(servers.pick(PickRequest::default(), 0, |at| at != 2), Some(2));
    }

    #[test]
    fn equally_busy_ones_take_turns() {
        let mut servers = servers(Balance::LeastRequests, &[(1, 1), (2, 1)]);
        let picks: Vec<_> = (0..4).filter_map(|_| servers.pick(PickRequest::default(), 0, ANY)).collect();
        assert_eq!(picks, [0, 1, 0, 1]);
    }

    #[test]
    fn of_two_the_less_busy_one() {
        let mut servers = servers(Balance::RandomTwo, &[(1, 1), (2, 1)]);
        servers.begin(0);
        for random in (0..50_u64).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            assert_eq!(servers.pick(PickRequest::default(), random, ANY), Some(1));
            assert_eq!(servers.pick(PickRequest::default(), random, |at| at == 0), Some(0), "there is no second");
        }
    }

    #[test]
    fn keys_stay_and_are_spread_by_weight() {
        let by_address = || Balance::Hash(HashKey::ClientIp);
        let mut three = servers(by_address(), &[(1, 1), (2, 1), (3, 2)]);
        let mut two = servers(by_address(), &[(3, 2), (1, 1)]);
        let mut shares = HashMap::new();
        for key in (0..4000).map(|at: u64| hash::of_bytes(&at.to_le_bytes())) {
            let at = three.pick(keyed(key), 0, ANY).unwrap();
            assert_eq!(three.pick(keyed(key), 99, ANY), Some(at));
            *shares.entry(at).or_insert(0) += 1;
            if at != 1 {
                // Without the second server, written in another order, the keys of the others stay.
                assert_eq!(two.pick(keyed(key), 0, ANY), Some(usize::from(at == 0)));
                assert_eq!(three.pick(keyed(key), 0, |at| at != 1), Some(at));
            }
        }
        assert!((900..1100).contains(&shares[&0]) && (1850..2150).contains(&shares[&2]), "{shares:?}");
    }

    #[test]
    fn a_key_is_what_the_policy_says() {
        let mut exchange = exchange("GET", "h", "/a?id=%37&x=1");
        exchange.request.headers.insert("cookie", HeaderValue::from_static("a=1; session=7"));
        exchange.request.headers.insert("x-tenant", HeaderValue::from_static("7"));
        let key_of = |key: HashKey| servers(Balance::Hash(key), &[(1, 1)]).pick_request(&exchange).key;
        let seven = Some(hash::of_bytes(b"7"));
        assert_eq!(key_of(HashKey::Query("id".into())), seven);
        assert_eq!(key_of(HashKey::Cookie("session".into())), seven);
        assert_eq!(key_of(HashKey::Header("x-tenant".into())), seven);
        assert_eq!(key_of(HashKey::Uri), Some(hash::of_bytes(b"/a?id=%37&x=1")));
        assert!(key_of(HashKey::ClientIp).is_some());
        assert_eq!(key_of(HashKey::Query("no".into())), None);
        assert_eq!(key_of(HashKey::Cookie("no".into())), None);
        assert_eq!(key_of(HashKey::Header("no".into())), None);
    }

    #[test]
    fn without_a_key_the_weights_decide() {
        let mut servers = servers(Balance::Hash(HashKey::ClientIp), &[(1, 1), (2, 0), (3, 3)]);
        assert_eq!(servers.pick(PickRequest::default(), 0, ANY), Some(0));
        assert_eq!(servers.pick(PickRequest::default(), u64::MAX, ANY), Some(2));
    }

    #[test]
    fn a_client_stays_on_its_server() {
        let server = |last: u8| Server {
            host: format!("10.0.0.{last}"),
            port: 80,
            weight: 1,
            backup: false,
            stopped: last == 2,
        };
        let sticky = tidegate_dsl::plan::Sticky { cookie: "SRV".into(), ttl: Some(Duration::from_secs(1800)) };
        let servers = vec![server(1), server(2), server(3)];
        let group = ServerGroup { servers, sticky: Some(sticky), ..group("web") };
        let mut servers = Servers::new(&group, &CookieKeys::default());
        let mut exchange = exchange("GET", "h", "/");
        let new = servers.pick_request(&exchange);
        let told = servers.sticky_cookie(new, 2, true).unwrap();
        let told = told.to_str().unwrap();
        assert!(
            told.starts_with("SRV=") && told.ends_with("; Path=/; Max-Age=1800; HttpOnly; SameSite=Lax; Secure"),
            "{told}"
        );
        let cookie = told.split(';').next().unwrap();
        exchange.request.headers.insert("cookie", HeaderValue::from_str(cookie).unwrap());
        let pick = servers.pick_request(&exchange);
        for _ in 0..5 {
            assert_eq!(servers.pick(pick, 0, ANY), Some(2));
        }
        assert_eq!(servers.sticky_cookie(pick, 2, true), None, "it knows");
        assert_eq!(servers.pick(pick, 0, |at| at != 2), Some(0), "its server is gone");
        assert!(servers.sticky_cookie(pick, 0, false).is_some());
        let changing = Servers::new(&group, &CookieKeys::new(vec![[1; 32], [0; 32]]));
        let pick = changing.pick_request(&exchange);
        assert_eq!(pick.kept, Some(2), "an old key is accepted");
        let renewed = changing.sticky_cookie(pick, 2, true).unwrap();
        assert_ne!(renewed.to_str().unwrap().split(';').next(), told.split(';').next());
        let changed = Servers::new(&group, &CookieKeys::new(vec![[1; 32]]));
        assert_eq!(changed.pick_request(&exchange).kept, None, "its key is gone");
    }
}
