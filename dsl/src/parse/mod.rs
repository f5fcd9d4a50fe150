//! Text to tree. Never fails: what cannot be read is reported, and stays in the tree as a broken node.
//!
//! The grammar makes lines (`lines.rs` reads them off), `structure.rs` nests them into blocks and repairs what a
//! missing or stray brace would spoil.

mod lines;
mod open;
mod structure;

pub(crate) use self::open::{Token, open_end};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::source::{Source, SourceId, Span};
use crate::tree::Tree;

/// Bytes in a file. Policies of ten thousand rules stay under 2 MiB; the grammar's tokens of a file of only
/// punctuation take about a hundred times its size.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Blocks within blocks. The language itself needs six; the rest is for configurations of extensions and for `any`
/// in `all`. Later stages recurse over blocks, so this also bounds their stack.
pub(crate) const MAX_DEPTH: usize = 64;

/// Reads a text into a tree.
pub(crate) fn parse<'t>(id: SourceId, source: &'t Source, sink: &mut Sink) -> Tree<'t> {
    if source.text.len() > MAX_BYTES {
        sink.push(
            Diagnostic::new(codes::TOO_LARGE, Span { source: id, start: 0, end: 0 }, "the file is too large")
                .help(format!("a policy file is at most {} MiB", MAX_BYTES / (1024 * 1024))),
        );
        return Tree { broken: true, ..Tree::default() };
    }
    let events = lines::read(id, source, sink);
    structure::nest(source, events, sink)
}
