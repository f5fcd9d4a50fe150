//! `when` and `unless`: tests on an exchange, compiled.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use http::{HeaderName, header};
use regex::{Captures, Regex, RegexBuilder};
use tidegate_dsl::Glob;
use tidegate_dsl::effort;
use tidegate_dsl::plan::{self, ClientCertField, Plan, StatusRange};

use crate::bounds::{MAX_REGEX_BYTES, MAX_REGEX_STATES_BYTES, MAX_VALUES};
use crate::build_error::Invalid;
use crate::distinguished_name;
use crate::exchange::{ClientCert, Exchange};
use crate::fields;
use crate::networks::Networks;
use crate::normalise;
use crate::protocol;
use crate::stack_text;
use crate::template::header_name;

/// A `when` or `unless` line.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) unless: bool,
    pub(crate) test: Test,
}

/// The test of a condition; the same shape as the plan's.
#[derive(Debug)]
pub(crate) enum Test {
    All(Box<[Test]>),
    Any(Box<[Test]>),
    Is(Subject, Predicate),
}

#[derive(Debug)]
pub(crate) enum Subject {
    Host,
    Path,
    Method,
    Scheme,
    /// `header "host"`: host and port, which are no field of the header map.
    Authority,
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
    ClientIp,
    PeerIp,
    Protocol,
    Upgrade,
    Sni,
    TlsVersion,
    TlsGroup,
    ClientCert(ClientCertField),
    ClientCertAttribute(ClientCertField, Box<str>),
    Var(Box<str>),
    Status,
    ResponseHeader(HeaderName),
}

/// The predicate that one value of the subject must meet.
#[derive(Debug)]
pub(crate) enum Predicate {
    Is(Words),
    Like(Box<[Glob]>),
    Under(Box<[Box<str>]>),
    Matches(Box<[Pattern]>),
    In(Networks),
    Status(Box<[StatusRange]>),
    Present,
    Absent,
}

/// A regular expression, with the work that it makes.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// The work for each byte of a text: see [`effort::of`].
    effort: u64,
}

/// Words of which one is wanted.
#[derive(Debug)]
pub(crate) enum Words {
    One(Box<str>),
    Few(Box<[Box<str>]>),
    #[expect(clippy::box_collection, reason = "a set is large, and would make every condition so")]
    Many(Box<HashSet<Box<str>>>),
}

/// The number of words up to which comparing is faster than hashing.
const FEW_WORDS: usize = 8;

impl Condition {
    pub(crate) fn new(condition: &plan::Condition, plan: &Plan) -> Result<Self, Invalid> {
        Ok(Self { unless: condition.unless, test: Test::new(&condition.test, plan)? })
    }

    pub(crate) fn holds(&self, exchange: &Exchange) -> bool {
        self.test.holds(exchange) != self.unless
    }

    /// The cost of the condition, roughly, in comparisons of short texts.
    pub(crate) fn cost(&self) -> u32 {
        self.test.cost()
    }

    /// The finds of its regular expressions, if the condition is a `when`; and whether each stands outside `any`.
    pub(crate) fn each_match(&self, exchange: &Exchange, found: &mut dyn FnMut(&Captures<'_>, bool)) {
        if !self.unless {
            self.test.each_match(exchange, true, found);
        }
    }
}

/// Compiles all of them.
pub(crate) fn conditions(conditions: &[plan::Condition], plan: &Plan) -> Result<Box<[Condition]>, Invalid> {
    conditions.iter().map(|condition| Condition::new(condition, plan)).collect()
}

impl Test {
    fn new(test: &plan::Test, plan: &Plan) -> Result<Self, Invalid> {
        let all = |tests: &[plan::Test]| -> Result<Box<[Self]>, Invalid> {
            tests.iter().map(|test| Self::new(test, plan)).collect()
        };
        Ok(match test {
            plan::Test::All(tests) => Self::All(all(tests)?),
            plan::Test::Any(tests) => Self::Any(all(tests)?),
            plan::Test::Is(subject, predicate) => {
                Self::Is(Subject::new(subject)?, Predicate::new(predicate, subject, plan)?)
            }
        })
    }

