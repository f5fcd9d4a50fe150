//! The plan in the words of a policy: what `explain` shows of rules, tests and steps.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use tidegate_dsl::plan::{
    Condition, Cors, CorsHeaders, CorsOrigins, HeaderStep, Limit, LimitKey, NetworkSet, Outcome, Piece, Plan,
    Predicate, ResponseStep, StatusRange, Step, Subject, Target, Template, Test, UriPart,
};

/// Something of the plan, to be shown in the words of a policy. The plan has the names.
pub(crate) struct Words<'a, T>(pub(crate) &'a T, pub(crate) &'a Plan);

impl Display for Words<'_, Condition> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.unless { "unless " } else { "when " })?;
        Words(&self.0.test, self.1).fmt(out)
    }
}

impl Display for Words<'_, Test> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut block = |word: &str, tests: &[Test]| {
            write!(out, "{word} {{ ")?;
            for (index, test) in tests.iter().enumerate() {
                out.write_str(if index > 0 { "; " } else { "" })?;
                Words(test, self.1).fmt(out)?;
            }
            out.write_str(" }")
        };
        match self.0 {
            Test::All(tests) => block("all", tests),
            Test::Any(tests) => block("any", tests),
            Test::Is(subject, predicate) => {
                write!(out, "{} {}", Words(subject, self.1), Words(predicate, self.1))
            }
        }
    }
}

impl Display for Words<'_, Subject> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Subject::Host => out.write_str("host"),
            Subject::Path => out.write_str("path"),
            Subject::Method => out.write_str("method"),
            Subject::Scheme => out.write_str("scheme"),
            Subject::Header(name) => write!(out, "header {}", Quoted(name)),
            Subject::Query(name) => write!(out, "query {}", Quoted(name)),
            Subject::Cookie(name) => write!(out, "cookie {}", Quoted(name)),
            Subject::ClientIp => out.write_str("client-ip"),
            Subject::PeerIp => out.write_str("peer-ip"),
            Subject::Protocol => out.write_str("protocol"),
            Subject::Upgrade => out.write_str("upgrade"),
            Subject::Sni => out.write_str("sni"),
            Subject::TlsVersion => out.write_str("tls-version"),
            Subject::TlsGroup => out.write_str("tls-group"),
            Subject::ClientCert(field) => write!(out, "client-cert {}", field.word()),
            Subject::ClientCertAttribute(field, name) => write!(out, "client-cert {} {}", field.word(), Quoted(name)),
            Subject::Var(name) => write!(out, "var {}", Quoted(name)),
            Subject::Status => out.write_str("status"),
            Subject::ResponseHeader(name) => write!(out, "response-header {}", Quoted(name)),
        }
    }
}

impl Display for Words<'_, Predicate> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Predicate::Is(values) => write!(out, "is {}", texts(values)),
            Predicate::Like(values) => write!(out, "like {}", texts(values)),
            Predicate::Under(values) => write!(out, "under {}", texts(values)),
            Predicate::Matches(values) => write!(out, "matches {}", texts(values)),
            Predicate::In(set) => write!(out, "in {}", Words(set, self.1)),
            Predicate::Status(ranges) => {
                write!(out, "is {}", list(ranges.iter().map(status_range).collect()))
            }
            Predicate::Present => out.write_str("present"),
            Predicate::Absent => out.write_str("absent"),
        }
    }
}

impl Display for Words<'_, NetworkSet> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let lists = self.0.lists.iter().map(|id| match self.1.lists.get(id.0) {
            Some(list) => list.name.clone(),
            None => "?".to_owned(),
        });
        let networks = self.0.networks.iter().map(ToString::to_string);
        out.write_str(&list(lists.chain(networks).collect()))
    }
}

