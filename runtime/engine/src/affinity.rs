//! Keeping a client where it was: a cookie that names what was chosen for it.
//!
//! The value is a hash of names, so that it survives reloads that keep the names, whatever their order. It is no secret and
//! gives no rights: who forges one chooses only what chance might have chosen.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tidegate_dsl::plan::{GroupId, Plan, Target};

use crate::fields;
use crate::hash;
use crate::template::header_value;

/// The cookie of a `forward … sticky D`, and the value that stands for each group.
#[derive(Debug)]
pub(crate) struct Affinity {
    cookie: Box<str>,
    ttl: Duration,
    /// In the order of the targets.
    values: Box<[Box<str>]>,
}

/// How a group was chosen for a client that is kept on its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Its cookie names the group.
    ByCookie,
    /// It had none that names one of the groups; it gets this `Set-Cookie`.
    Chosen(HeaderValue),
}

impl Affinity {
    /// For a rule of a rule list: the cookie is named after both, so that no two rules get in each other's way.
    pub(crate) fn new(ttl: Duration, set: &str, rule: &str, targets: &[Target], plan: &Plan) -> Self {
        let name = |target: &Target| plan.groups.get(target.group.0).map_or("", |group| &group.name);
        Self {
            cookie: format!("tidegate-forward-{}", value([set, rule])).into(),
            ttl,
            values: targets.iter().map(|target| value([set, rule, name(target)]).into()).collect(),
        }
    }

    /// The group that the client's cookie names, if it takes requests.
    pub(crate) fn kept(&self, headers: &HeaderMap, targets: &[Target]) -> Option<GroupId> {
        let mut cookies = fields::cookie(headers, &self.cookie);
        cookies.find_map(|cookie| {
            let at = self.values.iter().position(|value| **value == *cookie)?;
            targets.get(at).filter(|target| target.weight > 0).map(|target| target.group)
        })
    }

    /// What tells a client the group that was chosen for it.
    pub(crate) fn tell(&self, group: GroupId, targets: &[Target], secure: bool) -> Option<HeaderValue> {
        let at = targets.iter().position(|target| target.group == group)?;
        Some(set_cookie(&self.cookie, self.values.get(at)?, Some(self.ttl), secure))
    }
}

/// A `Set-Cookie` for every path of the host, out of the reach of scripts (RFC 6265, 4.1).
pub fn set_cookie(name: &str, value: &str, ttl: Option<Duration>, secure: bool) -> HeaderValue {
    let age = ttl.map_or(String::new(), |ttl| format!("; Max-Age={}", ttl.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    header_value(format!("{name}={value}; Path=/{age}; HttpOnly; SameSite=Lax{secure}").into())
}

/// The value that stands for names: sixteen hexadecimal digits.
pub fn value<const N: usize>(names: [&str; N]) -> String {
    format!("{:016x}", hash::of_names(names))
}
