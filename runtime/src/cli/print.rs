//! `tidegate print`.

use std::path::Path;

use tidegate_dsl::print;

use super::check::compile;
use super::{Failed, Form, answer};

/// Prints a policy as it was understood.
pub(super) fn print(file: &Path, form: Form, show_env: bool) -> Result<(), Failed> {
    let (snapshot, mask) = compile(file, show_env)?;
    let text = match form {
        Form::Policy => print::policy(snapshot.plan()),
        Form::Plan => print::plan(snapshot.plan()),
        Form::Json => print::json(snapshot.plan()),
    };
    answer(&mask.text(&text))
}
