//! Answers for an editor about a policy while it is written: what may stand at the cursor, what a word means, where a
//! name is declared. The text may be anything; it is mostly half a policy.

mod legal;
mod names;

pub use crate::check::Kind;
pub use names::{Declaration, declarations};

use crate::parse::{Token, open_end};
use crate::vocabulary::{Place, Word};

/// A word or value that may stand somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// A word of a place.
    Word(Place),
    /// The name of something that is declared.
    Name(Kind),
    /// The name of a rule.
    Rule,
    /// A value of a few that have no place of their own.
    Value(&'static [&'static str]),
}

/// The cursor in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<'t> {
    /// The part of the word at the cursor that stands before the cursor; empty between words.
    pub written: &'t str,
    /// The byte where that word begins.
    pub start: usize,
    /// The byte where it ends; behind the cursor, if that stands within the word.
    pub end: usize,
    /// The words and values that may stand there; none where the language does not know, such as in a text or a number.
    pub expected: Vec<Expected>,
}

/// Looks at a byte offset of a text; one that lies outside of it, or within a character, means the next place before it.
pub fn at(text: &str, offset: usize) -> Cursor<'_> {
    let offset = text.floor_char_boundary(offset);
    let (before, behind) = text.split_at(offset);
    let open = open_end(before);
    let place = legal::place(&open.blocks);
    if let Some(Token::Text(quoted)) = open.line.last()
        && before.ends_with(quoted.as_str())
        && !closed(quoted)
    {
        return in_text(place, before, quoted, behind);
    }
    let start = before.rfind(|c| !bare(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let end = offset + behind.find(|c| !bare(c)).unwrap_or(behind.len());
    let written = &before[start..];
    let mut line = open.line.as_slice();
    if !written.is_empty()
        && let Some((Token::Word(_), rest)) = line.split_last()
    {
        line = rest;
    }
    let expected = match place {
        Some(place) if !open.comment && !follows_text(before, start) => legal::expected(place, line),
        _ => Vec::new(),
    };
    Cursor { written, start, end, expected }
}

/// The whole word at an offset: the cursor at its end.
pub fn word_at(text: &str, offset: usize) -> Cursor<'_> {
    let cursor = at(text, offset);
    if cursor.end == offset { cursor } else { at(text, cursor.end) }
}

impl Cursor<'_> {
    /// The word of the language that is written, with its place.
    pub fn word(&self) -> Option<(Place, &'static Word)> {
        // Of `header.user-agent` in an insertion the word is `header`.
        let name = self.written.split('.').next().unwrap_or_default();
        self.expected.iter().find_map(|expected| match expected {
            Expected::Word(place @ (Place::Insert | Place::ResponseInsert | Place::LogInsert)) => {
                Some((*place, place.find(name)?))
            }
            Expected::Word(place) => Some((*place, place.find(self.written)?)),
            _ => None,
        })
    }
}

/// The cursor in a text that is not closed: in an insertion, perhaps.
fn in_text<'t>(place: Option<Place>, before: &'t str, quoted: &str, behind: &'t str) -> Cursor<'t> {
    let offset = before.len();
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let start = before.rfind(|c| !part(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let begins = |mark: &str| before[..start].ends_with(mark) && start >= offset - quoted.len() + mark.len();
    let insert = match place {
        Some(Place::OnResponse | Place::ResponseSubject) => Place::ResponseInsert,
        Some(Place::AccessLog) => Place::LogInsert,
        _ => Place::Insert,
    };
    if !begins("${") || begins("$${") {
        return Cursor { written: "", start: offset, end: offset, expected: Vec::new() };
    }
    let end = offset + behind.find(|c| !part(c)).unwrap_or(behind.len());
    Cursor { written: &before[start..], start, end, expected: vec![Expected::Word(insert)] }
}

/// Whether a quoted text has its closing quote.
fn closed(quoted: &str) -> bool {
    let inner = quoted.strip_prefix('"').unwrap_or(quoted);
    inner.strip_suffix('"').is_some_and(|inner| {
        let slashes = inner.bytes().rev().take_while(|b| *b == b'\\').count();
        slashes % 2 == 0
    })
}

/// Whether the cursor stands right behind a text, where nothing can begin.
fn follows_text(before: &str, start: usize) -> bool {
    before[..start].ends_with('"')
}

/// Whether a bare word may have the character, as `bare` of the grammar says.
fn bare(c: char) -> bool {
    !matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{FEFF}' | '{' | '}' | '[' | ']' | ',' | ';' | '#' | '"')
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests")]
mod tests;
