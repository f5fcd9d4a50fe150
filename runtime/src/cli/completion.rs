//! `tidegate completion`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Arguments, Failed, answer};

/// Prints the script that completes commands, options and files in a shell.
pub(super) fn completion(shell: Shell) -> Result<(), Failed> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "tidegate", &mut script);
    answer(&String::from_utf8_lossy(&script))
}
