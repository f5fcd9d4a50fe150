//! The words of a plan's pieces, as the language writes them.

use crate::plan::{
    Condition, HeaderStep, Insert, Limit, LimitKey, NetworkSet, Outcome, Piece, Plan, Predicate, ResponseBlock,
    ResponseStep, Rule, StatusRange, Step, Subject, Target, Template, Test, UriPart,
};
use crate::value::{show_duration, show_network, show_rate};
use crate::vocabulary::Place;

/// Writes nodes, a line each, blocks as they open and close. The layout is the formatter's.
pub(super) struct Writer<'p> {
    pub(super) plan: &'p Plan,
    pub(super) out: String,
    depth: usize,
}

impl<'p> Writer<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self { plan, out: String::new(), depth: 0 }
    }

    pub(super) fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("    ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    pub(super) fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.indented(body);
        self.line("}");
    }

    pub(super) fn indented(&mut self, body: impl FnOnce(&mut Self)) {
        self.depth += 1;
        body(self);
        self.depth -= 1;
    }

    pub(super) fn rule_body(&mut self, rule: &Rule) {
        self.conditions(&rule.conditions);
        for step in &rule.steps {
            let line = self.step(step);
            self.line(&line);
        }
        let outcome = self.outcome(&rule.outcome);
        self.line(&outcome);
        self.response_blocks(&rule.on_response);
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        for condition in conditions {
            let word = if condition.unless { "unless" } else { "when" };
            self.test(word, &condition.test);
        }
    }

    /// A test behind `when` or `unless`, or alone in a block (then `word` is empty).
    fn test(&mut self, word: &str, test: &Test) {
        let head = |kind: &str| format!("{word} {kind}").trim_start().to_owned();
        match test {
            Test::All(tests) => self.block(&head("all"), |w| tests.iter().for_each(|test| w.test("", test))),
            Test::Any(tests) => self.block(&head("any"), |w| tests.iter().for_each(|test| w.test("", test))),
            Test::Is(subject, predicate) => {
                let text = format!("{} {}", subject_words(subject), self.predicate(subject, predicate));
                self.line(&head(&text));
            }
        }
    }

    pub(super) fn response_blocks(&mut self, blocks: &[ResponseBlock]) {
        for block in blocks {
            self.block("on-response", |w| {
                w.conditions(&block.conditions);
                for step in &block.steps {
                    w.line(&response_step(step));
                }
            });
        }
    }

    fn predicate(&self, subject: &Subject, predicate: &Predicate) -> String {
        let bare = matches!(subject, Subject::Method | Subject::Scheme | Subject::Protocol);
        match predicate {
            Predicate::Is(values) if bare && values.iter().all(|value| is_bare(value)) => {
                format!("is {}", one_or_list(values.clone()))
            }
            Predicate::Is(values) => format!("is {}", texts(values)),
            Predicate::Like(values) => format!("like {}", texts(values)),
            Predicate::Under(values) => format!("under {}", texts(values)),
            Predicate::Matches(values) => format!("matches {}", texts(values)),
            Predicate::In(networks) => format!("in {}", self.networks(networks)),
            Predicate::Status(ranges) => format!("is {}", one_or_list(ranges.iter().map(status_range).collect())),
            Predicate::Present => "present".to_owned(),
            Predicate::Absent => "absent".to_owned(),
        }
    }

    /// Lists and networks; one alone, several in brackets.
    pub(super) fn networks(&self, set: &NetworkSet) -> String {
        let lists = set.lists.iter().map(|id| name(&self.plan.lists, id.0, |list| &list.name));
        one_or_list(lists.chain(set.networks.iter().map(show_network)).collect())
    }

    fn step(&self, step: &Step) -> String {
        match step {
            Step::Limit(limit) => limit_words(limit),
            Step::Header(header) => header_step(header),
            Step::Rewrite(part, value) => {
                let part = match part {
                    UriPart::Path => "path",
                    UriPart::Host => "host",
                    UriPart::Query => "query",
                };
                format!("rewrite {part} {}", template(value))
            }
            Step::SetVar(name, value) => format!("set-var {} {}", quote(name), template(value)),
            Step::Run(id) => format!("run {}", self.extension(id.0)),
            Step::Mirror(mirror) => {
                let group = name(&self.plan.groups, mirror.group.0, |group| &group.name);
                format!("mirror {group} {}%", mirror.percent)
            }
            // Its block is written by the caller, as the blocks of `on-response` are.
            Step::Cors(_) => "cors".to_owned(),
            Step::Timeout(timeout) => format!("timeout {}", show_duration(*timeout)),
            Step::Log(text) => format!("log {}", template(text)),
        }
    }

    pub(super) fn extension(&self, id: usize) -> String {
        name(&self.plan.extensions, id, |extension| &extension.name)
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Forward(forward) => self.forward(&forward.targets),
            Outcome::Redirect(status, location) => format!("redirect {status} {}", template(location)),
            Outcome::Respond(respond) => {
                let body = match respond.body.0.as_slice() {
                    [] => String::new(),
                    _ => format!(" {}", template(&respond.body)),
                };
                format!("respond {}{body} type {}", respond.status, quote(&respond.content_type))
            }
            Outcome::Close => "close".to_owned(),
        }
    }

    /// `forward A weight N, B weight N`; a group alone needs no weight.
    pub(super) fn forward(&self, targets: &[Target]) -> String {
        let group = |target: &Target| name(&self.plan.groups, target.group.0, |group| &group.name);
        let words: Vec<String> = match targets {
            [only] if only.weight == 1 => vec![group(only)],
            several => several.iter().map(|target| format!("{} weight {}", group(target), target.weight)).collect(),
        };
        format!("forward {}", words.join(", "))
    }
}