    fn holds(&self, exchange: &Exchange) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(exchange)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(exchange)),
            Self::Is(subject, predicate) => predicate.holds(subject, exchange),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Self::All(tests) | Self::Any(tests) => tests.iter().map(Self::cost).fold(1, u32::saturating_add),
            Self::Is(subject, predicate) => subject.cost().saturating_mul(predicate.cost()),
        }
    }

    fn each_match(&self, exchange: &Exchange, outside_any: bool, found: &mut dyn FnMut(&Captures<'_>, bool)) {
        match self {
            Self::All(tests) => {
                for test in tests {
                    test.each_match(exchange, outside_any, found);
                }
            }
            Self::Any(tests) => {
                for test in tests {
                    test.each_match(exchange, false, found);
                }
            }
            Self::Is(subject, Predicate::Matches(patterns)) => {
                let mut left = effort::MAX_EFFORT;
                subject.any(exchange, |value| {
                    let can_be_tested = |pattern: &&Pattern| pattern.takes(value, &mut left);
                    let mut tested = patterns.iter().take_while(can_be_tested);
                    let captures = tested.find_map(|pattern| pattern.regex.captures(value));
                    if let Some(captures) = &captures {
                        found(captures, outside_any);
                    }
                    captures.is_some()
                });
            }
            Self::Is(..) => {}
        }
    }
}

impl Subject {
    pub(crate) fn new(subject: &plan::Subject) -> Result<Self, Invalid> {
        Ok(match subject {
            plan::Subject::Host => Self::Host,
            plan::Subject::Path => Self::Path,
            plan::Subject::Method => Self::Method,
            plan::Subject::Scheme => Self::Scheme,
            plan::Subject::Header(name) => match header_name(name)? {
                header::HOST => Self::Authority,
                name => Self::Header(name),
            },
            plan::Subject::Query(name) => Self::Query(name.as_str().into()),
            plan::Subject::Cookie(name) => Self::Cookie(name.as_str().into()),
            plan::Subject::ClientIp => Self::ClientIp,
            plan::Subject::PeerIp => Self::PeerIp,
            plan::Subject::Protocol => Self::Protocol,
            plan::Subject::Upgrade => Self::Upgrade,
            plan::Subject::Sni => Self::Sni,
            plan::Subject::TlsVersion => Self::TlsVersion,
            plan::Subject::TlsGroup => Self::TlsGroup,
            plan::Subject::ClientCert(field) => Self::ClientCert(*field),
            plan::Subject::ClientCertAttribute(field, name) => Self::ClientCertAttribute(*field, name.as_str().into()),
            plan::Subject::Var(name) => Self::Var(name.as_str().into()),
            plan::Subject::Status => Self::Status,
            plan::Subject::ResponseHeader(name) => Self::ResponseHeader(header_name(name)?),
        })
    }

