//! What changes a document: its layout, and mends that need no thought.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lsp_types::{CodeActionOrCommand, CodeActionParams, Diagnostic, DocumentFormattingParams, TextEdit};

use super::diagnostics;
use super::session::Session;
use super::text::{Lines, path};

/// The one layout; nothing, if the document has it or cannot be read.
pub(super) fn format(session: &Session, asked: &DocumentFormattingParams) -> Vec<TextEdit> {
    let Some(text) = session.text(&asked.text_document.uri) else { return Vec::new() };
    match tidegate_dsl::format(text) {
        Ok(new_text) if new_text != text => vec![TextEdit { range: Lines::of(text).whole(), new_text }],
        _ => Vec::new(),
    }
}

/// The mends at a place of a document. What was typed since the last check may stand elsewhere: then there are none.
pub(super) fn mends(
    session: &Session,
    published: &BTreeMap<PathBuf, Vec<Diagnostic>>,
    asked: &CodeActionParams,
) -> Vec<CodeActionOrCommand> {
    let uri = &asked.text_document.uri;
    if !session.is_checked(uri) {
        return Vec::new();
    }
    let of_file = published.get(&path(uri)).map(Vec::as_slice).unwrap_or_default();
    diagnostics::mends(uri, of_file, asked.range)
}