/// The name behind an index; a plan's own indices are always right.
pub(super) fn name<T>(all: &[T], at: usize, name: impl FnOnce(&T) -> &String) -> String {
    all.get(at).map(name).cloned().unwrap_or_default()
}

fn subject_words(subject: &Subject) -> String {
    match subject {
        Subject::Host => "host".to_owned(),
        Subject::Path => "path".to_owned(),
        Subject::Method => "method".to_owned(),
        Subject::Scheme => "scheme".to_owned(),
        Subject::Header(name) => format!("header {}", quote(name)),
        Subject::Query(name) => format!("query {}", quote(name)),
        Subject::Cookie(name) => format!("cookie {}", quote(name)),
        Subject::ClientIp => "client-ip".to_owned(),
        Subject::PeerIp => "peer-ip".to_owned(),
        Subject::Protocol => "protocol".to_owned(),
        Subject::Sni => "sni".to_owned(),
        Subject::TlsVersion => "tls-version".to_owned(),
        Subject::ClientCert(field) => format!("client-cert {}", field.word()),
        Subject::Var(name) => format!("var {}", quote(name)),
        Subject::Status => "status".to_owned(),
        Subject::ResponseHeader(name) => format!("response-header {}", quote(name)),
    }
}

fn status_range(range: &StatusRange) -> String {
    let StatusRange { first, last } = *range;
    match (first, last) {
        (first, last) if first == last => first.to_string(),
        (first, last) if first % 100 == 0 && last == first + 99 => format!("{}xx", first / 100),
        (first, last) => format!("{first}..{last}"),
    }
}

fn limit_words(limit: &Limit) -> String {
    let per = match &limit.per {
        LimitKey::All => String::new(),
        LimitKey::ClientIp => " per client-ip".to_owned(),
        LimitKey::Header(name) => format!(" per header {}", quote(name)),
        LimitKey::Cookie(name) => format!(" per cookie {}", quote(name)),
        LimitKey::Host => " per host".to_owned(),
    };
    let rate = show_rate(limit.requests, limit.interval);
    format!("limit {rate}{per} burst {} status {}", limit.burst, limit.status)
}

fn header_step(step: &HeaderStep) -> String {
    match step {
        HeaderStep::Set(name, value) => format!("set-header {} {}", quote(name), template(value)),
        HeaderStep::Add(name, value) => format!("add-header {} {}", quote(name), template(value)),
        HeaderStep::Remove(name) => format!("remove-header {}", quote(name)),
    }
}

fn response_step(step: &ResponseStep) -> String {
    match step {
        ResponseStep::Header(header) => header_step(header),
        ResponseStep::SetVar(name, value) => format!("set-var {} {}", quote(name), template(value)),
        ResponseStep::Log(text) => format!("log {}", template(text)),
    }
}

/// A text in quotes.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out
}

/// A template in quotes.
pub(super) fn template(template: &Template) -> String {
    let pieces = template.0.iter().map(|piece| match piece {
        Piece::Text(text) => escape(text).replace("${", "$${"),
        Piece::Insert(insert) => format!("${{{}}}", insert_words(insert)),
    });
    format!("\"{}\"", pieces.collect::<String>())
}

fn insert_words(insert: &Insert) -> String {
    match insert {
        Insert::Host => "host".to_owned(),
        Insert::Port => "port".to_owned(),
        Insert::Path => "path".to_owned(),
        Insert::Query => "query".to_owned(),
        Insert::Uri => "uri".to_owned(),
        Insert::OriginalUri => "original-uri".to_owned(),
        Insert::Scheme => "scheme".to_owned(),
        Insert::Method => "method".to_owned(),
        Insert::ClientIp => "client-ip".to_owned(),
        Insert::PeerIp => "peer-ip".to_owned(),
        Insert::Listener => "listener".to_owned(),
        Insert::Rule => "rule".to_owned(),
        Insert::Group => "group".to_owned(),
        Insert::Server => "server".to_owned(),
        Insert::RequestId => "request-id".to_owned(),
        Insert::TraceId => "trace-id".to_owned(),
        Insert::Header(name) => format!("header.{}", escape(name)),
        Insert::QueryParam(name) => format!("query.{}", escape(name)),
        Insert::Cookie(name) => format!("cookie.{}", escape(name)),
        Insert::Var(name) => format!("var.{}", escape(name)),
        Insert::MatchIndex(index) => format!("match.{index}"),
        Insert::MatchName(name) => format!("match.{}", escape(name)),
        Insert::Status => "status".to_owned(),
        Insert::ResponseHeader(name) => format!("response-header.{}", escape(name)),
    }
}

fn texts(values: &[String]) -> String {
    one_or_list(values.iter().map(|value| quote(value)).collect())
}

/// One value alone, several in brackets.
pub(super) fn one_or_list(mut values: Vec<String>) -> String {
    match values.len() {
        1 => values.pop().unwrap_or_default(),
        _ => format!("[{}]", values.join(", ")),
    }
}

/// Whether a method or a protocol can stand without quotes.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && text != "env"
}

/// The words of `forwarded`: the table has them in the order of the plan's switches.
pub(super) fn forwarded_words(forwarded: &crate::plan::Forwarded) -> Vec<String> {
    let on = [
        forwarded.forwarded_for.is_some(),
        forwarded.proto,
        forwarded.port,
        forwarded.client_port,
        forwarded.host,
        forwarded.listener_id,
    ];
    let words = Place::Forwarded.words().iter().filter(|word| word.built);
    words.zip(on).filter(|(_, on)| *on).map(|(word, _)| word.name.to_owned()).collect()
}
