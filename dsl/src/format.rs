//! The layout of a policy; there is one.
//!
//! Four spaces for each block, one node a line, one blank line at most. Lists stand on one line if it is short enough,
//! else each value on its own. A block of one short node may stay on the line of its word if it was written so.
//! Comments stay where they are.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Sink};
use crate::parse::parse;
use crate::source::{Source, SourceId};
use crate::tree::{Block, Comma, Comment, Element, Item, ItemKind, List, Node};

/// Columns of a line, where it can be broken.
const MAX_COLUMNS: usize = 100;

/// Lays a policy out.
///
/// # Errors
/// What keeps the text from being read; a text that can be read and means nothing is laid out.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let mut sink = Sink::default();
    let source = Source::new(Path::new("policy.gate"), text.to_owned());
    let tree = parse(SourceId(0), &source, &mut sink);
    if sink.has_errors() {
        return Err(sink.finish());
    }
    let mut page = Page { out: String::new(), depth: 0 };
    page.nodes(&tree.nodes, &tree.end);
    Ok(page.out)
}

struct Page {
    out: String,
    depth: usize,
}

impl Page {
    fn indent(&self) -> String {
        "    ".repeat(self.depth)
    }

    fn line(&mut self, text: &str) {
        let indent = self.indent();
        self.out.push_str(&indent);
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn nodes(&mut self, nodes: &[Node<'_>], end: &[Comment<'_>]) {
        let mut first = true;
        for node in nodes {
            self.comments(&node.comments, &mut first);
            if node.blank_before && !first {
                self.out.push('\n');
            }
            first = false;
            self.node(node);
        }
        self.comments(end, &mut first);
    }

    fn comments(&mut self, comments: &[Comment<'_>], first: &mut bool) {
        for comment in comments {
            if comment.blank_before && !*first {
                self.out.push('\n');
            }
            *first = false;
            self.line(comment.text);
        }
    }

    fn node(&mut self, node: &Node<'_>) {
        let behind = node.comment.map(|comment| format!(" {comment}")).unwrap_or_default();
        if let Some(text) = one_line(node)
            && self.fits(&text)
        {
            return self.line(&format!("{text}{behind}"));
        }
        let mut lines = self.head(&node.items);
        let Some(block) = &node.block else {
            append(&mut lines, &behind);
            return self.write(&lines);
        };
        append(&mut lines, " {");
        if let Some(comment) = block.comment {
            append(&mut lines, &format!(" {comment}"));
        }
        if block.nodes.is_empty() && block.end.is_empty() && block.comment.is_none() {
            append(&mut lines, &format!("}}{behind}"));
            return self.write(&lines);
        }
        self.write(&lines);
        self.depth += 1;
        self.nodes(&block.nodes, &block.end);
        self.depth -= 1;
        self.line(&format!("}}{behind}"));
    }

    /// Lines that carry their own further indentation.
    fn write(&mut self, lines: &[String]) {
        lines.iter().for_each(|line| self.line(line));
    }

    fn fits(&self, text: &str) -> bool {
        self.depth * 4 + text.chars().count() <= MAX_COLUMNS
    }

    /// A word and its arguments: on one line if that is short enough and no comment stands between; else broken
    /// behind commas, and in lists.
    fn head(&self, items: &[Item<'_>]) -> Vec<String> {
        let flat = flat(items);
        if let Some(flat) = &flat
            && self.fits(flat)
        {
            return vec![flat.clone()];
        }
        let breaks_at_commas = items.iter().any(|item| matches!(&item.kind, ItemKind::Comma(_)));
        let mut lines = vec![String::new()];
        for (at, item) in items.iter().enumerate() {
            let glue = if at == 0 || lines.last().is_some_and(|line| line.trim().is_empty()) { "" } else { " " };
            match &item.kind {
                ItemKind::Comma(comma) => break_at(&mut lines, comma),
                ItemKind::List(list) if !breaks_at_commas || list_flat(list).is_none() => {
                    append(&mut lines, glue);
                    write_list(&mut lines, list);
                }
                _ => {
                    append(&mut lines, glue);
                    append(&mut lines, &flat_item(item).unwrap_or_default());
                }
            }
        }
        lines
    }
}

/// A node whose block holds one short node, if it was written on one line.
fn one_line(node: &Node<'_>) -> Option<String> {
    let block = node.block.as_ref()?;
    let Block { nodes, comment: None, end, one_line: true, .. } = block else { return None };
    let [only] = nodes.as_slice() else { return None };
    if !end.is_empty() || !only.comments.is_empty() || only.comment.is_some() || only.block.is_some() {
        return None;
    }
    Some(format!("{} {{ {} }}", flat(&node.items)?, flat(&only.items)?))
}

fn append(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

/// Breaks the line at a comma: the element behind it begins a line, further in; comments between stay there.
fn break_at(lines: &mut Vec<String>, comma: &Comma<'_>) {
    append(lines, ",");
    let mut comments = comma.comments.iter();
    if let Some(first) = comments.next() {
        append(lines, &format!(" {first}"));
    }
    lines.extend(comments.map(|comment| format!("    {comment}")));
    lines.push("    ".to_owned());
}

/// A list with each value on its own line.
fn write_list(lines: &mut Vec<String>, list: &List<'_>) {
    append(lines, "[");
    for element in &list.elements {
        lines.extend(element.comments.iter().map(|comment| format!("    {comment}")));
        let comment = element.comment.map(|comment| format!(" {comment}")).unwrap_or_default();
        lines.push(format!("    {},{comment}", flat(&element.items).unwrap_or_default()));
    }
    lines.extend(list.end.iter().map(|comment| format!("    {comment}")));
    lines.push("]".to_owned());
}

/// Items on one line; `None` if a comment stands between them.
fn flat(items: &[Item<'_>]) -> Option<String> {
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 && !matches!(item.kind, ItemKind::Comma(_)) {
            out.push(' ');
        }
        out.push_str(&flat_item(item)?);
    }
    Some(out)
}

fn flat_item(item: &Item<'_>) -> Option<String> {
    match &item.kind {
        ItemKind::Word(text) | ItemKind::Text(text) | ItemKind::Broken(text) => Some((*text).to_owned()),
        ItemKind::Comma(comma) => comma.comments.is_empty().then(|| ",".to_owned()),
        ItemKind::List(list) => list_flat(list),
    }
}

fn list_flat(list: &List<'_>) -> Option<String> {
    let element = |element: &Element<'_>| {
        let plain = element.comments.is_empty() && element.comment.is_none();
        plain.then(|| flat(&element.items)).flatten()
    };
    let elements = list.elements.iter().map(element).collect::<Option<Vec<_>>>()?;
    list.end.is_empty().then(|| format!("[{}]", elements.join(", ")))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests fail by panicking")]
#[allow(clippy::disallowed_methods, reason = "policies are files")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        let once = format(text).expect("it parses");
        assert_eq!(once, wanted);
        assert_eq!(format(&once).expect("it parses"), once);
    }

    #[test]
    fn lays_out() {
        check(
            "tidegate 1;list a [ 10.0.0.0/8 , ::1 , ]\n\n\n\nlist   b [::2]",
            "tidegate 1\nlist a [10.0.0.0/8, ::1]\n\nlist b [::2]\n",
        );
        check("rules a { otherwise { close } }", "rules a {\n    otherwise { close }\n}\n");
        check("a {\n\n b\n\n}", "a {\n    b\n}\n");
        check("a { b; c }", "a {\n    b\n    c\n}\n");
        check("a {}", "a {}\n");
        check("forward a weight 1,\n  b weight 2", "forward a weight 1, b weight 2\n");
        check("", "");
    }

    #[test]
    fn keeps_comments_where_they_are() {
        check(
            "# top\n\n# of a\na { # open\n  b # b\n  # end\n} # close\n# last",
            "# top\n\n# of a\na { # open\n    b # b\n    # end\n} # close\n# last\n",
        );
        check(
            "list a [\n# one\n1.1.1.1, # first\n2.2.2.2 # second\n# end\n]",
            "list a [\n    # one\n    1.1.1.1, # first\n    2.2.2.2, # second\n    # end\n]\n",
        );
        check("forward a, # stable\n# then\nb # canary", "forward a, # stable\n    # then\n    b # canary\n");
    }

    /// The tree and its comments are the same before and after: checked on every shipped policy and every case, and
    /// on each of them with a stretch cut out, in a hundred places at most.
    #[test]
    fn changes_neither_tree_nor_comments() {
        let mut checked = 0;
        for folder in ["../policies", "tests/cases"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let files = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
            for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "gate")) {
                let text = std::fs::read_to_string(path).expect("a policy");
                let step = text.len().div_ceil(100).max(7);
                let cuts = (0..text.len()).step_by(step).map(|at| {
                    let keep = |(byte, _): &(usize, char)| *byte < at || *byte > at + at % 23;
                    text.char_indices().filter(keep).map(|(_, c)| c).collect::<String>()
                });
                checked += std::iter::once(text.clone()).chain(cuts).filter(|text| sound(text)).count();
            }
        }
        assert!(checked > 500, "only {checked} texts could be laid out");
    }

    /// Whether the text parses; if so, its layout must hold the same.
    fn sound(text: &str) -> bool {
        let parsed = |text: &str| {
            let source = Source::new(Path::new("policy.gate"), text.to_owned());
            let tree = parse(SourceId(0), &source, &mut Sink::default());
            (tree.shape(), tree.comments())
        };
        let Ok(out) = format(text) else { return false };
        assert_eq!(parsed(&out), parsed(text), "before:\n{text}\nafter:\n{out}");
        true
    }

    #[test]
    fn breaks_long_lists() {
        let long = "\"0123456789012345678901234567890123456789\"";
        check(
            &format!("when host is [{long}, {long}, {long}]"),
            &format!("when host is [\n    {long},\n    {long},\n    {long},\n]\n"),
        );
    }

    #[test]
    fn refuses_what_does_not_parse() {
        let said = format("a \"b\nc {").expect_err("two mistakes");
        assert_eq!(said.iter().map(|one| one.code).collect::<Vec<_>>(), ["E0101", "E0102"]);
    }
}
