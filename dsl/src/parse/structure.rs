//! Nests lines into blocks.
//!
//! Where the braces of a file do not balance, its indentation shows where one is missing or too many, so that the
//! mistake is reported at its place and the rest of the file is read as it was meant.

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, quoted};
use crate::parse::MAX_DEPTH;
use crate::parse::lines::{Event, EventKind};
use crate::source::{Source, Span};
use crate::tree::{Block, Comment, Item, ItemKind, Node, Tree};
use crate::vocabulary::Place;

/// Makes a tree of the lines of a file.
pub(super) fn nest<'t>(source: &'t Source, events: Vec<Event<'t>>, sink: &mut Sink) -> Tree<'t> {
    let events = drop_braces_of_unclosed_texts(source, events);
    let surplus = surplus(&events);
    let indented = surplus != 0 && is_indented(source, &events);
    let mut builder = Builder {
        source,
        indents: Indents::new(source),
        sink,
        surplus,
        indented,
        root: Level::default(),
        stack: Vec::new(),
        comments: Vec::new(),
        last_end: 0,
        skipping: 0,
        too_deep: false,
    };
    for event in events {
        builder.take(event);
    }
    builder.finish()
}

/// A `}` behind a text without closing quote belongs to the text, unless its block began on the same line.
fn drop_braces_of_unclosed_texts<'t>(source: &Source, events: Vec<Event<'t>>) -> Vec<Event<'t>> {
    let (mut line, mut opened, mut unclosed) = (0, 0_usize, false);
    let mut keep = |event: &Event<'t>| {
        let at = source.line(event.span.start as usize);
        if at != line {
            (line, opened, unclosed) = (at, 0, false);
        }
        match &event.kind {
            EventKind::Line { items, open, .. } => {
                opened += usize::from(open.is_some());
                unclosed |= matches!(items.last(), Some(Item { kind: ItemKind::Broken(_), .. }));
            }
            EventKind::Close if opened > 0 => opened -= 1,
            EventKind::Close => return !unclosed,
            EventKind::Comment(_) => {}
        }
        true
    };
    events.into_iter().filter(|event| keep(event)).collect()
}

/// Opening braces without a closing one; negative: closing braces without an opening one.
fn surplus(events: &[Event<'_>]) -> i64 {
    events
        .iter()
        .map(|event| match &event.kind {
            EventKind::Line { open: Some(_), .. } => 1,
            EventKind::Close => -1,
            _ => 0,
        })
        .sum()
}

/// Whether most blocks begin with a line that stands further right than the block's own.
fn is_indented(source: &Source, events: &[Event<'_>]) -> bool {
    let mut indents = Indents::new(source);
    let (mut deeper, mut others) = (0_usize, 0_usize);
    let mut opener: Option<usize> = None;
    for event in events {
        let EventKind::Line { open, .. } = &event.kind else {
            if matches!(event.kind, EventKind::Close) {
                opener = None;
            }
            continue;
        };
        let indent = indents.of(event.span);
        if let (Some(outer), (inner, true)) = (opener, indent) {
            if inner > outer { deeper += 1 } else { others += 1 }
        }
        opener = open.map(|_| indent.0);
    }
    deeper > others
}

/// The indents of lines, in blanks. The last line is remembered, so that its blanks are counted once.
struct Indents<'t> {
    source: &'t Source,
    line: Option<usize>,
    blanks: usize,
}

impl<'t> Indents<'t> {
    fn new(source: &'t Source) -> Self {
        Self { source, line: None, blanks: 0 }
    }

    /// The indent of the line of a span, and whether the span is the first on it.
    fn of(&mut self, span: Span) -> (usize, bool) {
        let line = self.source.line(span.start as usize);
        if self.line != Some(line) {
            let text = self.source.line_text(line);
            self.blanks = text.len() - text.trim_start().len();
            self.line = Some(line);
        }
        (self.blanks, self.source.line_start(line) + self.blanks == span.start as usize)
    }
}

/// Nodes of one depth, while they are collected.
#[derive(Default)]
struct Level<'t> {
    nodes: Vec<Node<'t>>,
    broken: bool,
}

/// A block that is open.
struct Frame<'t> {
    node: Node<'t>,
    open: Span,
    comment: Option<&'t str>,
    indent: usize,
    level: Level<'t>,
}

struct Builder<'t, 's> {
    source: &'t Source,
    indents: Indents<'t>,
    sink: &'s mut Sink,
    surplus: i64,
    indented: bool,
    root: Level<'t>,
    stack: Vec<Frame<'t>>,
    /// Comments that wait for the node below them.
    comments: Vec<Comment<'t>>,
    /// The end of the event before this one.
    last_end: usize,
    /// The open braces below the greatest depth.
    skipping: usize,
    too_deep: bool,
}