impl Display for Words<'_, Step> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Step::Limit(limit) => limit_words(limit, out),
            Step::Header(step) => header_words(step, out),
            Step::Rewrite(part, text) => {
                let part = match part {
                    UriPart::Path => "path",
                    UriPart::Host => "host",
                    UriPart::Query => "query",
                };
                write!(out, "rewrite {part} {}", Text(text))
            }
            Step::SetVar(name, value) => write!(out, "set-var {} {}", Quoted(name), Text(value)),
            Step::Run(extension) => match self.1.extensions.get(extension.0) {
                Some(extension) => write!(out, "run {}", extension.name),
                None => out.write_str("run ?"),
            },
            Step::Mirror(mirror) => match self.1.groups.get(mirror.group.0) {
                Some(group) => write!(out, "mirror {} {}%", group.name, mirror.percent),
                None => out.write_str("mirror ?"),
            },
            Step::Cors(cors) => cors_words(cors, out),
            Step::Timeout(timeout) => write!(out, "timeout {}", Time(*timeout)),
            Step::Log(text) => write!(out, "log {}", Text(text)),
        }
    }
}

impl Display for Words<'_, ResponseStep> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            ResponseStep::Header(step) => header_words(step, out),
            ResponseStep::SetVar(name, value) => {
                write!(out, "set-var {} {}", Quoted(name), Text(value))
            }
            ResponseStep::Log(text) => write!(out, "log {}", Text(text)),
        }
    }
}

impl Display for Words<'_, Outcome> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Forward(forward) => {
                write!(out, "{}", Words(&forward.targets, self.1))?;
                forward.sticky.map_or(Ok(()), |time| write!(out, " sticky {}", Time(time)))
            }
            Outcome::Redirect(status, location) => {
                write!(out, "redirect {status} {}", Text(location))
            }
            Outcome::Respond(respond) => {
                write!(out, "respond {}", respond.status)?;
                if respond.body.0.is_empty() {
                    return Ok(());
                }
                write!(out, " {}", Text(&respond.body))
            }
            Outcome::Close => out.write_str("close"),
        }
    }
}

impl Display for Words<'_, Vec<Target>> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("forward ")?;
        for (index, target) in self.0.iter().enumerate() {
            let group = self.1.groups.get(target.group.0);
            let comma = if index > 0 { ", " } else { "" };
            write!(out, "{comma}{}", group.map_or("?", |group| &group.name))?;
            if self.0.len() > 1 {
                write!(out, " weight {}", target.weight)?;
            }
        }
        Ok(())
    }
}

fn header_words(step: &HeaderStep, out: &mut Formatter<'_>) -> fmt::Result {
    match step {
        HeaderStep::Set(name, value) => write!(out, "set-header {} {}", Quoted(name), Text(value)),
        HeaderStep::Add(name, value) => write!(out, "add-header {} {}", Quoted(name), Text(value)),
        HeaderStep::Remove(name) => write!(out, "remove-header {}", Quoted(name)),
    }
}

fn cors_words(cors: &Cors, out: &mut Formatter<'_>) -> fmt::Result {
    let origins = match &cors.origins {
        CorsOrigins::Any => "\"*\"".to_owned(),
        CorsOrigins::Only(origins) => texts(origins),
    };
    let headers = match &cors.headers {
        CorsHeaders::Any => "\"*\"".to_owned(),
        CorsHeaders::Only(names) => texts(names),
    };
    let credentials = if cors.credentials { "; credentials on" } else { "" };
    write!(out, "cors {{ origins {origins}; methods [{}]; headers {headers}{credentials} }}", cors.methods.join(", "))
}

fn limit_words(limit: &Limit, out: &mut Formatter<'_>) -> fmt::Result {
    let unit = match limit.interval.as_secs() {
        1 => "s".to_owned(),
        60 => "m".to_owned(),
        3600 => "h".to_owned(),
        _ => Time(limit.interval).to_string(),
    };
    write!(out, "limit {}/{unit}", limit.requests)?;
    match &limit.per {
        LimitKey::All => Ok(()),
        LimitKey::ClientIp(LimitKey::CLIENT_PREFIX) => out.write_str(" per client-ip"),
        LimitKey::ClientIp(prefix) => write!(out, " per client-ip prefix {prefix}"),
        LimitKey::Host => out.write_str(" per host"),
        LimitKey::Header(name) => write!(out, " per header {}", Quoted(name)),
        LimitKey::Cookie(name) => write!(out, " per cookie {}", Quoted(name)),
    }?;
    write!(out, " burst {}", limit.burst)
}

/// `404`, `5xx` or `200..299`.
fn status_range(range: &StatusRange) -> String {
    let StatusRange { first, last } = range;
    if first == last {
        first.to_string()
    } else if first % 100 == 0 && last.checked_sub(99) == Some(*first) {
        format!("{}xx", first / 100)
    } else {
        format!("{first}..{last}")
    }
}

