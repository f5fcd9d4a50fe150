//! Keeping a client where it was: a cookie that names what was chosen for it.
//!
//! The value is a keyed hash of names, so that it survives reloads that keep the names, whatever their order, and says nobody
//! the address of a server. It gives no rights: who has another's chooses only what chance might have chosen.

use std::fmt;
use std::time::Duration;

use hmac_sha256::HMAC;
use http::{HeaderMap, HeaderValue};
use tidegate_dsl::plan::{GroupId, Plan, Target};

use crate::fields;
use crate::hash;
use crate::header_text::header_value;

/// The keys that values of cookies are made with: the first makes, all are accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieKeys(Vec<[u8; 32]>);

/// The key that is known to everybody, for where nothing is served.
impl Default for CookieKeys {
    fn default() -> Self {
        Self(vec![[0; 32]])
    }
}

/// The number of keys, and none of them.
impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl CookieKeys {
    /// The keys as they are given; without any, those of [`CookieKeys::default`].
    pub fn new(keys: Vec<[u8; 32]>) -> Self {
        if keys.is_empty() { Self::default() } else { Self(keys) }
    }

    /// The values that stand for names, by each key.
    pub(crate) fn values(&self, names: &[&str]) -> Values {
        let text = names.join("\0");
        let value = |key: &[u8; 32]| {
            let mac = HMAC::mac(text.as_bytes(), key);
            mac.iter().take(VALUE_BYTES).fold(String::new(), |value, byte| value + &format!("{byte:02x}")).into()
        };
        Values(self.0.iter().map(value).collect())
    }
}

/// Bytes of a value: nobody guesses one, nor does chance make two the same.
const VALUE_BYTES: usize = 16;

/// The values that stand for the same names, by each key.
#[derive(Debug)]
pub(crate) struct Values(Box<[Box<str>]>);

impl Values {
    /// The value that is written.
    pub(crate) fn made(&self) -> &str {
        self.0.first().map_or("", |value| value)
    }

    /// Whether a cookie has one of the values; if so, whether that is the one that would be written today.
    pub(crate) fn fits(&self, cookie: &str) -> Option<bool> {
        self.0.iter().position(|value| **value == *cookie).map(|at| at == 0)
    }
}

/// The cookie of a `forward … sticky D`, and the value that stands for each group.
#[derive(Debug)]
pub(crate) struct Affinity {
    cookie: Box<str>,
    ttl: Duration,
    /// The cookie values of the targets, in their order.
    values: Box<[Values]>,
}

/// The way in which a group was chosen for a client that is kept on its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The client's cookie names the group.
    ByCookie,
    /// The client's cookie names the group by a key that makes none any more; it gets this `Set-Cookie`.
    Renewed(HeaderValue),
    /// The client had no cookie that names one of the groups; it gets this `Set-Cookie`.
    Chosen(HeaderValue),
}

impl Kept {
    /// The `Set-Cookie` that the client gets.
    pub(crate) const fn told(&self) -> Option<&HeaderValue> {
        match self {
            Self::ByCookie => None,
            Self::Renewed(cookie) | Self::Chosen(cookie) => Some(cookie),
        }
    }
}

impl Affinity {
    /// The affinity of a rule of a rule list: the cookie is named after both, so that no two rules get in each other's
    /// way.
    pub(crate) fn new(
        ttl: Duration,
        set: &str,
        rule: &str,
        targets: &[Target],
        plan: &Plan,
        keys: &CookieKeys,
    ) -> Self {
        let name = |target: &Target| plan.groups.get(target.group.0).map_or("", |group| &group.name);
        Self {
            cookie: format!("tidegate-forward-{:016x}", hash::of_names([set, rule])).into(),
            ttl,
            values: targets.iter().map(|target| keys.values(&[set, rule, name(target)])).collect(),
        }
    }

    /// The group that the client's cookie names, if it takes requests, and whether the cookie is as it would be today.
    pub(crate) fn kept(&self, headers: &HeaderMap, targets: &[Target]) -> Option<(GroupId, bool)> {
        let mut cookies = fields::cookie(headers, &self.cookie);
        cookies.find_map(|cookie| {
            let mut named = self.values.iter().zip(targets);
            let (target, current) = named.find_map(|(values, target)| Some((target, values.fits(&cookie)?)))?;
            (target.weight > 0).then_some((target.group, current))
        })
    }

    /// The cookie that tells a client the group which was chosen for it.
    pub(crate) fn sticky_cookie(&self, group: GroupId, targets: &[Target], secure: bool) -> Option<HeaderValue> {
        let at = targets.iter().position(|target| target.group == group)?;
        Some(set_cookie(&self.cookie, self.values.get(at)?.made(), Some(self.ttl), secure))
    }
}

/// A `Set-Cookie` for every path of the host, out of the reach of scripts (RFC 6265, 4.1).
pub fn set_cookie(name: &str, value: &str, ttl: Option<Duration>, secure: bool) -> HeaderValue {
    let age = ttl.map_or(String::new(), |ttl| format!("; Max-Age={}", ttl.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    header_value(format!("{name}={value}; Path=/{age}; HttpOnly; SameSite=Lax{secure}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_depends_on_its_key_and_on_every_name() {
        let values = |key: u8, names: &[&str]| CookieKeys::new(vec![[key; 32]]).values(names).made().to_owned();
        let one = values(1, &["web", "10.0.0.1", "80"]);
        assert_eq!(one.len(), 32);
        assert_eq!(one, values(1, &["web", "10.0.0.1", "80"]));
        assert_ne!(one, values(2, &["web", "10.0.0.1", "80"]));
        assert_ne!(one, values(1, &["web", "10.0.0.18", "0"]));
        assert_ne!(one, values(1, &["api", "10.0.0.1", "80"]));
    }

    #[test]
    fn the_first_key_makes_and_all_are_accepted() {
        let (old, new) = ([1; 32], [2; 32]);
        let before = CookieKeys::new(vec![old]).values(&["web"]);
        let changing = CookieKeys::new(vec![new, old]).values(&["web"]);
        assert_eq!(changing.fits(before.made()), Some(false));
        assert_eq!(changing.fits(changing.made()), Some(true));
        assert_eq!(CookieKeys::new(vec![new]).values(&["web"]).fits(before.made()), None);
        assert_eq!(changing.fits(""), None);
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", CookieKeys::new(vec![[7; 32]])), "1 keys");
    }
}
