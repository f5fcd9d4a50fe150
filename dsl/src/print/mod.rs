//! Plans as text.

mod groups;
mod listener;
mod plan;
mod policy;
mod rules;
mod tls;
mod words;

pub use plan::plan;
pub(crate) use policy::lines;
pub use policy::policy;

pub(crate) use words::allow_word;

use crate::plan::Plan;

/// A plan as one JSON object, indented.
pub fn json(plan: &Plan) -> String {
    // Plain data with texts as keys always serialises.
    serde_json::to_string_pretty(plan).unwrap_or_default()
}
