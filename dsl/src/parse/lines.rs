//! Reads lines, braces and comments off the grammar's tokens.

use pest::Parser;
use pest::iterators::Pair;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, quoted};
use crate::source::{Source, SourceId, Span, offset};
use crate::tree::{Comma, Element, Item, ItemKind, List};

#[derive(pest_derive::Parser)]
#[grammar = "grammar.pest"]
struct Grammar;

/// An event of a file: nodes, blocks and comments in order.
pub(super) struct Event<'t> {
    pub(super) kind: EventKind<'t>,
    pub(super) span: Span,
}

/// The kind of an [`Event`].
pub(super) enum EventKind<'t> {
    /// A comment outside of arguments.
    Comment(&'t str),
    /// A node without what stands in its block.
    Line { items: Vec<Item<'t>>, open: Option<Span>, broken: bool },
    /// `}`
    Close,
}

/// All events of a text.
pub(super) fn read<'t>(id: SourceId, source: &'t Source, sink: &mut Sink) -> Vec<Event<'t>> {
    let mut reader = Reader { id, text: &source.text, sink, broken: false };
    let Ok(file) = Grammar::parse(Rule::file, &source.text) else {
        // The grammar takes every text; should it ever not, this is a mistake to report, not to hide.
        let span = Span { source: id, start: 0, end: 0 };
        reader.sink.push(Diagnostic::new(codes::NO_WORD, span, "the file cannot be read as a policy"));
        return Vec::new();
    };
    file.flat_map(Pair::into_inner).filter_map(|pair| reader.event(pair)).collect()
}

struct Reader<'t, 's> {
    id: SourceId,
    text: &'t str,
    sink: &'s mut Sink,
    /// Whether the node at hand holds a mistake of form.
    broken: bool,
}

impl<'t> Reader<'t, '_> {
    fn span(&self, pair: &Pair<'t, Rule>) -> Span {
        let span = pair.as_span();
        Span { source: self.id, start: offset(span.start()), end: offset(span.end()) }
    }

    fn event(&mut self, pair: Pair<'t, Rule>) -> Option<Event<'t>> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::comment => EventKind::Comment(pair.as_str().trim_end()),
            Rule::close => EventKind::Close,
            Rule::node => return Some(self.line(pair)),
            _ => return None,
        };
        Some(Event { kind, span })
    }

    fn line(&mut self, pair: Pair<'t, Rule>) -> Event<'t> {
        let whole = self.span(&pair);
        self.broken = false;
        let mut items: Vec<Item<'t>> = Vec::new();
        let mut open = None;
        for inner in pair.into_inner() {
            if inner.as_rule() == Rule::open {
                open = Some(self.span(&inner));
            } else {
                items.push(self.item(inner));
            }
        }
        self.check_commas(&items);
        let span = match (items.first(), items.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => whole,
        };
        Event { kind: EventKind::Line { items, open, broken: self.broken }, span }
    }

    fn item(&mut self, pair: Pair<'t, Rule>) -> Item<'t> {
        let mut span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::comma => {
                let line_end = pair.as_str().contains('\n');
                span = span.part(0, 1);
                let comments = pair.into_inner().map(|comment| comment.as_str().trim_end()).collect();
                ItemKind::Comma(Comma { line_end, comments })
            }
            Rule::list | Rule::inner => ItemKind::List(self.list(pair)),
            Rule::text => ItemKind::Text(pair.as_str()),
            Rule::unclosed | Rule::unclosed_piece => {
                self.report(
                    Diagnostic::new(codes::UNCLOSED_TEXT, span, "this text has no closing quote")
                        .help("write `\"` where the text ends; a text ends on the line that it begins on"),
                );
                ItemKind::Broken(pair.as_str())
            }
            Rule::stray => {
                // Behind another mistake it is that one's other half.
                if !self.broken {
                    self.report(
                        Diagnostic::new(codes::BRACKET, span, "`]` closes no list")
                            .help("remove it, or write `[` where the list begins"),
                    );
                }
                ItemKind::Broken(pair.as_str())
            }
            Rule::nested => {
                self.report(
                    Diagnostic::new(codes::BRACKET, span, "a list stands in a list").help("a list holds values only"),
                );
                ItemKind::Broken(pair.as_str())
            }
            _ => ItemKind::Word(self.word(pair.as_str(), span)),
        };
        Item { kind, span }
    }

    /// Reports what no word of a policy can hold: quotes that are not ours, blanks that are not seen.
    fn word(&mut self, word: &'t str, span: Span) -> &'t str {
        let odd = word.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace() || "“”„‘’`'".contains(*c));
        if let Some((at, c)) = odd {
            let span = span.part(at, at + c.len_utf8());
            let shown = if c.is_control() || c.is_whitespace() { format!("U+{:04X}", c as u32) } else { c.to_string() };
            let help =
                if c.is_whitespace() { "write a plain space" } else { "a text stands in double quotes: `\"…\"`" };
            self.report(
                Diagnostic::new(codes::NO_WORD, span, format!("no word holds the character {}", quoted(&shown)))
                    .help(help),
            );
        }
        word
    }

    fn list(&mut self, pair: Pair<'t, Rule>) -> List<'t> {
        let open = self.span(&pair).part(0, 1);
        let was_broken = std::mem::replace(&mut self.broken, false);
        let mut list = List::default();
        let mut comments = Vec::new();
        let (mut closed, mut after_comma, mut last_end) = (false, true, open.end as usize);
        for inner in pair.into_inner() {
            let span = self.span(&inner);
            let own_line = self.text.get(last_end..span.start as usize).is_none_or(|gap| gap.contains('\n'));
            match inner.as_rule() {
                Rule::comment => match list.elements.last_mut() {
                    Some(last) if !own_line && last.comment.is_none() => last.comment = Some(inner.as_str().trim_end()),
                    _ => comments.push(inner.as_str().trim_end()),
                },
                Rule::element | Rule::plain => {
                    let items = inner.into_inner().map(|item| self.item(item)).collect();
                    list.elements.push(Element { comments: std::mem::take(&mut comments), items, comment: None });
                    after_comma = false;
                }
                Rule::list_comma => {
                    if after_comma {
                        self.report(
                            Diagnostic::new(codes::COMMA, span, "nothing stands before this comma")
                                .help("remove the comma")
                                .edit(span, ""),
                        );
                    }
                    after_comma = true;
                }
                _ => closed = true,
            }
            last_end = span.end as usize;
        }
        list.end = comments;
        if !closed && !self.broken {
            self.report(
                Diagnostic::new(codes::BRACKET, open, "this list has no closing bracket")
                    .help("write `]` where the list ends, and a comma between its values"),
            );
        }
        self.broken |= was_broken;
        list
    }

    /// A comma stands between two arguments.
    fn check_commas(&mut self, items: &[Item<'t>]) {
        if self.broken {
            return;
        }
        for (at, item) in items.iter().enumerate() {
            if !matches!(item.kind, ItemKind::Comma(_)) {
                continue;
            }
            let before = at.checked_sub(1).and_then(|at| items.get(at));
            let stray = |other: Option<&Item<'_>>| other.is_none_or(|item| matches!(item.kind, ItemKind::Comma(_)));
            if stray(before) || stray(items.get(at + 1)) {
                self.report(
                    Diagnostic::new(codes::COMMA, item.span, "this comma separates nothing")
                        .help("remove the comma")
                        .edit(item.span, ""),
                );
                return;
            }
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.broken = true;
        self.sink.push(diagnostic);
    }
}
