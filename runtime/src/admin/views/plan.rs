//! `POST /v1/plan`: what would become of the gateway if a policy took the place of the one in service.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_dsl::diff::{Changes, diff};
use tidegate_dsl::render;

use super::super::answer::Answer;
use super::super::context::Context;
use super::super::facts::Facts;
use super::parse;
use crate::policy::prepare::{Prepared, Reading, prepare};
use crate::policy::snapshot::Snapshot;

/// A policy as JSON has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanOrder {
    /// The text of its first file.
    pub policy: String,
}

/// What would become of it.
#[derive(Debug, Serialize)]
pub struct PlanView {
    /// The number of the policy in service.
    pub generation: u64,
    /// `accepted` or `refused`.
    pub result: &'static str,
    /// The changes, or what is wrong, as the command line writes it.
    pub shown: String,
    /// The changes; none if it is refused.
    pub changes: Option<Changes>,
    /// What is to be said of it, warnings included.
    pub diagnostics: Vec<Value>,
    /// What is wrong, where no place in the text stands for it.
    pub reason: Option<String>,
}

/// `POST /v1/plan`
pub async fn answer(context: &Context, is_text: bool, body: Bytes) -> Answer {
    let policy = if is_text {
        String::from_utf8(body.into()).map_err(|_| Answer::problem(StatusCode::BAD_REQUEST, "the policy is not UTF-8"))
    } else {
        parse::<PlanOrder>(&body).map(|order| order.policy)
    };
    let policy = match policy {
        Ok(policy) => policy,
        Err(answer) => return answer,
    };
    let (facts, snapshot, host) = (Arc::clone(&context.facts), context.snapshot(), Arc::clone(&context.host));
    let compiled = context.work(move || {
        let overrides = facts.overrides();
        let reading = Reading {
            draft: Some(policy),
            previous: Some(&snapshot),
            overrides: &overrides,
            ..Reading::of(&facts.root, &host)
        };
        let prepared = prepare(reading);
        view(&facts, &snapshot, &prepared)
    });
    compiled.await.unwrap_or_else(|answer| answer)
}

fn view(facts: &Facts, old: &Snapshot, prepared: &Prepared) -> Answer {
    let Prepared { snapshot, diagnostics, sources, refusal, mask, .. } = prepared;
    let said = render::human(diagnostics, sources, false);
    let changes = snapshot.as_ref().map(|new| diff(old.plan(), new.plan()));
    let view = PlanView {
        generation: old.generation,
        result: if changes.is_some() { "accepted" } else { "refused" },
        shown: changes.as_ref().map_or(said, ToString::to_string),
        changes,
        diagnostics: diagnostics_of(prepared),
        reason: refusal.clone(),
    };
    match serde_json::to_string(&view) {
        // What the environment says now, and what it said when the policy in service was read.
        Ok(json) => Answer::json_text(mask.text(&facts.mask().text(&json)).into_owned()),
        Err(error) => Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// What is to be said of a policy, an object each.
pub fn diagnostics_of(prepared: &Prepared) -> Vec<Value> {
    let lines = render::json(&prepared.diagnostics, &prepared.sources);
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
