//! The files that are made from the vocabulary, held against those of the repository, and every example against the
//! compiler.
//!
//! `UPDATE=1 cargo test -p tidegate-dsl --test reference` writes the files anew.

#![allow(clippy::disallowed_methods, reason = "what is made from the vocabulary is a file")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use support::TestLoader;
use tidegate_dsl::vocabulary::{Place, Word};
use tidegate_dsl::{Severity, compile, reference, render};

/// A file of the repository is what is made now.
fn holds(path: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, made).unwrap();
        return;
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let line = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    let line = line.unwrap_or_else(|| kept.lines().count().min(made.lines().count()));
    assert!(
        kept == made,
        "{path} is not what is made from the vocabulary, from line {}:\nkept: {}\nmade: {}\n\
         Write it anew: UPDATE=1 cargo test -p tidegate-dsl --test reference",
        line + 1,
        kept.lines().nth(line).unwrap_or("(its end)"),
        made.lines().nth(line).unwrap_or("(its end)"),
    );
}

#[test]
fn the_reference_is_made_from_the_vocabulary() {
    holds("docs/language.md", &reference::language());
}

#[test]
fn the_grammar_of_editors_is_made_from_the_vocabulary() {
    let made = reference::grammar();
    holds("editors/tidegate.tmLanguage.json", &made);
    holds("editors/vscode/tidegate.tmLanguage.json", &made);
    // As a regular expression in JSON writes a word.
    let plain = made.replace("\\\\.", ".");
    let words: HashSet<&str> =
        plain.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).collect();
    for word in Place::ALL.iter().flat_map(|place| place.words()) {
        assert!(words.contains(word.name), "the grammar lacks `{}`", word.name);
    }
}

/// The declarations that examples may name.
const NAMES: &str = r#"
list office [10.0.0.0/8, 192.168.0.0/16]
server-group web { server 10.0.0.1:8080 }
server-group api { server 10.0.0.2:8080 }
rules main { otherwise { forward web } }
extension guest {
    module "guest.wasm"
    allow [log]
}
certificate shop {
    chain "shop.pem"
    key "shop.key"
}
ca partners { bundle "partners.pem" }
"#;

/// Whole policies in which an example may stand, in place of `@`; one of them must compile. A line that begins with the word
/// of the example, or with one that excludes it, gives way to it.
fn frames(place: Place) -> &'static [&'static str] {
    match place {
        Place::File | Place::ListenerProtocol => &["@", "listener http a {\nport 80\nrules main\n}\n@"],
        Place::Gateway => &["gateway {\n@\n}"],
        Place::AccessLog | Place::LogTarget | Place::LogFormat | Place::LogInsert => &["access-log {\n@\n}"],
        Place::Certificate => &["certificate a {\nchain \"a.pem\"\nkey \"a.key\"\n@\n}"],
        Place::Ca => &["ca a {\n@\n}"],
        Place::TlsPolicy | Place::TlsVersion | Place::KeyExchangeGroup => {
            &["tls-policy a {\nversions [tls1.2, tls1.3]\n@\n}", "tls-policy a {\n@\n}"]
        }
        Place::TracingKind => &["@"],
        Place::Tracing | Place::OtlpProtocol | Place::Propagate => {
            &["tracing otlp {\nendpoint \"http://127.0.0.1:4317\"\n@\n}"]
        }
        Place::Admin => &["admin {\n@\n}", "admin {\nlisten 127.0.0.1:9901\n@\n}"],
        Place::Metrics => &["metrics {\n@\n}"],
        Place::Test | Place::Request => &[
            "listener http a {\nport 80\nrules policy\n}\nrules policy {\nrule api {\nwhen path under \"/api\"\nforward api\n}\notherwise { forward web }\n}\n\
             test \"it\" {\nrequest GET \"http://shop.example/\"\nexpect forward [web, api]\n@\n}",
            "listener https a {\nport 443\ncertificate shop\nrules policy\n}\nrules policy {\nrule api {\nwhen path under \"/v1\"\nforward api\n}\notherwise { forward web }\n}\n\
             test \"it\" {\nrequest GET \"https://shop.example/\"\nexpect forward [web, api]\n@\n}",
        ],
        Place::Expect => &[
            "listener http a {\nport 80\nrules policy\n}\nrules policy {\nrule api {\nwhen path under \"/api\"\nforward api\n}\notherwise { forward web }\n}\n\
             test \"it\" {\nrequest GET \"http://shop.example/\"\n@\n}",
        ],
        Place::Listener
        | Place::ListenerLimits
        | Place::ClientIp
        | Place::Trusted
        | Place::Forwarded
        | Place::ForwardedFor
        | Place::Paths
        | Place::ClientCa
        | Place::Compression
        | Place::QuicUpgrade
        | Place::PredefinedPolicy
        | Place::State => &[
            "listener http a {\nport 80\nrules main\n@\n}",
            "listener https a {\nport 443\nrules main\ncertificate shop\n@\n}",
            "tracing otlp { endpoint \"http://127.0.0.1:4317\" }\nlistener http a {\nport 80\nrules main\n@\n}",
            "listener quic fast {\nport 443\nrules main\ncertificate shop\n}\nlistener https a {\nport 443\nrules main\ncertificate shop\n@\n}",
            "listener quic a {\nport 443\nrules main\ncertificate shop\n@\n}",
        ],
        Place::ServerGroup
        | Place::Server
        | Place::ServerState
        | Place::Balance
        | Place::HashKey
        | Place::GroupProtocol
        | Place::Sticky
        | Place::Verify
        | Place::RetryOn
        | Place::Probe => &[
            "server-group a {\nserver 10.0.0.1:8080\n@\n}",
            "server-group a {\nprotocol https\nserver 10.0.0.1:8080\n@\n}",
        ],
        Place::HealthCheck => &["server-group a {\nserver 10.0.0.1:8080\nhealth-check http {\npath \"/\"\n@\n}\n}"],
        Place::Extension
        | Place::ExtensionLimits
        | Place::Instance
        | Place::OnError
        | Place::OnPause
        | Place::Abi
        | Place::Allow => &["extension a {\nmodule \"guest.wasm\"\n@\n}"],
        Place::Rules => &["rules a {\n@\notherwise { forward web }\n}", "rules a {\n@\n}"],
        Place::Rule
        | Place::OnResponse
        | Place::Subject
        | Place::ResponseSubject
        | Place::ClientCertField
        | Place::Predicate
        | Place::Rewrite
        | Place::Limit
        | Place::LimitKey
        | Place::Target
        | Place::Respond
        | Place::Insert
        | Place::ResponseInsert => &[
            "rules a {\nrule r {\nwhen path matches \"^/old/(.*)$\"\n@\nforward web\n}\notherwise { forward web }\n}",
            "rules a {\nrule r {\nwhen path under \"/old\"\n@\n}\notherwise { forward web }\n}",
        ],
        Place::Cors => &[
            "rules a {\nrule r {\nwhen path under \"/api\"\ncors {\norigins [\"https://a.example\"]\n@\n}\nforward web\n}\notherwise { forward web }\n}",
        ],
    }
}

