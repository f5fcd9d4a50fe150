//! The nodes that are still open where a text ends: what an editor knows of a file above its cursor.

use std::path::Path;

use super::MAX_BYTES;
use super::lines::{EventKind, read};
use crate::diagnostic::Sink;
use crate::source::{Source, SourceId};
use crate::tree::{Item, ItemKind};

/// The open end of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// The lines whose blocks are open, outermost first.
    pub(crate) blocks: Vec<Vec<Token>>,
    /// The line that has not ended, up to the end of the text; a text that is still open is its last token.
    pub(crate) line: Vec<Token>,
    /// The text ends in a comment.
    pub(crate) comment: bool,
}

/// A piece of a line, for one who looks at words only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word, or a broken one that looks so.
    Word(String),
    /// A quoted text; perhaps without its closing quote.
    Text(String),
    /// `[`, of a list that is not closed; its elements follow.
    Open,
    /// A list that is closed.
    List,
    /// A comma.
    Comma,
}

/// Reads a text to its open end. Mistakes of form are passed over.
pub(crate) fn open_end(text: &str) -> Open {
    let mut open = Open { blocks: Vec::new(), line: Vec::new(), comment: false };
    if text.len() >= MAX_BYTES {
        return open;
    }
    // As if one more letter were typed: then what ends where the text does is told from what goes on.
    let source = Source::new(Path::new(""), format!("{text}{MARK}"));
    let mut events = read(SourceId(0), &source, &mut Sink::default());
    let last = events.pop();
    for event in events {
        match event.kind {
            EventKind::Line { items, open: Some(_), .. } => open.blocks.push(tokens(&source.text, &items)),
            EventKind::Close => _ = open.blocks.pop(),
            _ => {}
        }
    }
    match last.map(|event| event.kind) {
        Some(EventKind::Line { items, .. }) => open.line = tokens(&source.text, &items),
        last => open.comment = matches!(last, Some(EventKind::Comment(_))),
    }
    match open.line.last_mut() {
        Some(Token::Word(word)) if word.len() == 1 => _ = open.line.pop(),
        Some(Token::Word(word) | Token::Text(word)) => _ = word.pop(),
        _ => {}
    }
    open
}

/// The letter.
const MARK: char = 'x';

fn tokens(text: &str, items: &[Item<'_>]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for item in items {
        match &item.kind {
            ItemKind::Word(word) => tokens.push(Token::Word((*word).to_owned())),
            ItemKind::Text(quoted) => tokens.push(Token::Text((*quoted).to_owned())),
            ItemKind::Broken(broken) if broken.starts_with('"') => tokens.push(Token::Text((*broken).to_owned())),
            ItemKind::Broken(broken) => tokens.push(Token::Word((*broken).to_owned())),
            ItemKind::Comma(_) => tokens.push(Token::Comma),
            ItemKind::List(list) => {
                let written = text.get(item.span.start as usize..item.span.end as usize).unwrap_or_default().trim_end();
                if written.ends_with(']') {
                    tokens.push(Token::List);
                    continue;
                }
                tokens.push(Token::Open);
                for (at, element) in list.elements.iter().enumerate() {
                    if at > 0 {
                        tokens.push(Token::Comma);
                    }
                    tokens.extend(self::tokens(text, &element.items));
                }
                if written.ends_with(',') {
                    tokens.push(Token::Comma);
                }
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        open_end(text).line.iter().map(|token| format!("{token:?} ")).collect()
    }

    #[test]
    fn lines_end_where_they_end() {
        assert_eq!(line("a b"), "Word(\"a\") Word(\"b\") ");
        assert_eq!(line("a b "), "Word(\"a\") Word(\"b\") ");
        assert_eq!(line("a b\n"), "");
        assert_eq!(line("a b;"), "");
        assert_eq!(line("a b,\n  "), "Word(\"a\") Word(\"b\") Comma ");
        assert_eq!(line("a [b,\n  "), "Word(\"a\") Open Word(\"b\") Comma ");
        assert_eq!(line("a [\n"), "Word(\"a\") Open ");
        assert_eq!(line("a [b] c"), "Word(\"a\") List Word(\"c\") ");
        assert_eq!(line("a \"b ${ho"), "Word(\"a\") Text(\"\\\"b ${ho\") ");
        assert_eq!(line("a { b } "), "");
    }

    #[test]
    fn blocks_are_open_until_they_are_closed() {
        let open = open_end("a b {\n c { d }\n e {\n  f");
        assert_eq!(open.blocks.len(), 2, "{open:?}");
        assert_eq!(open.line, [Token::Word("f".to_owned())]);
        assert!(open_end("a # b").comment && !open_end("a # b\n").comment);
    }
}
