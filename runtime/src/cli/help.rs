//! `tidegate help`: the commands, one of them, or what is behind a diagnostic.

use clap::CommandFactory;
use tidegate_dsl::codes::{Code, nearest};

use super::{Arguments, Failed, answer};

/// Explains a code, or a command; without either, prints the commands.
pub(super) fn help(code: Option<&str>) -> Result<(), Failed> {
    let mut commands = Arguments::command();
    let Some(code) = code else {
        return answer(&commands.render_long_help().to_string());
    };
    commands.build();
    if let Some(command) = commands.find_subcommand_mut(code) {
        return answer(&command.render_long_help().to_string());
    }
    match Code::find(code) {
        Some(row) => answer(&row.page()),
        None => Err(Failed::Usage(match nearest(code) {
            Some(meant) => format!("there is no diagnostic `{code}`; did you mean `{meant}`?"),
            None => format!("there is no diagnostic `{code}`; codes look like `E0401`"),
        })),
    }
}
