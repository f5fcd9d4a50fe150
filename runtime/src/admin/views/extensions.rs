//! `/v1/extensions`: what runs as a guest, and what is counted of it.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_dsl::plan::InstanceMode;

use super::super::answer::Answer;
use super::super::context::Context;
use super::masked;

/// All extensions.
#[derive(Debug, Serialize)]
pub struct ExtensionList {
    /// The number of the policy in service.
    pub generation: u64,
    /// The extensions, in the order of the policy.
    pub extensions: Vec<ExtensionView>,
}

/// An extension.
#[derive(Debug, Serialize)]
pub struct ExtensionView {
    /// The name.
    pub name: String,
    /// The file of its module.
    pub module: String,
    /// The ABI that it speaks.
    pub abi: &'static str,
    /// The memory that an instance may have, in bytes.
    pub memory_bytes: u64,
    /// The time that a call may take, in milliseconds.
    pub time_ms: f64,
    /// `reused` or `fresh`.
    pub instance: &'static str,
    /// The extension's own metrics, and those that the host counts of it, which begin with `host_`.
    pub metrics: BTreeMap<String, f64>,
}

/// `GET /v1/extensions`
pub fn all(context: &Context) -> Answer {
    let snapshot = context.snapshot();
    let mut samples: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for sample in context.host.samples() {
        samples.entry(sample.extension).or_default().insert(sample.name, sample.value);
    }
    let extensions = snapshot.plan().extensions.iter().map(|extension| ExtensionView {
        name: extension.name.clone(),
        module: extension.module.clone(),
        abi: extension.abi.word(),
        memory_bytes: extension.limits.memory,
        time_ms: extension.limits.time.as_secs_f64() * 1e3,
        instance: match extension.instance {
            InstanceMode::Fresh => "fresh",
            _ => "reused",
        },
        metrics: samples.remove(&extension.name).unwrap_or_default(),
    });
    masked(context, &ExtensionList { generation: snapshot.generation, extensions: extensions.collect() })
}
