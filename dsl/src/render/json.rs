//! For programs: one JSON object a line.

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::source::Sources;

#[derive(Serialize)]
struct Line<'a> {
    code: &'a str,
    severity: Severity,
    message: &'a str,
    #[serde(flatten)]
    place: Option<Place<'a>>,
    labels: Vec<Place<'a>>,
    help: Option<&'a str>,
}

/// A place; lines and columns count from 1, columns in characters, and the end is excluded.
#[derive(Serialize)]
struct Place<'a> {
    path: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

/// Renders each diagnostic as an object on a line of its own: `code`, `severity`, `message`, `path`, `line`, `column`,
/// `end_line`, `end_column`, `labels` (the other places), `help`.
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let mut places = diagnostic.labels.iter().map(|label| place(label, sources));
        let line = Line {
            code: diagnostic.code,
            severity: diagnostic.severity,
            message: &diagnostic.message,
            place: places.next(),
            labels: places.collect(),
            help: diagnostic.help.as_deref(),
        };
        // Strings and numbers always serialise.
        out.push_str(&serde_json::to_string(&line).unwrap_or_default());
        out.push('\n');
    }
    out
}

fn place<'a>(label: &'a Label, sources: &Sources) -> Place<'a> {
    let (start, end) = (sources.position(label.span), sources.end_position(label.span));
    Place {
        path: sources.get(label.span.source).map(|source| source.path.display().to_string()).unwrap_or_default(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        label: (!label.message.is_empty()).then_some(label.message.as_str()),
    }
}
