//! Texts that were read, and places in them.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// The number of the text of a [`Sources`] that a [`Span`] lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
pub struct SourceId(pub u32);

/// A stretch of a text, as byte offsets; `end` is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// The stretch from the start of `self` to the end of `other`.
    pub fn to(self, other: Self) -> Self {
        Self { end: other.end.max(self.end), ..self }
    }

    /// An empty stretch right behind `self`.
    pub fn after(self) -> Self {
        Self { start: self.end, ..self }
    }

    /// The part of `self` between two offsets that count from its start.
    pub(crate) fn part(self, from: usize, to: usize) -> Self {
        Self { start: self.start + offset(from), end: self.start + offset(to), ..self }
    }
}

/// Offsets fit: a text is at most [`crate::parse::MAX_BYTES`] long.
pub(crate) fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A text, with its path.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path, as it was named.
    pub path: PathBuf,
    /// The whole of it.
    pub text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Indexes the lines of a text.
    pub fn new(path: &Path, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_path_buf(), text, line_starts }
    }

    /// The number of the line that holds a byte, from 0.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// The offset at which a line begins.
    pub(crate) fn line_start(&self, line: usize) -> usize {
        self.line_starts.get(line).copied().unwrap_or(self.text.len())
    }

    /// A line without its end.
    pub(crate) fn line_text(&self, line: usize) -> &str {
        let rest = self.text.get(self.line_start(line)..self.line_start(line + 1)).unwrap_or_default();
        rest.trim_end_matches(['\n', '\r'])
    }
}

/// A place for people: line and column from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

/// Every text that a compilation read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    sources: Vec<Source>,
}

impl Sources {
    /// Adds a text.
    pub fn add(&mut self, path: &Path, text: String) -> SourceId {
        self.sources.push(Source::new(path, text));
        SourceId(offset(self.sources.len() - 1))
    }

    /// The text with this id; `None` for an id of other sources.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// Every text, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.sources.iter().enumerate().map(|(at, source)| (SourceId(offset(at)), source))
    }

    /// The text of a span; empty where the span lies outside.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.source)
            .and_then(|source| source.text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }

    /// Line and column of a span's first character.
    pub fn position(&self, span: Span) -> Position {
        self.place(span.source, span.start)
    }

    /// Line and column behind a span's last character.
    pub fn end_position(&self, span: Span) -> Position {
        self.place(span.source, span.end)
    }

    fn place(&self, id: SourceId, at: u32) -> Position {
        let Some(source) = self.get(id) else { return Position { line: 1, column: 1 } };
        let at = (at as usize).min(source.text.len());
        let line = source.line(at);
        let before = source.text.get(source.line_start(line)..at).unwrap_or_default();
        Position { line: line + 1, column: before.chars().count() + 1 }
    }
}