/// A whole policy with an example in it.
fn policy(frame: &str, example: &str) -> String {
    let word = |line: &str| line.split([' ', ';']).next().unwrap_or_default().to_owned();
    let excludes = |ours: &str, theirs: &str| match ours {
        "address" => theirs == "port",
        "forward" => theirs == "rules",
        _ => ours == theirs,
    };
    let ours = word(example);
    if ours == "tidegate" {
        return format!("{example}\n{NAMES}");
    }
    let (mut text, mut depth) = (format!("tidegate 1\n{NAMES}"), 0_i32);
    let depth_of_example = frame.lines().take_while(|line| *line != "@").map(braces).sum::<i32>();
    for line in frame.lines() {
        // Only in the block of the example: `rules` at the top of the file stay.
        if line == "@" {
            text.push_str(example);
        } else if depth != depth_of_example
            || line.ends_with('{')
            || !excludes(&ours, &word(line))
            || line.starts_with("when")
        {
            text.push_str(line);
        }
        depth += braces(line);
        text.push('\n');
    }
    text
}

fn braces(line: &str) -> i32 {
    let count = |brace| i32::try_from(line.matches(brace).count()).unwrap();
    count('{') - count('}')
}

/// The mistakes of a word's example, in every frame of its place; none, if it compiles in one.
fn wrong(place: Place, word: &Word) -> Option<String> {
    let example = place.example(word);
    if example.is_empty() {
        return Some(format!("`{}` {} has no example", word.name, place.title()));
    }
    if !example.contains(word.name) {
        return Some(format!("the example of `{}` {} does not use it: {example}", word.name, place.title()));
    }
    let mut said = String::new();
    for frame in frames(place) {
        let text = policy(frame, &example);
        let path = Path::new("example.gate");
        let compilation = compile(path, &TestLoader::new(path, &text));
        if !compilation.has_errors() {
            return None;
        }
        let errors: Vec<_> =
            compilation.diagnostics.into_iter().filter(|said| said.severity == Severity::Error).collect();
        let _ = writeln!(said, "{}", render::human(&errors, &compilation.sources, false));
    }
    Some(format!("the example of `{}` {}, `{example}`:\n{said}", word.name, place.title()))
}

#[test]
fn every_word_has_an_example_that_compiles() {
    let words = Place::ALL.into_iter().flat_map(|place| place.words().iter().map(move |word| (place, word)));
    let wrong: Vec<String> = words.filter_map(|(place, word)| wrong(place, word)).collect();
    assert!(wrong.is_empty(), "{} examples:\n{}", wrong.len(), wrong.join("\n"));
}