    /// Whether one of the subject's values meets `meets`; values after that are not looked at.
    pub(crate) fn any(&self, exchange: &Exchange, mut meets: impl FnMut(&str) -> bool) -> bool {
        let request = &exchange.request;
        let response = exchange.response.as_ref();
        let tls = exchange.connection.tls.as_ref();
        match self {
            Self::Host => !request.unnamed && meets(request.host()),
            Self::Path => meets(request.target.tested_path()),
            Self::Method => meets(request.method.as_str()),
            Self::Scheme => meets(exchange.connection.scheme()),
            Self::Authority => !request.unnamed && meets(request.authority.as_str()),
            Self::Header(name) => fields::header(&request.headers, name).any(|value: Cow<'_, str>| meets(&value)),
            Self::Query(name) => {
                let parsed = &exchange.parsed;
                parsed.query(&request.target, name, at_most(MAX_VALUES, exchange, meets))
            }
            Self::Cookie(name) => exchange.parsed.cookie(&request.headers, name, at_most(MAX_VALUES, exchange, meets)),
            Self::ClientIp => meets(stack_text::address(exchange.client_ip).as_str()),
            Self::PeerIp => meets(stack_text::address(exchange.connection.peer.ip()).as_str()),
            Self::Protocol => meets(protocol::word(request.version)),
            Self::Upgrade => request.websocket && meets("websocket"),
            Self::Sni => tls.and_then(|tls| tls.sni.as_deref()).is_some_and(meets),
            Self::TlsVersion => tls.is_some_and(|tls| meets(tls.version)),
            Self::TlsGroup => tls.and_then(|tls| tls.group).is_some_and(meets),
            Self::ClientCert(field) => {
                tls.and_then(|tls| tls.client_cert.as_ref()).is_some_and(|cert| meets(client_cert_field(cert, *field)))
            }
            Self::ClientCertAttribute(field, name) => {
                tls.and_then(|tls| tls.client_cert.as_ref()).is_some_and(|cert| {
                    distinguished_name::values(client_cert_field(cert, *field), name).any(|value| meets(&value))
                })
            }
            Self::Var(name) => exchange.vars.get(name).is_some_and(meets),
            Self::Status => response.is_some_and(|response| meets(response.status.as_str())),
            Self::ResponseHeader(name) => {
                response.is_some_and(|response| fields::header(&response.headers, name).any(|value| meets(&value)))
            }
        }
    }

    /// The cost of getting hold of the subject's values, in comparisons of short texts.
    const fn cost(&self) -> u32 {
        match self {
            Self::Host | Self::Path | Self::Method | Self::Scheme | Self::Authority => 1,
            Self::Protocol | Self::Upgrade | Self::Sni | Self::TlsVersion | Self::TlsGroup => 1,
            Self::ClientIp | Self::PeerIp | Self::Status | Self::ClientCert(_) => 1,
            // A hash, and a search in a short table.
            Self::Header(_) | Self::ResponseHeader(_) | Self::Var(_) => 3,
            // A text is taken apart.
            Self::Query(_) | Self::Cookie(_) | Self::ClientCertAttribute(..) => 6,
        }
    }

    /// The address that it is, if it is one by its nature.
    fn address(&self, exchange: &Exchange) -> Option<IpAddr> {
        match self {
            Self::ClientIp => Some(exchange.client_ip),
            Self::PeerIp => Some(exchange.connection.peer.ip()),
            _ => None,
        }
    }
}

fn client_cert_field(cert: &ClientCert, field: ClientCertField) -> &str {
    match field {
        ClientCertField::Subject => &cert.subject,
        ClientCertField::Issuer => &cert.issuer,
        ClientCertField::Fingerprint => &cert.fingerprint,
    }
}

impl Predicate {
    fn new(predicate: &plan::Predicate, subject: &plan::Subject, plan: &Plan) -> Result<Self, Invalid> {
        Ok(match predicate {
            plan::Predicate::Is(values) => {
                Self::Is(Words::new(values.iter().map(|value| spelt(value, subject)).collect()))
            }
            plan::Predicate::Like(globs) => Self::Like(globs.iter().map(|glob| Glob::new(glob)).collect()),
            plan::Predicate::Under(prefixes) => {
                Self::Under(prefixes.iter().map(|prefix| spelt(prefix, subject)).collect())
            }
            plan::Predicate::Matches(patterns) => {
                Self::Matches(patterns.iter().map(|pattern| Pattern::new(pattern)).collect::<Result<_, _>>()?)
            }
            plan::Predicate::In(set) => Self::In(Networks::of(set, plan)),
            plan::Predicate::Status(ranges) => Self::Status(ranges.as_slice().into()),
            plan::Predicate::Present => Self::Present,
            plan::Predicate::Absent => Self::Absent,
        })
    }

