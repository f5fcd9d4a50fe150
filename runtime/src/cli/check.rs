//! `tidegate check`, and compiling for the commands that need a plan.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use tidegate_dsl::render;

use super::{Failed, Format, host};
use crate::policy::mask::Mask;
use crate::policy::prepare::{Prepared, Reading, prepare};
use crate::policy::snapshot::Snapshot;

/// Compiles each file and reports every mistake of all of them.
pub(super) fn check(files: &[PathBuf], format: Format) -> Result<(), Failed> {
    let host = host()?;
    let mut sound = true;
    for file in files {
        let prepared = prepare(Reading::of(file, &host));
        sound &= prepared.snapshot.is_some();
        report(&prepared, format);
    }
    if sound { Ok(()) } else { Err(Failed::Said) }
}

/// Compiles a file for a command that needs its plan; warnings and errors are reported.
/// The mask beside the plan hides what came from the environment; where that is to be shown, the mask hides nothing.
pub(super) fn compile(file: &Path, show_env: bool) -> Result<(Snapshot, Mask), Failed> {
    let prepared = prepare(Reading::of(file, &host()?));
    report(&prepared, Format::Human);
    let mask = if show_env { Mask::default() } else { prepared.mask };
    Ok((prepared.snapshot.ok_or(Failed::Said)?, mask))
}

/// Writes what is to be said about a policy.
pub(super) fn report(prepared: &Prepared, format: Format) {
    let Prepared { diagnostics, sources, refusal, .. } = prepared;
    let text = match format {
        Format::Human => render::human(diagnostics, sources, std::io::stderr().is_terminal()),
        Format::Json => render::json(diagnostics, sources),
        Format::Github => render::github(diagnostics, sources),
    };
    if !text.is_empty() {
        eprintln!("{}", text.trim_end());
    }
    if let Some(refusal) = refusal {
        eprintln!("error: the policy cannot be used: {refusal}");
    }
}
