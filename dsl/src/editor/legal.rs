//! The legal order of words and arguments, as far as an editor can help with it. The checker is what decides.

use super::Expected::{self, Name, Rule, Value, Word as Words};
use crate::check::Kind;
use crate::http_version::HttpVersion;
use crate::parse::Token;
use crate::vocabulary::{Place, Value as Takes};

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const ON_OFF: &[&str] = &["on", "off"];
const OFF: &[&str] = &["off"];

/// The place of what stands in open blocks; `None` where the language knows no words.
pub(super) fn place(blocks: &[Vec<Token>]) -> Option<Place> {
    blocks.iter().try_fold(Place::File, |place, line| block(place, line))
}

/// The place of the block of a line.
fn block(place: Place, line: &[Token]) -> Option<Place> {
    let Some(Token::Word(word)) = line.first() else { return None };
    let deeper = match (place, word.as_str()) {
        (Place::File, "gateway") => Place::Gateway,
        (Place::File, "access-log") => Place::AccessLog,
        (Place::File, "certificate") => Place::Certificate,
        (Place::File, "ca") => Place::Ca,
        (Place::File, "tls-policy") => Place::TlsPolicy,
        (Place::File, "tracing") => Place::Tracing,
        (Place::File, "admin") => Place::Admin,
        (Place::File, "metrics") => Place::Metrics,
        (Place::File, "test") => Place::Test,
        (Place::File, "listener") => Place::Listener,
        (Place::File, "server-group") => Place::ServerGroup,
        (Place::File, "extension") => Place::Extension,
        (Place::File, "rules") => Place::Rules,
        (Place::Listener, "limits") => Place::ListenerLimits,
        (Place::Listener | Place::Rule, "on-response") => Place::OnResponse,
        (Place::ServerGroup, "health-check") => Place::HealthCheck,
        (Place::Extension, "limits") => Place::ExtensionLimits,
        (Place::Rules, "rule" | "otherwise") => Place::Rule,
        (Place::Rule, "cors") => Place::Cors,
        (Place::Rule, "when" | "unless") | (Place::Subject, "any" | "all") => Place::Subject,
        (Place::OnResponse, "when" | "unless") | (Place::ResponseSubject, "any" | "all") => Place::ResponseSubject,
        _ => return None,
    };
    Some(deeper)
}

/// The values that may follow the tokens of a line.
pub(super) fn expected(place: Place, line: &[Token]) -> Vec<Expected> {
    let (line, env_may_default) = texts_of_env(line);
    let mut expected = argument(place, &line);
    if env_may_default {
        expected.push(Value(&["default"]));
    }
    expected
}

/// A line with each `env "NAME" default "…"` as the text that it stands for, and whether the last of them may still take a
/// default.
fn texts_of_env(line: &[Token]) -> (Vec<Token>, bool) {
    let mut out: Vec<Token> = Vec::new();
    let mut rest = line;
    while let Some((first, behind)) = rest.split_first() {
        rest = match behind {
            [text @ Token::Text(_), default, Token::Text(_), behind @ ..]
                if first.is("env") && default.is("default") =>
            {
                out.push(text.clone());
                behind
            }
            [text @ Token::Text(_), behind @ ..] if first.is("env") => {
                out.push(text.clone());
                if behind.is_empty() {
                    return (out, true);
                }
                behind
            }
            _ => {
                out.push(first.clone());
                behind
            }
        };
    }
    (out, false)
}

