//! `tidegate explain`: one request through the policy, by the walk that serves.

use std::path::Path;

use super::check::compile;
use super::{Failed, answer};
use crate::request::explain::{self, NoAnswer, Question};

/// How the command line wants the answer.
pub(super) struct Shown {
    /// Write JSON.
    pub json: bool,
    /// Show what came from the environment.
    pub show_env: bool,
}

/// Explains one request.
pub(super) fn explain(file: &Path, question: Question, shown: &Shown) -> Result<(), Failed> {
    let (snapshot, mask) = compile(file, shown.show_env)?;
    let explanation = explain::explain(&snapshot, question).map_err(|why| match why {
        NoAnswer::Wrong(why) => Failed::Usage(why),
        NoAnswer::Refused(why) => Failed::Because(why),
    })?;
    if shown.json {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| Failed::Because(error.to_string()))?;
        answer(&mask.text(&json))
    } else {
        answer(&mask.text(&explanation.to_string()))
    }
}

/// A header of the command line: `name: value`.
///
/// # Errors
/// The line is no header.
pub(super) fn header(line: &str) -> Result<(String, String), String> {
    let parts = line.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    parts.ok_or_else(|| format!("`{line}` is not a header: write it as 'name: value'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        assert_eq!(header("x: 1:2"), Ok(("x".to_owned(), " 1:2".to_owned())));
        assert_eq!(header("x"), Err("`x` is not a header: write it as 'name: value'".to_owned()));
    }
}
