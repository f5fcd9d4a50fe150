//! `tidegate extension inspect`: what a module is.

use std::fmt::Write;

use serde::Serialize;
use tidegate_engine::hook::{Abi, Hook};
use tidegate_wasm_host::{BodyMode, Interest, LoadError, Need};

use super::super::{AnswerFormat, Failed, answer};
use super::{Looked, size};

/// What there is to say about a module.
#[derive(Serialize)]
struct Report {
    module: String,
    bytes: usize,
    abi: &'static str,
    /// `core` or `component`.
    form: &'static str,
    hooks: Vec<&'static str>,
    imports: Vec<Import>,
    allow: Vec<&'static str>,
    init: Init,
}

/// What is to be allowed, and the word for it.
#[derive(Serialize)]
struct Import {
    name: String,
    allow: &'static str,
}

/// What `init` said to a configuration.
#[derive(Serialize)]
struct Init {
    config: String,
    /// Why the module cannot be run with it.
    error: Option<String>,
    interest: Option<Asks>,
}

/// The requests and responses that a module wants to be asked about.
#[derive(Serialize)]
struct Asks {
    hooks: Vec<&'static str>,
    methods: Vec<String>,
    path_prefixes: Vec<String>,
    request_body: Option<Body>,
    response_body: Option<Body>,
    tick_ms: Option<u128>,
}

#[derive(Serialize)]
struct Body {
    mode: &'static str,
    bytes: usize,
}

/// Prints it. A configuration that was given and is refused fails the command.
pub(super) fn inspect(looked: &Looked, format: AnswerFormat) -> Result<(), Failed> {
    let loaded = looked.host.load(&looked.spec());
    let init = match &loaded {
        Ok(extension) => {
            Init { config: looked.config.clone(), error: None, interest: Some(asks(extension.interest())) }
        }
        Err(error) => Init { config: looked.config.clone(), error: Some(error.to_string()), interest: None },
    };
    let report = Report {
        module: looked.file.display().to_string(),
        bytes: looked.bytes.len(),
        abi: looked.abi.word(),
        form: form(&looked.bytes),
        hooks: looked.report.hooks.iter().map(|hook| hook.name()).collect(),
        imports: looked.report.needs.iter().map(import).collect(),
        allow: looked.allow().iter().map(|word| word.word()).collect(),
        init,
    };
    match format {
        AnswerFormat::Human => answer(&human(&report))?,
        AnswerFormat::Json => {
            let json = serde_json::to_string_pretty(&report).map_err(|error| Failed::Because(error.to_string()))?;
            answer(&json)?;
        }
    }
    match loaded {
        // Without a configuration, a module that needs one has done no wrong.
        Err(LoadError::Init(_)) if !looked.has_config => Ok(()),
        Err(_) => Err(Failed::Said),
        Ok(_) => Ok(()),
    }
}

/// The version in the preamble tells them apart: a core module has the layer 0.
fn form(bytes: &[u8]) -> &'static str {
    if bytes.get(6..8) == Some(&[0, 0]) { "core" } else { "component" }
}

fn import(need: &Need) -> Import {
    Import { name: need.import.clone(), allow: need.capability.word() }
}

fn asks(interest: &Interest) -> Asks {
    let body = |hook| {
        interest.body_mode(hook).map(|mode| match mode {
            BodyMode::Stream(bytes) => Body { mode: "stream", bytes },
            BodyMode::Buffer(bytes) => Body { mode: "buffer", bytes },
        })
    };
    Asks {
        hooks: interest.hooks().map(Hook::name).collect(),
        methods: interest.methods().iter().map(ToString::to_string).collect(),
        path_prefixes: interest.path_prefixes().to_vec(),
        request_body: body(Hook::RequestBody),
        response_body: body(Hook::ResponseBody),
        tick_ms: interest.tick().map(|every| every.as_millis()),
    }
}

// Writing into a string cannot fail.
fn human(report: &Report) -> String {
    let mut out = String::new();
    let what = match (report.abi == Abi::Tidegate.word(), report.form) {
        (true, "core") => "a core module with its component type",
        (true, _) => "a component",
        (false, _) => report.abi,
    };
    let _ = writeln!(out, "module   {}, {}, {what}", report.module, size(report.bytes as u64));
    let _ = writeln!(out, "hooks    {}", report.hooks.join(", "));
    let width = report.imports.iter().map(|import| import.name.len()).max().unwrap_or_default();
    for (at, import) in report.imports.iter().enumerate() {
        let label = if at == 0 { "needs  " } else { "       " };
        let _ = writeln!(out, "{label}  {:width$}  {}", import.name, import.allow);
    }
    let _ = writeln!(out, "allow    [{}]", report.allow.join(", "));
    let config = &report.init.config;
    match (&report.init.error, &report.init.interest) {
        (Some(error), _) => {
            let _ = writeln!(out, "init     with {config}: {error}");
        }
        (None, Some(asks)) => {
            let _ = writeln!(out, "init     takes {config}");
            let _ = writeln!(out, "         and asks for {}", words(asks));
        }
        (None, None) => {}
    }
    out
}

fn words(asks: &Asks) -> String {
    let list = |all: &str, some: &[String]| if some.is_empty() { all.to_owned() } else { some.join(", ") };
    let mut words = vec![
        if asks.hooks.is_empty() { "no hook".to_owned() } else { asks.hooks.join(", ") },
        list("every method", &asks.methods),
        list("every path", &asks.path_prefixes),
    ];
    for (name, body) in [("request", &asks.request_body), ("response", &asks.response_body)] {
        if let Some(Body { mode, bytes }) = body {
            let how = if *mode == "stream" { "in pieces of at most" } else { "whole, at most" };
            words.push(format!("{name} bodies {how} {}", size(*bytes as u64)));
        }
    }
    if let Some(ms) = asks.tick_ms {
        words.push(format!("a tick every {ms} ms"));
    }
    words.join("; ")
}
