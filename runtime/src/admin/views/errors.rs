//! `/v1/errors`: the last requests that failed.

use serde::Serialize;

use super::super::answer::Answer;
use super::super::context::Context;
use crate::telemetry::failed_request::FailedRequest;

/// The last requests that failed, or were refused.
#[derive(Debug, Serialize)]
pub struct ErrorList {
    /// The newest first.
    pub errors: Vec<FailedRequest>,
}

/// `GET /v1/errors`
pub fn all(context: &Context) -> Answer {
    Answer::json(&ErrorList { errors: context.shared.tap.last_failed() })
}