    /// The cost of testing one value, in comparisons of short texts.
    fn cost(&self) -> u32 {
        let many = |count: usize, each: u32| u32::try_from(count).unwrap_or(u32::MAX).max(1).saturating_mul(each);
        match self {
            Self::Present | Self::Absent | Self::Status(_) => 1,
            Self::Is(Words::One(_)) => 1,
            Self::Is(_) | Self::In(_) => 2,
            Self::Under(prefixes) => many(prefixes.len(), 1),
            Self::Like(globs) => many(globs.len(), 4),
            Self::Matches(patterns) => many(patterns.len(), 20),
        }
    }

    fn holds(&self, subject: &Subject, exchange: &Exchange) -> bool {
        match self {
            Self::Is(words) => subject.any(exchange, |value| words.contain(value)),
            Self::Like(globs) => subject.any(exchange, |value| globs.iter().any(|glob| glob.matches(value))),
            Self::Under(prefixes) => subject.any(exchange, |value| prefixes.iter().any(|prefix| under(value, prefix))),
            Self::Matches(patterns) => {
                let mut left = effort::MAX_EFFORT;
                subject.any(exchange, |value| {
                    patterns.iter().any(|pattern| {
                        let takes = pattern.takes(value, &mut left);
                        if !takes {
                            exchange.parsed.give_up();
                        }
                        takes && pattern.regex.is_match(value)
                    })
                })
            }
            Self::In(networks) => match subject.address(exchange) {
                Some(address) => networks.contains(address),
                None => subject.any(exchange, |value| value.parse().is_ok_and(|address| networks.contains(address))),
            },
            Self::Status(ranges) => subject.any(exchange, |value| {
                value
                    .parse::<u16>()
                    .is_ok_and(|status| ranges.iter().any(|range| (range.first..=range.last).contains(&status)))
            }),
            Self::Present => subject.any(exchange, |_| true),
            Self::Absent => !subject.any(exchange, |_| true),
        }
    }
}

impl Words {
    fn new(words: Vec<Box<str>>) -> Self {
        match <[_; 1]>::try_from(words) {
            Ok([word]) => Self::One(word),
            Err(words) if words.len() <= FEW_WORDS => Self::Few(words.into()),
            Err(words) => Self::Many(Box::new(words.into_iter().collect())),
        }
    }

    fn contain(&self, value: &str) -> bool {
        match self {
            Self::One(word) => **word == *value,
            Self::Few(words) => words.iter().any(|word| **word == *value),
            Self::Many(words) => words.contains(value),
        }
    }

    pub(crate) fn all(&self) -> Vec<&str> {
        match self {
            Self::One(word) => vec![word],
            Self::Few(words) => words.iter().map(AsRef::as_ref).collect(),
            Self::Many(words) => words.iter().map(AsRef::as_ref).collect(),
        }
    }
}

/// A value of the policy in the spelling that requests are normalised to.
fn spelt(value: &str, subject: &plan::Subject) -> Box<str> {
    match subject {
        plan::Subject::Path => match normalise::path(value, plan::Paths::Plain) {
            Ok(path) => path.into(),
            // It is no path, so no request has it. It stays as it was written.
            Err(_) => value.into(),
        },
        plan::Subject::Host if value.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{value}]").into(),
        plan::Subject::Host | plan::Subject::Sni => value.to_ascii_lowercase().into(),
        plan::Subject::ClientCert(ClientCertField::Fingerprint) => value.to_ascii_lowercase().into(),
        plan::Subject::ClientIp | plan::Subject::PeerIp => match value.parse() {
            Ok(address) => stack_text::address(address).as_str().into(),
            Err(_) => value.into(),
        },
        _ => value.into(),
    }
}

/// Whether `path` is `prefix` or below it, by whole segments.
fn under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

