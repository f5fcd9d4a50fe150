//! `tidegate help`: the commands, one of them, what is behind a diagnostic, or a word of the language.

use clap::CommandFactory;
use tidegate_dsl::codes::{Code, nearest};
use tidegate_dsl::reference;

use super::{Arguments, Failed, answer};

/// Explains a code, a command or a word; without one, prints the commands.
pub(super) fn help(topic: Option<&str>) -> Result<(), Failed> {
    let mut commands = Arguments::command();
    let Some(topic) = topic else {
        return answer(&commands.render_long_help().to_string());
    };
    if let Some(row) = Code::find(topic) {
        return answer(&row.page());
    }
    commands.build();
    let command = commands.find_subcommand_mut(topic).map(|command| command.render_long_help().to_string());
    // `test` is both.
    match (command, reference::words_named(topic)) {
        (Some(command), Some(word)) => answer(&format!("{}\n\nIn a policy:\n\n{word}", command.trim_end())),
        (Some(text), None) | (None, Some(text)) => answer(&text),
        (None, None) => Err(Failed::Usage(match nearest(topic) {
            Some(meant) => format!("there is no diagnostic `{topic}`; did you mean `{meant}`?"),
            None => format!(
                "there is no diagnostic, command or word `{topic}`; codes look like `E0401`, words like `limit`"
            ),
        })),
    }
}
