//! Diagnostics for GitHub: workflow commands, which become annotations of a change.

use std::fmt::Write;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Sources;

/// Renders each diagnostic as `::error file=…,line=…,col=…::…` on a line of its own.
pub fn github(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let command = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let span = diagnostic.labels.first().map(|label| label.span).unwrap_or_default();
        let (start, end) = (sources.position(span), sources.end_position(span));
        let path = sources.get(span.source).map(|source| source.path.display().to_string()).unwrap_or_default();
        let help = diagnostic.help.iter().map(|help| format!("\nhelp: {help}")).collect::<String>();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "::{command} file={},line={},endLine={},col={},endColumn={},title={}::{}",
            property(&path),
            start.line,
            end.line,
            start.column,
            end.column,
            property(diagnostic.code),
            data(&format!("{}{help}", diagnostic.message)),
        );
    }
    out
}

/// Escapes what would end a command's text.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes what would end a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
