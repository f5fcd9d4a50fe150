//! Answers to questions about the cursor: completion, hover, definition; and the outline of a document.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionParams, CompletionTextEdit, Diagnostic, DocumentSymbol,
    DocumentSymbolParams, Documentation, GotoDefinitionParams, Hover, HoverContents, HoverParams, Location,
    MarkupContent, MarkupKind, NumberOrString, SymbolKind, TextEdit,
};
use tidegate_dsl::codes::Code;
use tidegate_dsl::editor::{Declaration, Expected, Kind, at, declarations, word_at};
use tidegate_dsl::reference;
use tidegate_dsl::vocabulary::{Place, Role, Word};

use super::session::Session;
use super::text::{Lines, path};

/// What may stand at the cursor.
pub(super) fn completion(session: &Session, asked: &CompletionParams) -> Vec<CompletionItem> {
    let asked = &asked.text_document_position;
    let uri = &asked.text_document.uri;
    let Some((text, offset)) = session.place(uri, asked.position) else { return Vec::new() };
    let cursor = at(text, offset);
    let range = Lines::of(text).range(cursor.start, cursor.end);
    let mut items: Vec<CompletionItem> = Vec::new();
    for expected in &cursor.expected {
        match expected {
            Expected::Word(place) => {
                items.extend(place.words().iter().map(|word| of_word(*place, word)));
            }
            Expected::Value(values) => items.extend(values.iter().map(|value| CompletionItem {
                label: (*value).to_owned(),
                kind: Some(CompletionItemKind::VALUE),
                ..CompletionItem::default()
            })),
            Expected::Name(_) | Expected::Rule => {
                let declared = session.declarations(uri).into_iter().map(|(_, _, found)| found);
                items.extend(declared.filter(|found| meant(*expected, found)).map(|found| CompletionItem {
                    label: found.name,
                    kind: Some(CompletionItemKind::REFERENCE),
                    detail: Some(kind_of(found.kind).to_owned()),
                    ..CompletionItem::default()
                }));
            }
        }
    }
    for (at, item) in items.iter_mut().enumerate() {
        // In the order of the vocabulary, which puts what is needed first.
        item.sort_text = Some(format!("{at:04}"));
        let new_text = item.insert_text.take().unwrap_or_else(|| item.label.clone());
        item.text_edit = Some(CompletionTextEdit::Edit(TextEdit { range, new_text }));
    }
    items
}

fn of_word(place: Place, word: &'static Word) -> CompletionItem {
    let insertion = matches!(place, Place::Insert | Place::ResponseInsert);
    CompletionItem {
        label: word.name.to_owned(),
        // `header` in an insertion goes on with the name.
        insert_text: (insertion && word.arguments.starts_with('.')).then(|| format!("{}.", word.name)),
        kind: Some(match word.role {
            _ if insertion => CompletionItemKind::VARIABLE,
            Role::Outcome | Role::Condition => CompletionItemKind::KEYWORD,
            Role::Step | Role::WayBack => CompletionItemKind::FUNCTION,
            Role::Plain => CompletionItemKind::PROPERTY,
        }),
        detail: Some(word.usage()),
        documentation: Some(Documentation::MarkupContent(markdown(reference::word(place, word)))),
        ..CompletionItem::default()
    }
}

/// What is wrong at the cursor, and what its word means.
pub(super) fn hover(
    session: &Session,
    published: &BTreeMap<PathBuf, Vec<Diagnostic>>,
    asked: &HoverParams,
) -> Option<Hover> {
    let asked = &asked.text_document_position_params;
    let uri = &asked.text_document.uri;
    let (text, offset) = session.place(uri, asked.position)?;
    let cursor = word_at(text, offset);
    let mut parts: Vec<String> = Vec::new();
    let here = |said: &&Diagnostic| said.range.start <= asked.position && asked.position <= said.range.end;
    for said in published.get(&path(uri)).into_iter().flatten().filter(here) {
        if let Some(NumberOrString::String(code)) = &said.code
            && let Some(row) = Code::find(code)
        {
            parts.push(format!("**{code}**: {}\n\n```text\n{}\n```", row.title, row.long.trim_end()));
        }
    }
    if let Some((place, word)) = cursor.word() {
        parts.push(reference::word(place, word));
    } else if let Some((file, text, found)) = declared(session, uri, offset) {
        let line = text.get(found.line.0..found.line.1).unwrap_or_default();
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        parts.push(format!("```tidegate\n{line}\n```\n\ndeclared in `{file}`"));
    }
    let range = Lines::of(text).range(cursor.start, cursor.end);
    let contents = HoverContents::Markup(markdown(parts.join("\n\n---\n\n")));
    (!parts.is_empty()).then_some(Hover { contents, range: Some(range) })
}

/// Where the name at the cursor is declared.
pub(super) fn definition(session: &Session, asked: &GotoDefinitionParams) -> Option<Location> {
    let asked = &asked.text_document_position_params;
    let uri = &asked.text_document.uri;
    let (_, offset) = session.place(uri, asked.position)?;
    let (file, text, found) = declared(session, uri, offset)?;
    Some(Location { uri: session.uri(&file)?, range: Lines::of(&text).range(found.span.0, found.span.1) })
}

fn declared(session: &Session, uri: &lsp_types::Uri, offset: usize) -> Option<(PathBuf, String, Declaration)> {
    let cursor = word_at(session.text(uri)?, offset);
    let names = cursor.expected.iter().any(|expected| matches!(expected, Expected::Name(_) | Expected::Rule));
    let all = if names { session.declarations(uri) } else { Vec::new() };
    all.into_iter().find(|(_, _, found)| {
        found.name == cursor.written && cursor.expected.iter().any(|expected| meant(*expected, found))
    })
}

fn meant(expected: Expected, found: &Declaration) -> bool {
    match expected {
        Expected::Name(kind) => found.kind == Some(kind),
        Expected::Rule => found.kind.is_none(),
        _ => false,
    }
}

fn kind_of(kind: Option<Kind>) -> &'static str {
    kind.map_or("rule", Kind::word)
}

/// The declarations of a document.
pub(super) fn symbols(session: &Session, asked: &DocumentSymbolParams) -> Vec<DocumentSymbol> {
    let Some(text) = session.text(&asked.text_document.uri) else { return Vec::new() };
    let lines = Lines::of(text);
    let symbol = |found: Declaration| {
        #[expect(deprecated, reason = "the field must be written; tags are what counts")]
        DocumentSymbol {
            name: found.name,
            detail: Some(kind_of(found.kind).to_owned()),
            kind: if found.kind.is_some() { SymbolKind::CLASS } else { SymbolKind::METHOD },
            tags: None,
            deprecated: None,
            range: lines.range(found.line.0, found.line.1),
            selection_range: lines.range(found.span.0, found.span.1),
            children: None,
        }
    };
    let mut symbols: Vec<DocumentSymbol> = Vec::new();
    for found in declarations(text) {
        let rule = found.kind.is_none();
        let symbol = symbol(found);
        match symbols.last_mut() {
            Some(rules) if rule => rules.children.get_or_insert_default().push(symbol),
            _ => symbols.push(symbol),
        }
    }
    symbols
}

fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}
