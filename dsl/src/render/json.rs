//! Diagnostics for programs: one JSON object a line.

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Edit, Label, Severity};
use crate::source::{Sources, Span};

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    code: &'a str,
    severity: Severity,
    message: &'a str,
    #[serde(flatten)]
    place: Option<JsonPlace<'a>>,
    labels: Vec<JsonPlace<'a>>,
    help: Option<&'a str>,
    edits: Vec<JsonEdit<'a>>,
}

/// A change of a text, as a place and what is to stand there.
#[derive(Serialize)]
struct JsonEdit<'a> {
    #[serde(flatten)]
    place: JsonPlace<'a>,
    replacement: &'a str,
}

/// A place; lines and columns count from 1, columns in characters, and the end is excluded.
#[derive(Serialize)]
struct JsonPlace<'a> {
    path: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

/// Renders each diagnostic as an object on a line of its own: `code`, `severity`, `message`, `path`, `line`, `column`,
/// `end_line`, `end_column`, `labels` (the other places), `help`, and `edits`: the mend as changes of the text, each a place
/// and its `replacement`, where it needs no thought.
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let mut places = diagnostic.labels.iter().map(|label| place(label, sources));
        let line = JsonDiagnostic {
            code: diagnostic.code,
            severity: diagnostic.severity,
            message: &diagnostic.message,
            place: places.next(),
            labels: places.collect(),
            help: diagnostic.help.as_deref(),
            edits: diagnostic.edits.iter().map(|edit| change(edit, sources)).collect(),
        };
        // Strings and numbers always serialise.
        out.push_str(&serde_json::to_string(&line).unwrap_or_default());
        out.push('\n');
    }
    out
}

fn change<'a>(edit: &'a Edit, sources: &Sources) -> JsonEdit<'a> {
    JsonEdit { place: place_of(edit.span, "", sources), replacement: &edit.replacement }
}

fn place<'a>(label: &'a Label, sources: &Sources) -> JsonPlace<'a> {
    place_of(label.span, &label.message, sources)
}

fn place_of<'a>(span: Span, message: &'a str, sources: &Sources) -> JsonPlace<'a> {
    let (start, end) = (sources.position(span), sources.end_position(span));
    JsonPlace {
        path: sources.get(span.source).map(|source| source.path.display().to_string()).unwrap_or_default(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        label: (!message.is_empty()).then_some(message),
    }
}
