//! The tree of a file, word for word: nodes, arguments, blocks, comments, each with its span.
//!
//! The tree knows nothing of the language's words. Mistakes of form stay in it as broken nodes, so that all the rest
//! can be checked.

use crate::source::Span;

/// A file.
#[derive(Debug, Default)]
pub(crate) struct Tree<'t> {
    /// The nodes at top level.
    pub(crate) nodes: Vec<Node<'t>>,
    /// Comments after the last node.
    pub(crate) end: Vec<Comment<'t>>,
    /// Something in the file could not be nested rightly: what seems missing may be there.
    pub(crate) broken: bool,
}

/// A comment on lines of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comment<'t> {
    /// The text of the comment, with `#`, without blanks at its end.
    pub(crate) text: &'t str,
    /// Whether an empty line stands before the comment.
    pub(crate) blank_before: bool,
}

/// A word, its arguments, perhaps a block.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    /// Comments on the lines above.
    pub(crate) comments: Vec<Comment<'t>>,
    /// Whether an empty line stands right above.
    pub(crate) blank_before: bool,
    /// The word and its arguments; empty only in a broken node.
    pub(crate) items: Vec<Item<'t>>,
    /// The block.
    pub(crate) block: Option<Block<'t>>,
    /// The comment behind it, on its line (or on that of its closing brace).
    pub(crate) comment: Option<&'t str>,
    /// The place from the word to the last argument.
    pub(crate) span: Span,
    /// Whether the node holds a mistake of form that was reported.
    pub(crate) broken: bool,
}

/// `{ … }`.
#[derive(Debug)]
pub(crate) struct Block<'t> {
    /// The opening brace.
    pub(crate) open: Span,
    /// The nodes of the block.
    pub(crate) nodes: Vec<Node<'t>>,
    /// The comment behind the opening brace.
    pub(crate) comment: Option<&'t str>,
    /// Comments after the last node.
    pub(crate) end: Vec<Comment<'t>>,
    /// Whether the block was written on one line.
    pub(crate) one_line: bool,
    /// Something in it could not be read: what seems missing may be there.
    pub(crate) broken: bool,
}

/// A word, a text, a list or a comma.
#[derive(Debug)]
pub(crate) struct Item<'t> {
    /// The kind of the item.
    pub(crate) kind: ItemKind<'t>,
    /// The place of the item.
    pub(crate) span: Span,
}

/// The kind of an [`Item`].
#[derive(Debug)]
pub(crate) enum ItemKind<'t> {
    /// A bare word, number or address.
    Word(&'t str),
    /// A quoted text; with its quotes, as written.
    Text(&'t str),
    /// `[ … ]`.
    List(List<'t>),
    /// A comma between arguments.
    Comma(Comma<'t>),
    /// Something that could not be read, and was reported.
    Broken(&'t str),
}

/// A comma between arguments.
#[derive(Debug)]
pub(crate) struct Comma<'t> {
    /// Whether the comma ended its line.
    pub(crate) line_end: bool,
    /// Comments between it and what follows.
    pub(crate) comments: Vec<&'t str>,
}

/// `[ … ]`.
#[derive(Debug, Default)]
pub(crate) struct List<'t> {
    /// The elements between the commas.
    pub(crate) elements: Vec<Element<'t>>,
    /// Comments after the last element.
    pub(crate) end: Vec<&'t str>,
}

/// An element of a list: the items between two commas.
#[derive(Debug, Default)]
pub(crate) struct Element<'t> {
    /// Comments on the lines above.
    pub(crate) comments: Vec<&'t str>,
    /// The items of the element; one, if it is right, or `env "NAME" default "…"`.
    pub(crate) items: Vec<Item<'t>>,
    /// The comment behind it, on its line.
    pub(crate) comment: Option<&'t str>,
}

impl<'t> Node<'t> {
    /// The word that it begins with, if it begins with one.
    pub(crate) fn word(&self) -> Option<&'t str> {
        match self.items.first()?.kind {
            ItemKind::Word(word) => Some(word),
            _ => None,
        }
    }
}

impl Element<'_> {
    /// The place from the first item to the last.
    pub(crate) fn span(&self) -> Option<Span> {
        Some(self.items.first()?.span.to(self.items.last()?.span))
    }
}

#[cfg(test)]
impl Tree<'_> {
    /// The tree without spans, comments and layout: two texts of one shape mean the same.
    pub(crate) fn shape(&self) -> String {
        let mut out = String::new();
        shape_of_nodes(&self.nodes, &mut out);
        out
    }

    /// The text of every comment, sorted.
    pub(crate) fn comments(&self) -> Vec<String> {
        let mut out = Vec::new();
        comments_of_nodes(&self.nodes, &self.end, &mut out);
        out.sort();
        out
    }
}

#[cfg(test)]
fn comments_of_nodes(nodes: &[Node<'_>], end: &[Comment<'_>], out: &mut Vec<String>) {
    for node in nodes {
        out.extend(node.comments.iter().map(|comment| comment.text.to_owned()));
        out.extend(node.comment.map(str::to_owned));
        for item in &node.items {
            comments_of_item(item, out);
        }
        if let Some(block) = &node.block {
            out.extend(block.comment.map(str::to_owned));
            comments_of_nodes(&block.nodes, &block.end, out);
        }
    }
    out.extend(end.iter().map(|comment| comment.text.to_owned()));
}

#[cfg(test)]
fn comments_of_item(item: &Item<'_>, out: &mut Vec<String>) {
    match &item.kind {
        ItemKind::Comma(comma) => out.extend(comma.comments.iter().map(|comment| (*comment).to_owned())),
        ItemKind::List(list) => {
            for element in &list.elements {
                out.extend(element.comments.iter().chain(&element.comment).map(|comment| (*comment).to_owned()));
                element.items.iter().for_each(|item| comments_of_item(item, out));
            }
            out.extend(list.end.iter().map(|comment| (*comment).to_owned()));
        }
        _ => {}
    }
}

#[cfg(test)]
fn shape_of_nodes(nodes: &[Node<'_>], out: &mut String) {
    for node in nodes {
        out.push('(');
        shape_of_items(&node.items, out);
        if let Some(block) = &node.block {
            out.push('{');
            shape_of_nodes(&block.nodes, out);
            out.push('}');
        }
        out.push_str(")\n");
    }
}

#[cfg(test)]
fn shape_of_items(items: &[Item<'_>], out: &mut String) {
    for item in items {
        match &item.kind {
            ItemKind::Word(text) | ItemKind::Text(text) | ItemKind::Broken(text) => out.push_str(text),
            ItemKind::Comma(_) => out.push(','),
            ItemKind::List(list) => {
                out.push('[');
                for element in &list.elements {
                    shape_of_items(&element.items, out);
                    out.push(',');
                }
                out.push(']');
            }
        }
        out.push(' ');
    }
}