/// Looks at so many values with `meets`, and gives up if there are more.
fn at_most<'m>(
    most: usize,
    exchange: &'m Exchange,
    mut meets: impl FnMut(&str) -> bool + 'm,
) -> impl FnMut(&str) -> bool + 'm {
    let mut left = most;
    move |value| {
        match left.checked_sub(1) {
            Some(fewer) => left = fewer,
            None => exchange.parsed.give_up(),
        }
        !exchange.parsed.gave_up() && meets(value)
    }
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, Invalid> {
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_REGEX_STATES_BYTES)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    Invalid(format!("the regular expression `{pattern}` is too large; make its repetitions smaller"))
                }
                _ => Invalid(format!("`{pattern}` is no regular expression")),
            })?;
        Ok(Self { regex, effort: effort::of(pattern) })
    }

    /// The expression as it was written.
    pub(crate) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether a text can be tested with the effort that is left; takes it from there.
    fn takes(&self, text: &str, left: &mut u64) -> bool {
        let effort = self.effort.saturating_mul(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let rest = left.checked_sub(effort);
        *left = rest.unwrap_or(0);
        rest.is_some()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};
    use plan::{ListId, NetworkSet, Predicate as P, Subject as S};

    use super::*;
    use crate::exchange::Response;
    use crate::testing;

    fn sample() -> Box<Exchange> {
        let mut exchange = testing::exchange("GET", "api.shop.example:8443", "/v1/items?beta&n=1&n=2");
        let headers = &mut exchange.request.headers;
        headers.append("x-a", HeaderValue::from_static("one"));
        headers.append("x-a", HeaderValue::from_static("two"));
        headers.append("x-ip", HeaderValue::from_static("10.9.8.7"));
        headers.append("cookie", HeaderValue::from_static("plan=pro"));
        exchange.vars.set("v", "").unwrap();
        exchange.response = Some(Response::new(
            StatusCode::BAD_GATEWAY,
            HeaderMap::from_iter([(header::SERVER, HeaderValue::from_static("b"))]),
        ));
        exchange
    }

    fn holds(subject: S, predicate: P) -> bool {
        let condition = testing::when(subject, predicate);
        let plan = testing::plan(Vec::new());
        Condition::new(&condition, &plan).unwrap().holds(&sample())
    }

    #[test]
    fn no_test_of_the_host_holds_where_nobody_named_one() {
        let plan = testing::plan(Vec::new());
        let mut unnamed = testing::exchange("GET", "192.0.2.2:8080", "/");
        unnamed.request.unnamed = true;
        for subject in [S::Host, S::Header("host".to_owned())] {
            let holds = |exchange: &Exchange, predicate| {
                Condition::new(&testing::when(subject.clone(), predicate), &plan).unwrap().holds(exchange)
            };
            let address = || P::Is(words(&["192.0.2.2", "192.0.2.2:8080"]));
            assert!(!holds(&unnamed, address()));
            assert!(!holds(&unnamed, P::Like(words(&["*"]))));
            assert!(!holds(&unnamed, P::Present));
            assert!(holds(&unnamed, P::Absent));
            let mut renamed = testing::exchange("GET", "192.0.2.2:8080", "/");
            renamed.request.unnamed = true;
            renamed.request.set_authority("192.0.2.2:8080".parse().unwrap());
            assert!(holds(&renamed, address()), "an extension named one");
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn exact_words() {
        for (subject, word, expected) in [
            (S::Host, "api.shop.example", true),
            (S::Host, "API.shop.example", true),
            (S::Host, "api.shop.example:8443", false),
            (S::Path, "/v1/items", true),
            (S::Path, "/%761/./items", true),
            (S::Path, "/v1", false),
            (S::Method, "GET", true),
            (S::Method, "get", false),
            (S::Scheme, "http", true),
            (S::Header("x-a".into()), "two", true),
            (S::Header("x-a".into()), "one, two", false),
            (S::Header("host".into()), "api.shop.example:8443", true),
            (S::Query("n".into()), "2", true),
            (S::Query("beta".into()), "", true),
            (S::Cookie("plan".into()), "pro", true),
            (S::ClientIp, "203.0.113.9", true),
            (S::ClientIp, "::ffff:203.0.113.9", true),
            (S::PeerIp, "192.0.2.1", true),
            (S::Protocol, "h1", true),
            (S::Upgrade, "websocket", false),
            (S::Var("v".into()), "", true),
            (S::Var("w".into()), "", false),
            (S::Status, "502", true),
            (S::ResponseHeader("server".into()), "b", true),
        ] {
            let shown = format!("{subject:?} {word}");
            assert_eq!(holds(subject, P::Is(words(&[word]))), expected, "{shown}");
        }
        assert!(holds(S::Method, P::Is(words(&["PUT", "GET"]))));
        let many: Vec<_> =
            (0..20).map(|index| format!("h{index}.example")).chain(words(&["api.shop.example"])).collect();
        assert!(holds(S::Host, P::Is(many)));
    }

    #[test]
    fn prefixes_by_segments() {
        for (path, prefix, expected) in [
            ("/admin", "/admin", true),
            ("/admin/", "/admin", true),
            ("/admin/x", "/admin", true),
            ("/administrator", "/admin", false),
            ("/admin", "/admin/", false),
            ("/admin/x", "/admin/", true),
            ("/", "/", true),
            ("/x", "/", true),
        ] {
            assert_eq!(under(path, prefix), expected, "{path} {prefix}");
        }
        assert!(holds(S::Path, P::Under(words(&["/v2", "/%76%31"]))));
    }

    #[test]
    fn the_other_predicates() {
        assert!(holds(S::Host, P::Like(words(&["*.shop.example"]))));
        assert!(holds(S::Path, P::Matches(words(&["^/x", "^/v[12]/"]))));
        assert!(!holds(S::Path, P::Matches(words(&["^/v[2]/"]))));
        let office = || NetworkSet { lists: vec![ListId(0)], networks: Vec::new() };
        let documentation = || NetworkSet { lists: Vec::new(), networks: vec!["203.0.113.0/24".parse().unwrap()] };
        assert!(!holds(S::ClientIp, P::In(office())));
        assert!(holds(S::ClientIp, P::In(documentation())));
        assert!(!holds(S::PeerIp, P::In(documentation())));
        assert!(holds(S::Header("x-ip".into()), P::In(office())));
        assert!(!holds(S::Header("x-a".into()), P::In(office())));
        assert!(holds(S::Status, P::Status(vec![StatusRange { first: 500, last: 599 }])));
        assert!(!holds(S::Status, P::Status(vec![StatusRange { first: 500, last: 501 }])));
        assert!(holds(S::Query("beta".into()), P::Present));
        assert!(holds(S::Query("gamma".into()), P::Absent));
        assert!(!holds(S::Header("x-a".into()), P::Absent));
        assert!(holds(S::Var("v".into()), P::Present));
    }

    #[test]
    fn unless_any_and_all() {
        let yes = || plan::Test::Is(S::Scheme, P::Is(words(&["http"])));
        let no = || plan::Test::Is(S::Scheme, P::Is(words(&["https"])));
        let plan = testing::plan(Vec::new());
        for (unless, test, expected) in [
            (false, plan::Test::All(vec![yes(), no()]), false),
            (true, plan::Test::All(vec![yes(), no()]), true),
            (false, plan::Test::Any(vec![no(), yes()]), true),
            (true, plan::Test::Any(vec![no(), yes()]), false),
            (false, plan::Test::Any(vec![]), false),
            (false, plan::Test::All(vec![]), true),
        ] {
            let condition = plan::Condition { unless, test };
            let compiled = Condition::new(&condition, &plan).unwrap();
            assert_eq!(compiled.holds(&sample()), expected, "{condition:?}");
        }
        // `unless` means that no value of the name meets it.
        let unless =
            plan::Condition { unless: true, test: plan::Test::Is(S::Header("x-a".into()), P::Is(words(&["two"]))) };
        assert!(!Condition::new(&unless, &plan).unwrap().holds(&sample()));
    }

    #[test]
    fn what_cannot_be_built_is_told() {
        let plan = testing::plan(Vec::new());
        for (pattern, word) in [("(", "no regular expression"), ("(\\w{500}){500}", "too large")] {
            let condition = testing::when(S::Path, P::Matches(words(&[pattern])));
            let error = Condition::new(&condition, &plan).unwrap_err();
            assert!(error.0.contains(word), "{error:?}");
        }
    }
}
