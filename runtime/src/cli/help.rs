//! `tidegate help`: the commands, or what is behind a diagnostic.

use clap::CommandFactory;
use tidegate_dsl::codes::{Code, nearest};

use super::{Arguments, Failed, answer};

/// Explains a code; without one, prints the commands.
pub(super) fn help(code: Option<&str>) -> Result<(), Failed> {
    let Some(code) = code else {
        return answer(&Arguments::command().render_long_help().to_string());
    };
    match Code::find(code) {
        Some(row) => answer(&row.page()),
        None => Err(Failed::Usage(match nearest(code) {
            Some(meant) => format!("there is no diagnostic `{code}`; did you mean `{meant}`?"),
            None => format!("there is no diagnostic `{code}`; codes look like `E0401`"),
        })),
    }
}
