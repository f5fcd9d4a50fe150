//! The reason why a condition did not hold: the tests that decided it, and what they looked at.

use tidegate_dsl::plan::{self, Plan};

use crate::condition::Condition;
use crate::escape::is_hidden;
use crate::exchange::Exchange;
use crate::subject::Subject;

/// Values longer than this, in bytes, are shown cut: they are for people to read.
const MAX_SHOWN_BYTES: usize = 120;

/// The finding of the tests that decided about `condition`: "the host was `b.example`".
pub(crate) fn found(condition: &plan::Condition, exchange: &Exchange, plan: &Plan) -> String {
    let mut said: Vec<String> = Vec::new();
    for subject in deciding(&condition.test, exchange, plan) {
        let sentence = sentence(subject, exchange);
        if !said.contains(&sentence) {
            said.push(sentence);
        }
    }
    said.join("; ")
}

/// The subjects of the tests that made `test` come out as it did: where one child decides, that one; else all.
fn deciding<'p>(test: &'p plan::Test, exchange: &Exchange, plan: &Plan) -> Vec<&'p plan::Subject> {
    let (children, decides) = match test {
        plan::Test::Is(subject, _) => return vec![subject],
        plan::Test::All(children) => (children, false),
        plan::Test::Any(children) => (children, true),
    };
    match children.iter().find(|child| holds(child, exchange, plan) == decides) {
        Some(child) => deciding(child, exchange, plan),
        None => children.iter().flat_map(|child| deciding(child, exchange, plan)).collect(),
    }
}

fn holds(test: &plan::Test, exchange: &Exchange, plan: &Plan) -> bool {
    let condition = plan::Condition { unless: false, test: test.clone() };
    Condition::new(&condition, plan).is_ok_and(|condition| condition.holds(exchange))
}

fn sentence(subject: &plan::Subject, exchange: &Exchange) -> String {
    let name = match subject {
        plan::Subject::Host => "host".to_owned(),
        plan::Subject::Path => "path".to_owned(),
        plan::Subject::Method => "method".to_owned(),
        plan::Subject::Scheme => "scheme".to_owned(),
        plan::Subject::Header(name) => format!("header `{name}`"),
        plan::Subject::Query(name) => format!("query parameter `{name}`"),
        plan::Subject::Cookie(name) => format!("cookie `{name}`"),
        plan::Subject::ClientIp => "client's address".to_owned(),
        plan::Subject::PeerIp => "peer's address".to_owned(),
        plan::Subject::Protocol => "protocol".to_owned(),
        plan::Subject::Upgrade => "upgrade".to_owned(),
        plan::Subject::Sni => "server name of the TLS handshake".to_owned(),
        plan::Subject::TlsVersion => "version of TLS".to_owned(),
        plan::Subject::TlsGroup => "group of the key exchange".to_owned(),
        plan::Subject::ClientCert(field) => format!("{} of the client's certificate", field.word()),
        plan::Subject::ClientCertAttribute(field, name) => {
            format!("attribute `{name}` of the {} of the client's certificate", field.word())
        }
        plan::Subject::Var(name) => format!("variable `{name}`"),
        plan::Subject::Status => "status".to_owned(),
        plan::Subject::ResponseHeader(name) => format!("response header `{name}`"),
    };
    let values = values(subject, exchange);
    if values.is_empty() { format!("there was no {name}") } else { format!("the {name} was {}", values.join(", ")) }
}

fn values(subject: &plan::Subject, exchange: &Exchange) -> Vec<String> {
    let mut values = Vec::new();
    if let Ok(subject) = Subject::new(subject) {
        subject.any(exchange, |value| {
            values.push(format!("`{}`", shown(value)));
            false
        });
    }
    values
}

/// A value on one line, cut where it is long.
pub(crate) fn shown(value: &str) -> String {
    let cut = &value[..value.floor_char_boundary(MAX_SHOWN_BYTES)];
    let line = cut.replace(is_hidden, "\u{fffd}");
    if cut.len() < value.len() { line + "…" } else { line }
}
