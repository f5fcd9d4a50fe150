//! The names that a text declares.

use std::path::Path;

use crate::check::Kind;
use crate::diagnostic::Sink;
use crate::parse::parse;
use crate::source::{Source, SourceId};
use crate::tree::{Item, ItemKind, Node};

/// A declared name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The kind of the declaration; `None` is a rule.
    pub kind: Option<Kind>,
    /// The name that is declared.
    pub name: String,
    /// The bytes of the name.
    pub span: (usize, usize),
    /// The bytes of its line, without what stands in its block.
    pub line: (usize, usize),
}

/// Every name that a text declares, in the order written. Mistakes elsewhere do not matter.
pub fn declarations(text: &str) -> Vec<Declaration> {
    let source = Source::new(Path::new(""), text.to_owned());
    let tree = parse(SourceId(0), &source, &mut Sink::default());
    let mut all = Vec::new();
    for node in &tree.nodes {
        let Some(kind) = node.word().and_then(Kind::of) else { continue };
        all.extend(declaration(Some(kind), node, if kind == Kind::Listener { 2 } else { 1 }));
        if kind == Kind::Rules {
            let lines = node.block.iter().flat_map(|block| &block.nodes);
            all.extend(lines.filter(|line| line.word() == Some("rule")).filter_map(|line| declaration(None, line, 1)));
        }
    }
    all
}

fn declaration(kind: Option<Kind>, node: &Node<'_>, position: usize) -> Option<Declaration> {
    let Item { kind: ItemKind::Word(name), span } = node.items.get(position)? else { return None };
    let bytes = |start: u32, end: u32| (start as usize, end as usize);
    Some(Declaration {
        kind,
        name: (*name).to_owned(),
        span: bytes(span.start, span.end),
        line: bytes(node.span.start, node.span.end),
    })
}
