//! What the admin API says, a file for each kind of thing. The types are those of its JSON.

pub mod certificates;
pub mod errors;
pub mod explain;
pub mod extensions;
pub mod generations;
pub mod groups;
pub mod listeners;
pub mod live;
pub mod log;
pub mod metrics;
pub mod plan;
pub mod servers;
pub mod status;

use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::context::Context;

/// A moment (RFC 3339), to the millisecond.
fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// A moment since the epoch.
fn since_epoch(time: Duration) -> String {
    moment(SystemTime::UNIX_EPOCH + time)
}

/// JSON without what came from the environment.
fn masked<T: Serialize>(context: &Context, value: &T) -> Answer {
    match serde_json::to_string(value) {
        Ok(json) => Answer::json_text(context.facts.mask().text(&json).into_owned()),
        Err(error) => Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// What an order says; no body says nothing.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Answer::problem(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}")))
}