/// The values as a policy writes them: one bare, several in brackets.
fn list(values: Vec<String>) -> String {
    match <[String; 1]>::try_from(values) {
        Ok([only]) => only,
        Err(values) => format!("[{}]", values.join(", ")),
    }
}

fn texts(values: &[String]) -> String {
    list(values.iter().map(|value| Quoted(value).to_string()).collect())
}

/// A text between quotes, on one line.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", Escaped(self.0))
    }
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '"' | '\\' => write!(out, "\\{char}"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            char if char.is_control() => write!(out, "{}", char.escape_unicode()),
            char => write!(out, "{char}"),
        })
    }
}

/// A template between quotes.
struct Text<'a>(&'a Template);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("\"")?;
        for piece in &self.0.0 {
            match piece {
                Piece::Text(text) => write!(out, "{}", Escaped(&text.replace("${", "$${")))?,
                Piece::Insert(insert) => write!(out, "${{{insert}}}")?,
            }
        }
        out.write_str("\"")
    }
}

/// A time as a policy writes it, in the largest unit that is exact.
pub(crate) struct Time(pub(crate) Duration);

impl Display for Time {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return out.write_str("0s");
        }
        let units = [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms")];
        match units.iter().find(|(size, _)| nanos.is_multiple_of(*size)) {
            Some((size, unit)) => write!(out, "{}{unit}", nanos / size),
            None => write!(out, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tidegate_dsl::plan::{ExtensionId, Forward, GroupId, Insert, ListId};

    use super::*;
    use crate::testing;

    #[test]
    fn a_policy_is_said_in_its_words() {
        let plan = testing::plan(Vec::new());
        let words = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let test = Test::Any(vec![
            Test::Is(Subject::Host, Predicate::Is(words(&["a.example"]))),
            Test::Is(Subject::Header("x".into()), Predicate::Like(words(&["a*", "\"b\""]))),
            Test::Is(
                Subject::ClientIp,
                Predicate::In(NetworkSet { lists: vec![ListId(0)], networks: vec!["::1/128".parse().unwrap()] }),
            ),
        ]);
        let condition = Condition { unless: true, test };
        assert_eq!(
            Words(&condition, &plan).to_string(),
            r#"unless any { host is "a.example"; header "x" like ["a*", "\"b\""]; client-ip in [office, ::1/128] }"#
        );
        let status = |first, last| Predicate::Status(vec![StatusRange { first, last }]);
        assert_eq!(Words(&status(404, 404), &plan).to_string(), "is 404");
        assert_eq!(Words(&status(500, 599), &plan).to_string(), "is 5xx");
        assert_eq!(Words(&status(200, 206), &plan).to_string(), "is 200..206");
        let limit = Limit {
            requests: 20,
            interval: Duration::from_secs(1),
            per: LimitKey::ClientIp(64),
            burst: 40,
            status: 503,
        };
        let host = Template(vec![Piece::Text("a${\n".into()), Piece::Insert(Insert::Header("x".into()))]);
        for (step, expected) in [
            (Step::Limit(limit), "limit 20/s per client-ip burst 40"),
            (Step::Header(HeaderStep::Set("x".into(), host)), r#"set-header "x" "a$${\n${header.x}""#),
            (Step::Rewrite(UriPart::Path, testing::text("/b")), r#"rewrite path "/b""#),
            (Step::Run(ExtensionId(1)), "run second"),
            (Step::Timeout(Duration::from_millis(1500)), "timeout 1500ms"),
        ] {
            assert_eq!(Words(&step, &plan).to_string(), expected);
        }
        let split = |weights: &[u32]| -> Vec<Target> {
            let targets = weights.iter().enumerate();
            targets.map(|(group, weight)| Target { group: GroupId(group), weight: *weight }).collect()
        };
        assert_eq!(Words(&split(&[100]), &plan).to_string(), "forward web");
        assert_eq!(
            Words(&Outcome::Forward(Forward { targets: split(&[90, 10]), sticky: None }), &plan).to_string(),
            "forward web weight 90, api weight 10"
        );
    }
}
