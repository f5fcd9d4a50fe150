//! Rules, as the language writes them: conditions, steps, outcomes, the way back.

use super::words::{Writer, name, one_or_list, quote, status_range, template, texts};
use crate::plan::{
    Condition, Cors, CorsHeaders, CorsOrigins, HeaderStep, Limit, LimitKey, Outcome, Predicate, ResponseBlock,
    ResponseStep, Rule, Step, Subject, Target, Test, UriPart,
};
use crate::value::{show_duration, show_rate};

impl Writer<'_> {
    pub(super) fn rule_body(&mut self, rule: &Rule) {
        self.conditions(&rule.conditions);
        for step in &rule.steps {
            if let Step::Cors(cors) = step {
                self.cors(cors);
                continue;
            }
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
            Predicate::Is(words) if matches!(subject, Subject::TlsVersion | Subject::TlsGroup) => {
                format!("is {}", one_or_list(words.clone()))
            }
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
            // It is a block, which the caller writes.
            Step::Cors(_) => "cors".to_owned(),
            Step::Timeout(timeout) => format!("timeout {}", show_duration(*timeout)),
            Step::Log(text) => format!("log {}", template(text)),
        }
    }

    fn cors(&mut self, cors: &Cors) {
        let list = |values: &[String]| format!("[{}]", values.join(", "));
        let texts = |values: &[String]| list(&values.iter().map(|value| quote(value)).collect::<Vec<_>>());
        self.block("cors", |w| {
            w.line(&match &cors.origins {
                CorsOrigins::Any => "origins \"*\"".to_owned(),
                CorsOrigins::Only(origins) => format!("origins {}", texts(origins)),
            });
            let bare = cors.methods.iter().all(|method| is_bare(method));
            w.line(&format!("methods {}", if bare { list(&cors.methods) } else { texts(&cors.methods) }));
            w.line(&match &cors.headers {
                CorsHeaders::Any => "headers \"*\"".to_owned(),
                CorsHeaders::Only(names) => format!("headers {}", texts(names)),
            });
            w.line(&format!("expose {}", texts(&cors.expose)));
            w.line(if cors.credentials { "credentials on" } else { "credentials off" });
            w.line(&format!("max-age {}", show_duration(cors.max_age)));
        });
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Forward(forward) => {
                let sticky = forward.sticky.map_or(String::new(), |time| format!(" sticky {}", show_duration(time)));
                format!("{}{sticky}", self.forward(&forward.targets))
            }
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
        Subject::Upgrade => "upgrade".to_owned(),
        Subject::Sni => "sni".to_owned(),
        Subject::TlsVersion => "tls-version".to_owned(),
        Subject::TlsGroup => "tls-group".to_owned(),
        Subject::ClientCert(field) => format!("client-cert {}", field.word()),
        Subject::ClientCertAttribute(field, name) => format!("client-cert {} {}", field.word(), quote(name)),
        Subject::Var(name) => format!("var {}", quote(name)),
        Subject::Status => "status".to_owned(),
        Subject::ResponseHeader(name) => format!("response-header {}", quote(name)),
    }
}

fn limit_words(limit: &Limit) -> String {
    let per = match &limit.per {
        LimitKey::All => String::new(),
        LimitKey::ClientIp(prefix) => format!(" per client-ip prefix {prefix}"),
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

/// Whether a method or a protocol can stand without quotes.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && text != "env"
}