fn argument(place: Place, line: &[Token]) -> Vec<Expected> {
    let Some((first, arguments)) = line.split_first() else { return vec![Words(place)] };
    let Token::Word(word) = first else { return Vec::new() };
    match place {
        Place::File => declaration(word, arguments),
        Place::Listener => listener(word, arguments),
        Place::ServerGroup => server_group(word, arguments),
        Place::Rule => rule(word, arguments),
        Place::OnResponse if is_condition(word) => test(Place::ResponseSubject, arguments),
        Place::Subject | Place::ResponseSubject => test(place, line),
        Place::Test => policy_test(word, arguments),
        Place::Extension => match (word.as_str(), arguments) {
            // The list behind `route` or `outbound`, which is not closed yet.
            ("allow", [.., last]) if last.is("[") => vec![Name(Kind::Group)],
            ("allow", [.., Token::Comma]) if arguments.iter().any(|token| token.is("[")) => vec![Name(Kind::Group)],
            ("allow", _) if in_list(arguments) => vec![Words(Place::Allow)],
            ("on-error", []) => vec![Words(Place::OnError)],
            ("on-pause", []) => vec![Words(Place::OnPause)],
            _ => value(place, word, arguments),
        },
        Place::AccessLog if word == "to" && arguments.is_empty() => vec![Words(Place::LogTarget)],
        Place::TlsPolicy if word == "base" && arguments.is_empty() => {
            vec![Name(Kind::TlsPolicy), Words(Place::PredefinedPolicy)]
        }
        Place::TlsPolicy if word == "versions" && in_list(arguments) => vec![Words(Place::TlsVersion)],
        Place::TlsPolicy if word == "groups" && in_list(arguments) => vec![Words(Place::KeyExchangeGroup)],
        Place::Tracing if word == "protocol" && arguments.is_empty() => vec![Value(&["grpc", "http"])],
        Place::Tracing if word == "propagate" && in_list(arguments) => vec![Words(Place::Propagate)],
        Place::Admin if word.ends_with("-token") && arguments.is_empty() => vec![Value(&["env", "file"])],
        Place::Admin | Place::Metrics if word == "listen" && arguments.is_empty() => vec![Value(&["unix"])],
        Place::Cors if word == "methods" && in_list(arguments) => vec![Value(METHODS)],
        _ => value(place, word, arguments),
    }
}

/// The value that a word takes, by the vocabulary.
fn value(place: Place, word: &str, arguments: &[Token]) -> Vec<Expected> {
    match place.find(word).map(|word| word.value) {
        Some(Takes::OneOf(place)) if arguments.is_empty() => vec![Words(place)],
        Some(Takes::Switch { .. }) if arguments.is_empty() => vec![Value(ON_OFF)],
        Some(Takes::Count { off: true, .. } | Takes::Size { off: true, .. } | Takes::Duration { off: true, .. })
            if arguments.is_empty() =>
        {
            vec![Value(OFF)]
        }
        _ => Vec::new(),
    }
}

fn declaration(word: &str, arguments: &[Token]) -> Vec<Expected> {
    match (word, arguments) {
        ("listener", []) => vec![Words(Place::ListenerProtocol)],
        ("tracing", []) => vec![Value(&["otlp"])],
        _ => Vec::new(),
    }
}

fn listener(word: &str, arguments: &[Token]) -> Vec<Expected> {
    match (word, arguments) {
        ("rules", []) => vec![Name(Kind::Rules)],
        ("run", []) => vec![Name(Kind::Extension)],
        ("certificate", []) => vec![Name(Kind::Certificate)],
        ("client-ca", []) => vec![Name(Kind::Ca)],
        ("client-ca", [_]) => vec![Value(&["required", "optional"])],
        ("tls-policy", []) => vec![Name(Kind::TlsPolicy), Words(Place::PredefinedPolicy)],
        ("quic-upgrade", []) => vec![Name(Kind::Listener)],
        ("quic-upgrade", [.., last]) if last.is("port") || last.is("max-age") => Vec::new(),
        ("quic-upgrade", [_, ..]) => vec![Words(Place::QuicUpgrade)],
        ("allow-from" | "deny-from", []) => vec![Name(Kind::List)],
        ("allow-from" | "deny-from", list) if in_list(list) => vec![Name(Kind::List)],
        ("client-ip", []) => vec![Words(Place::ClientIp)],
        ("client-ip", [from]) if !from.is("peer") => vec![Words(Place::Trusted)],
        ("client-ip", [_, _]) => vec![Name(Kind::List), Value(&["leftmost"])],
        ("client-ip", [_, _, list @ ..]) if in_list(list) => vec![Name(Kind::List)],
        ("forwarded" | "compression" | "tracing", []) => vec![Value(OFF)],
        ("tracing", [share]) if !share.is("off") => vec![Value(&["ignore-parent"])],
        ("forwarded", _) if in_list(arguments) => vec![Words(Place::Forwarded)],
        ("compression", _) if in_list(arguments) => vec![Value(&["br", "gzip"])],
        ("forward", _) => forward(arguments),
        _ => value(Place::Listener, word, arguments),
    }
}

fn server_group(word: &str, arguments: &[Token]) -> Vec<Expected> {
    match (word, arguments) {
        ("server", [.., last]) if last.is("state") => vec![Words(Place::ServerState)],
        ("server", [.., last]) if last.is("weight") => Vec::new(),
        ("server", [_, ..]) => vec![Words(Place::Server)],
        ("balance", [how]) if how.is("hash") => vec![Words(Place::HashKey)],
        ("health-check", []) => vec![Words(Place::Probe)],
        ("sticky", []) => vec![Words(Place::Sticky)],
        ("sticky", [_, Token::Text(_)]) => vec![Value(&["ttl"])],
        ("verify", []) => vec![Words(Place::Verify)],
        ("verify", [ca]) if ca.is("ca") => vec![Name(Kind::Ca)],
        ("retries", [_]) => vec![Value(&["on"])],
        ("retries", _) if in_list(arguments) => vec![Words(Place::RetryOn)],
        _ => value(Place::ServerGroup, word, arguments),
    }
}

