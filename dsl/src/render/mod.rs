//! Turns diagnostics into text: for people, for programs, for GitHub.

mod github;
mod human;
mod json;

pub use github::github;
pub use human::human;
pub use json::json;
