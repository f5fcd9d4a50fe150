//! `/v1/generations`: the last policies that were read, and what became of them.

use serde::Serialize;
use serde_json::Value;
use tidegate_base::limits;
use tidegate_dsl::diff::Changes;

use super::super::answer::Answer;
use super::super::context::Context;
use super::super::facts::{Generation, Outcome};
use super::{masked, moment};

/// The last policies that were read.
#[derive(Debug, Serialize)]
pub struct GenerationList {
    /// The number of the policy in service.
    pub generation: u64,
    /// The policies, the newest first.
    pub generations: Vec<GenerationView>,
}

/// A policy that was read.
#[derive(Debug, Serialize)]
pub struct GenerationView {
    /// The number of the policy in service since then.
    pub generation: u64,
    /// When it was read.
    pub at: String,
    /// How long that took, in milliseconds.
    pub ms: u64,
    /// The reason why it was read.
    pub cause: String,
    /// `in-service` or `refused`.
    pub result: &'static str,
    /// What changed against the one before, or what was wrong, as the command line writes it.
    pub shown: String,
    /// What changed against the one before.
    pub changes: Option<Changes>,
    /// What was wrong, and where.
    pub diagnostics: Vec<Value>,
    /// What was wrong, where no place in the text stands for it.
    pub reason: Option<String>,
}

/// `GET /v1/generations`
pub fn all(context: &Context) -> Answer {
    let generations = context.facts.generations().into_iter().map(view).collect();
    masked(context, &GenerationList { generation: context.snapshot().generation, generations })
}

fn view(read: Generation) -> GenerationView {
    let (result, shown, changes, diagnostics, reason) = match read.outcome {
        Outcome::InService(changes) => ("in-service", changes.to_string(), Some(changes), Vec::new(), None),
        Outcome::Refused { shown, diagnostics, reason } => ("refused", shown, None, diagnostics, reason),
    };
    let shown = cut(shown);
    GenerationView {
        generation: read.generation,
        at: moment(read.at),
        ms: read.ms,
        cause: read.cause,
        result,
        shown,
        changes,
        diagnostics,
        reason,
    }
}

/// A text within its bound.
fn cut(mut text: String) -> String {
    if text.len() > limits::GENERATION_BYTES {
        text.truncate(text.floor_char_boundary(limits::GENERATION_BYTES));
        text.push_str("\n…\n");
    }
    text
}