fn rule(word: &str, arguments: &[Token]) -> Vec<Expected> {
    match (word, arguments) {
        ("when" | "unless", _) => test(Place::Subject, arguments),
        ("limit", [.., last]) if last.is("per") => vec![Words(Place::LimitKey)],
        ("limit", [.., last]) if last.is("burst") || last.is("status") || last.is("prefix") => Vec::new(),
        ("limit", [_, ..]) => vec![Words(Place::Limit)],
        ("rewrite", []) => vec![Words(Place::Rewrite)],
        ("run", []) => vec![Name(Kind::Extension)],
        ("mirror", []) => vec![Name(Kind::Group)],
        ("forward", _) => forward(arguments),
        ("redirect", []) => vec![Value(&["301", "302", "303", "307", "308"])],
        ("respond", [_]) | ("respond", [_, Token::Text(_)]) => vec![Words(Place::Respond)],
        _ => value(Place::Rule, word, arguments),
    }
}

fn forward(arguments: &[Token]) -> Vec<Expected> {
    match arguments {
        [] | [.., Token::Comma] => vec![Name(Kind::Group)],
        [.., last] if last.is("weight") || last.is("sticky") => Vec::new(),
        _ => vec![Words(Place::Target)],
    }
}

/// A test: a subject, perhaps what it is of, how it compares, with what.
fn test(subjects: Place, tokens: &[Token]) -> Vec<Expected> {
    let Some((Token::Word(subject), rest)) = tokens.split_first() else { return vec![Words(subjects)] };
    let rest = match (subject.as_str(), rest) {
        ("any" | "all", _) => return Vec::new(),
        ("client-cert", []) => return vec![Words(Place::ClientCertField)],
        ("client-cert", [_, Token::Text(_), rest @ ..] | [_, rest @ ..]) => rest,
        ("header" | "query" | "cookie" | "var" | "response-header", []) => return Vec::new(),
        ("header" | "query" | "cookie" | "var" | "response-header", [_, rest @ ..]) => rest,
        _ => rest,
    };
    let Some((Token::Word(how), values)) = rest.split_first() else { return vec![Words(Place::Predicate)] };
    if !values.is_empty() && !in_list(values) {
        return Vec::new();
    }
    match (how.as_str(), subject.as_str()) {
        ("in", _) => vec![Name(Kind::List)],
        ("is", "method") => vec![Value(METHODS)],
        ("is", "scheme") => vec![Value(&["http", "https"])],
        ("is", "protocol") => vec![Value(&HttpVersion::WORDS)],
        ("is", "upgrade") => vec![Value(&["websocket"])],
        ("is", "tls-version") => vec![Words(Place::TlsVersion)],
        ("is", "tls-group") => vec![Words(Place::KeyExchangeGroup)],
        _ => Vec::new(),
    }
}

fn policy_test(word: &str, arguments: &[Token]) -> Vec<Expected> {
    let (what, rest) = match (word, arguments) {
        ("request", []) => return vec![Value(METHODS)],
        ("request", [_, _]) => return vec![Words(Place::Request)],
        ("client-cert", []) => return vec![Words(Place::ClientCertField)],
        ("expect", []) => return vec![Words(Place::Expect)],
        ("expect", [Token::Word(what), rest @ ..]) => (what.as_str(), rest),
        _ => return Vec::new(),
    };
    match (what, rest) {
        ("rule", []) => vec![Rule, Value(&["otherwise"])],
        ("forward", _) if rest.is_empty() || in_list(rest) => vec![Name(Kind::Group)],
        ("redirect", []) => vec![Value(&["301", "302", "303", "307", "308"])],
        ("host" | "path" | "client-ip" | "query" | "header" | "response-header" | "var", _) => {
            test(Place::Subject, arguments)
        }
        _ => Vec::new(),
    }
}

fn is_condition(word: &str) -> bool {
    matches!(word, "when" | "unless")
}

/// Whether a list is open: a value of it comes next.
fn in_list(arguments: &[Token]) -> bool {
    arguments.contains(&Token::Open) && arguments.last().is_some_and(|last| matches!(last, Token::Open | Token::Comma))
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(written) if written == word)
    }
}
