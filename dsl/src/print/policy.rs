//! A plan as the policy that means it, every default filled in.

use super::groups::write_group;
use super::listener::write_listener;
use super::tls;
use super::words::{Writer, allow_words, one_or_list, quote, template};
use crate::check::config::Json;
use crate::plan::{Abi, Extension, InstanceMode, List, LogFormat, LogTarget, OnError, Plan, RuleSet, Secret, Via};
use crate::value::{show_duration, show_network, show_size};

/// A policy that compiles to an equal plan, in the one layout. Paths in it are relative to the process, so it compiles
/// to the same from the folder that the gateway runs in.
pub fn policy(plan: &Plan) -> String {
    let lines = lines(plan);
    // The formatter refuses only what does not parse.
    crate::format(&lines).unwrap_or(lines)
}

/// The policy that means the plan, with each node on one line, however long it is.
pub(crate) fn lines(plan: &Plan) -> String {
    let mut w = Writer::new(plan);
    w.line("tidegate 1");
    w.blank();
    gateway(&mut w);
    access_log(&mut w);
    tls::write_process(&mut w);
    plan.lists.iter().for_each(|list| write_list(&mut w, list));
    tls::write_declarations(&mut w);
    plan.extensions.iter().for_each(|extension| write_extension(&mut w, extension));
    plan.groups.iter().for_each(|group| write_group(&mut w, group));
    plan.listeners.iter().for_each(|listener| write_listener(&mut w, listener));
    plan.rule_sets.iter().for_each(|rules| write_rules(&mut w, rules));
    w.out
}

fn gateway(w: &mut Writer<'_>) {
    let gateway = &w.plan.gateway;
    w.block("gateway", |w| {
        match gateway.workers {
            Some(workers) => w.line(&format!("workers {workers}")),
            None => w.line("# workers: one for each core"),
        }
        w.line(&format!("drain {}", show_duration(gateway.drain)));
        match gateway.secrets.as_slice() {
            [] => w.line("# secret: chance; it ends with the process"),
            secrets => w.line(&format!("secret {}", one_or_list(secrets.iter().map(show_secret).collect()))),
        }
        match &gateway.via {
            Via::On => w.line("via on"),
            Via::Off => w.line("via off"),
            Via::Name(name) => w.line(&format!("via {}", quote(name))),
        }
    });
    w.blank();
}

/// The words that say where a secret comes from.
pub(super) fn show_secret(secret: &Secret) -> String {
    match secret {
        Secret::Env(name) => format!("env {}", quote(name)),
        Secret::File(path) => format!("file {}", quote(path)),
    }
}

fn access_log(w: &mut Writer<'_>) {
    let log = &w.plan.access_log;
    w.block("access-log", |w| {
        match &log.to {
            LogTarget::Stdout => w.line("to stdout"),
            LogTarget::File(path) => w.line(&format!("to file {}", quote(path))),
        }
        w.line(&match &log.format {
            LogFormat::Json => "format json".to_owned(),
            LogFormat::Text => "format text".to_owned(),
            LogFormat::Template(line) => format!("format template {}", template(line)),
        });
    });
    w.blank();
}

fn write_list(w: &mut Writer<'_>, list: &List) {
    let networks: Vec<String> = list.networks.iter().map(show_network).collect();
    w.line(&format!("list {} [{}]", list.name, networks.join(", ")));
    w.blank();
}

fn write_extension(w: &mut Writer<'_>, extension: &Extension) {
    w.block(&format!("extension {}", extension.name), |w| {
        w.line(&format!("module {}", quote(&extension.module)));
        w.line(match extension.abi {
            Abi::Tidegate => "abi tidegate",
            Abi::ProxyWasm => "abi proxy-wasm",
            Abi::HttpWasm => "abi http-wasm",
        });
        write_config(w, &extension.config);
        w.block("limits", |w| {
            w.line(&format!("memory {}", show_size(extension.limits.memory)));
            w.line(&format!("time {}", show_duration(extension.limits.time)));
            w.line(&format!("instances {}", extension.limits.instances));
        });
        w.line(match extension.instance {
            InstanceMode::Reused => "instance reused",
            InstanceMode::Fresh => "instance fresh",
        });
        for (word, on_fault) in [("on-error", extension.on_error), ("on-pause", extension.on_pause)] {
            match on_fault {
                OnError::Deny(status) => w.line(&format!("{word} deny {status}")),
                OnError::Skip => w.line(&format!("{word} skip")),
            }
        }
        w.line(&format!("allow [{}]", allow_words(extension).join(", ")));
    });
    w.blank();
}

/// A tree where the JSON is what a tree makes, else the text itself.
fn write_config(w: &mut Writer<'_>, config: &str) {
    match Json::parse_tree(config) {
        Some(Json::Object(entries)) if !entries.is_empty() => w.block("config", |w| write_entries(w, &entries)),
        _ => w.line(&format!("config {}", quote(config))),
    }
}

fn write_entries(w: &mut Writer<'_>, entries: &[(String, Json)]) {
    for (key, value) in entries {
        let key = if crate::check::config::is_key(key) { key.clone() } else { quote(key) };
        match value {
            Json::Object(entries) => w.block(&key, |w| write_entries(w, entries)),
            value => w.line(&format!("{key} {}", config_value(value))),
        }
    }
}

fn config_value(value: &Json) -> String {
    match value {
        Json::Plain(text) => match text.as_str() {
            "true" => "on".to_owned(),
            "false" => "off".to_owned(),
            number => number.to_owned(),
        },
        Json::Text(text) => quote(text),
        Json::Array(values) => format!("[{}]", values.iter().map(config_value).collect::<Vec<_>>().join(", ")),
        // Objects stand in blocks; `parse_tree` takes no other.
        Json::Object(_) => String::new(),
    }
}

fn write_rules(w: &mut Writer<'_>, rules: &RuleSet) {
    w.block(&format!("rules {}", rules.name), |w| {
        for rule in &rules.rules {
            let head =
                if rule.name == crate::plan::OTHERWISE { rule.name.clone() } else { format!("rule {}", rule.name) };
            w.block(&head, |w| w.rule_body(rule));
        }
    });
    w.blank();
}