impl<'t> Builder<'t, '_> {
    fn take(&mut self, event: Event<'t>) {
        let gap = self.source.text.get(self.last_end..event.span.start as usize).unwrap_or_default();
        let line_ends = gap.matches('\n').count();
        self.last_end = event.span.end as usize;
        match event.kind {
            EventKind::Comment(text) => self.comment(text, line_ends),
            EventKind::Close => self.close(event.span),
            EventKind::Line { items, open, broken } => {
                if let Some(open) = open {
                    self.last_end = open.end as usize;
                }
                self.line(items, open, broken, event.span, line_ends > 1);
            }
        }
    }

    fn level(&mut self) -> &mut Level<'t> {
        self.stack.last_mut().map_or(&mut self.root, |frame| &mut frame.level)
    }

    /// A comment belongs to what stands before it on its line, else to what follows.
    fn comment(&mut self, text: &'t str, line_ends: usize) {
        let first = self.stack.is_empty() && self.root.nodes.is_empty();
        if line_ends == 0 && self.skipping == 0 && self.comments.is_empty() {
            if let Some(frame) = self.stack.last_mut()
                && frame.level.nodes.is_empty()
            {
                if frame.comment.is_none() {
                    frame.comment = Some(text);
                    return;
                }
            } else if let Some(node) = self.level().nodes.last_mut()
                && node.comment.is_none()
            {
                node.comment = Some(text);
                return;
            }
        }
        let blank_before = line_ends > 1 && !(first && self.comments.is_empty());
        self.comments.push(Comment { text, blank_before });
    }

    fn line(&mut self, items: Vec<Item<'t>>, open: Option<Span>, broken: bool, span: Span, blank_before: bool) {
        if self.skipping > 0 {
            self.skipping += usize::from(open.is_some());
            return;
        }
        self.repair_before_line(&items, open.is_some(), span);
        let (indent, _) = self.indents.of(span);
        let comments = std::mem::take(&mut self.comments);
        if broken {
            self.level().broken = true;
        }
        let mut node = Node { comments, blank_before, items, block: None, comment: None, span, broken };
        let Some(open) = open else {
            self.level().nodes.push(node);
            return;
        };
        if self.stack.len() >= MAX_DEPTH {
            self.skip_deeper(open);
            return;
        }
        if node.items.is_empty() {
            node = self.adopt(node, open);
        }
        self.stack.push(Frame { node, open, comment: None, indent, level: Level::default() });
    }

    fn skip_deeper(&mut self, open: Span) {
        self.skipping = 1;
        self.level().broken = true;
        if !self.too_deep {
            self.too_deep = true;
            self.sink.push(
                Diagnostic::new(codes::TOO_DEEP, open, "blocks are nested too deeply")
                    .help(format!("a block stands in at most {MAX_DEPTH} others")),
            );
        }
    }

    /// A brace on a line of its own belongs to the node above it, and should stand on its line.
    fn adopt(&mut self, bare: Node<'t>, open: Span) -> Node<'t> {
        let level = self.level();
        level.broken = true;
        let adoptable = level.nodes.last().is_some_and(|node| node.block.is_none() && !node.broken);
        let owner = if adoptable { level.nodes.pop() } else { None };
        let report = Diagnostic::new(codes::NO_WORD, open, "a line begins with `{`");
        let report = match &owner {
            Some(owner) => report.also(owner.span, "the word of the block").help("write `{` on the line of its word"),
            None => report.help("a block follows a word, on its line"),
        };
        self.sink.push(report);
        owner.unwrap_or(Node { broken: true, ..bare })
    }

    /// A line that stands no further right than an open block's own line is not in that block.
    fn repair_before_line(&mut self, items: &[Item<'t>], opens: bool, span: Span) {
        let (column, first) = self.indents.of(span);
        if self.surplus <= 0 || !first {
            return;
        }
        let declaration = opens
            && items.len() > 1
            && matches!(items.first().map(|item| &item.kind), Some(ItemKind::Word(word)) if Place::File.find(word).is_some());
        while self.surplus > 0
            && self.stack.last().is_some_and(|frame| if self.indented { frame.indent >= column } else { declaration })
        {
            self.pop_unclosed();
        }
    }

    fn close(&mut self, span: Span) {
        if self.skipping > 0 {
            self.skipping -= 1;
            return;
        }
        let (column, first) = self.indents.of(span);
        if self.indented && first {
            while self.surplus > 0 && self.stack.last().is_some_and(|frame| frame.indent > column) {
                self.pop_unclosed();
            }
        }
        let stray = match self.stack.last() {
            None => true,
            Some(frame) => self.indented && first && self.surplus < 0 && frame.indent < column,
        };
        if stray {
            self.surplus += 1;
            self.level().broken = true;
            self.sink.push(
                Diagnostic::new(codes::STRAY_BRACE, span, "`}` closes no block")
                    .help("remove it, or write `{` where the block begins"),
            );
        } else {
            self.pop(Some(span));
        }
    }

    fn pop_unclosed(&mut self) {
        self.surplus -= 1;
        let Some(frame) = self.stack.last_mut() else { return };
        frame.level.broken = true;
        let (from, to) = (frame.node.span.start as usize, frame.node.span.end as usize);
        let head = self.source.text.get(from..to).unwrap_or_default();
        self.sink.push(
            Diagnostic::new(codes::UNCLOSED_BLOCK, frame.open, format!("the block of {} is not closed", quoted(head)))
                .help("write `}` where the block ends"),
        );
        self.pop(None);
    }

    /// Ends the innermost block.
    fn pop(&mut self, close: Option<Span>) {
        let Some(frame) = self.stack.pop() else { return };
        let Frame { mut node, open, comment, level, .. } = frame;
        let end = std::mem::take(&mut self.comments);
        let one_line =
            close.is_some_and(|close| self.source.line(open.start as usize) == self.source.line(close.start as usize));
        node.block = Some(Block { open, nodes: level.nodes, comment, end, one_line, broken: level.broken });
        let outer = self.level();
        outer.broken |= level.broken && close.is_none();
        outer.nodes.push(node);
    }

    fn finish(mut self) -> Tree<'t> {
        if self.skipping > 0 {
            // One report is enough: the braces below the greatest depth were not looked at.
            while !self.stack.is_empty() {
                self.root.broken = true;
                self.pop(None);
            }
        }
        while !self.stack.is_empty() {
            self.pop_unclosed();
        }
        Tree { nodes: self.root.nodes, end: self.comments, broken: self.root.broken }
    }
}
