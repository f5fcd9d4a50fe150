//! The lines of a block: each begins with a word of its place.

use std::collections::HashMap;

use super::args::{Args, Line};
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::source::Span;
use crate::tree::{Block, Item, ItemKind, Node};
use crate::vocabulary::{Place, Word};

/// The lines of a block that could be read.
pub(super) struct Lines<'n, 't> {
    pub(super) all: Vec<Line<'n, 't>>,
    /// Whether every line could be read: then a word that is not here is missing.
    pub(super) whole: bool,
}

impl<'t> Checker<'_, 't> {
    /// The lines of a block.
    pub(super) fn lines<'n>(&mut self, block: &'n Block<'t>, place: Place) -> Lines<'n, 't> {
        let mut lines = self.lines_of(&block.nodes, place, &mut HashMap::new());
        lines.whole &= !block.broken;
        lines
    }

    /// The nodes whose words belong to a place. Broken nodes were reported, and are passed over. `first` holds where
    /// each word stood first that may stand once.
    pub(super) fn lines_of<'n>(
        &mut self,
        nodes: &'n [Node<'t>],
        place: Place,
        first: &mut HashMap<&'static str, Span>,
    ) -> Lines<'n, 't> {
        let mut lines = Lines { all: Vec::new(), whole: nodes.iter().all(|node| !node.broken) };
        let mut before: Option<&Node<'t>> = None;
        for node in nodes.iter().filter(|node| !node.broken) {
            if before.replace(node).is_some_and(|before| self.goes_on_with(before, node)) {
                continue;
            }
            let parts = self.split_at_swallowed(node, place);
            let count = parts.len();
            for (at, items) in parts.into_iter().enumerate() {
                if self.sink.full() {
                    return lines;
                }
                let block = if at + 1 == count { node.block.as_ref() } else { None };
                if self.foreign_comment(items, block) {
                    continue;
                }
                let Some(word) = self.word(items, node, place) else {
                    lines.whole = false;
                    continue;
                };
                if self.sign_behind_word(items) {
                    lines.whole = false;
                    continue;
                }
                let args = Args::new(word, items, block, node);
                if !word.repeats {
                    if let Some(before) = first.get(word.name) {
                        self.report(
                            Diagnostic::new(
                                codes::REPEATED_WORD,
                                args.head,
                                format!("{} stands twice", quoted(word.name)),
                            )
                            .also(*before, "it stands here first")
                            .help("remove one of the two"),
                        );
                        continue;
                    }
                    first.insert(word.name, args.head);
                }
                lines.all.push(Line { word, args });
            }
        }
        lines
    }

    /// The word that a node begins with.
    fn word(&mut self, items: &[Item<'t>], node: &Node<'t>, place: Place) -> Option<&'static Word> {
        let first = items.first()?;
        if let ItemKind::Word(word) = first.kind {
            if place.find(word).is_none() && self.foreign_line(word, items, place) {
                return None;
            }
            return self.find_word(word, first.span, place);
        }
        let what = match first.kind {
            ItemKind::Text(_) => "a text",
            ItemKind::List(_) => "a list",
            _ => "no word",
        };
        self.report(
            Diagnostic::new(codes::NO_WORD, first.span, format!("a line begins with {what}"))
                .here(format!("expected a word that stands {}", place.title()))
                .maybe_help(node.block.is_none().then(|| "every line begins with a word of the language".to_owned())),
        );
        None
    }

    /// Reports a word that must stand in a block, unless something unreadable stands there.
    pub(super) fn must_have(&mut self, args: &Args<'_, 't>, whole: bool, what: &str, help: &str) {
        if whole {
            self.report(
                Diagnostic::new(codes::MISSING_WORD, args.span(), format!("{} lacks {what}", quoted(args.of.name)))
                    .help(help),
            );
        }
    }
}
