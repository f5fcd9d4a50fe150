//! Lines that are written as other languages have them: what they mean here, and the mend that says so.

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::source::Span;
use crate::tree::{Block, Item, ItemKind, Node};
use crate::value;
use crate::vocabulary::{Place, Role};

impl<'t> Checker<'_, 't> {
    /// A comma at the end of a line joins the next line to it; where that begins with a word of the place, the comma
    /// is the mistake, and the two are read apart.
    pub(super) fn split_at_swallowed<'n>(&mut self, node: &'n Node<'t>, place: Place) -> Vec<&'n [Item<'t>]> {
        let mut parts = Vec::new();
        let mut rest = node.items.as_slice();
        let mut from = 0;
        while let Some(at) =
            rest.iter().skip(from).position(|item| matches!(&item.kind, ItemKind::Comma(comma) if comma.line_end))
        {
            let at = at + from;
            let (comma, next) = (rest.get(at), rest.get(at + 1));
            from = at + 1;
            let (Some(comma), Some(Item { kind: ItemKind::Word(word), span })) = (comma, next) else { continue };
            if place.find(word).is_none() {
                continue;
            }
            self.report(
                Diagnostic::new(codes::COMMA, comma.span, "this comma joins the next line to this one")
                    .also(*span, format!("{} is meant to begin a line", quoted(word)))
                    .help("remove the comma")
                    .edit(comma.span, ""),
            );
            let (before, after) = rest.split_at(at);
            parts.push(before);
            rest = after.get(1..).unwrap_or_default();
            from = 0;
        }
        parts.push(rest);
        parts
    }

    /// Reports a line that is meant as a comment: `// …`.
    pub(super) fn foreign_comment(&mut self, items: &[Item<'t>], block: Option<&Block<'t>>) -> bool {
        let Some(Item { kind: ItemKind::Word(word), span }) = items.first() else { return false };
        if !word.starts_with("//") && !word.starts_with("/*") {
            return false;
        }
        let mut report = Self::comment_mend(*span);
        // Where a brace stands behind it, the block would lose its beginning; where more lines follow, their sign.
        if block.is_some() || word.starts_with("/*") {
            report.edits.clear();
        }
        self.report(report);
        true
    }

    /// A comment that begins with another sign than ours.
    pub(super) fn comment_mend(span: Span) -> Diagnostic {
        Diagnostic::new(codes::FOREIGN_COMMENT, span, "this is no comment here")
            .help("a comment begins with `#`, and goes to the end of its line")
            .edit(span.part(0, 2), "#")
    }

    /// Reports a sign between a word and its value: `port = 80`.
    pub(super) fn sign_behind_word(&mut self, items: &[Item<'t>]) -> bool {
        let [
            Item { kind: ItemKind::Word(word), .. },
            Item { kind: ItemKind::Word(sign @ ("=" | ":" | ":=")), span },
            rest @ ..,
        ] = items
        else {
            return false;
        };
        let report = Diagnostic::new(codes::SIGN, *span, format!("{} takes its value without a sign", quoted(word)))
            .help(format!("remove the `{sign}`"));
        self.report(match rest.first() {
            Some(value) => report.edit(Span { end: value.span.start, ..*span }, ""),
            None => report,
        });
        true
    }

    /// Reports a line whose first word is none of the place, where the whole of the line shows what was meant.
    pub(super) fn foreign_line(&mut self, word: &'t str, items: &[Item<'t>], place: Place) -> bool {
        let Some(first) = items.first() else { return false };
        if place == Place::Listener && matches!(word, "listen" | "bind") {
            return self.foreign_bind(word, first.span, items.get(1));
        }
        let Some(at) = word.find(['=', ':']).filter(|_| place.is_block()) else { return false };
        let (name, value) = (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default());
        if place.find(name).is_none() {
            return false;
        }
        let mend = format!("{name} {value}");
        let message = format!("{} takes its value without a sign", quoted(name));
        self.report(
            Diagnostic::new(codes::SIGN, first.span.part(at, at + 1), message)
                .help(match value {
                    "" => format!("write {} and a blank", quoted(name)),
                    _ => format!("write {}", quoted(&mend)),
                })
                .edit(first.span, mend.trim_end()),
        );
        true
    }

    /// `listen 80` and `bind *:80`, of a listener.
    fn foreign_bind(&mut self, word: &str, span: Span, value: Option<&Item<'t>>) -> bool {
        let Some(Item { kind: ItemKind::Word(written), span: value }) = value else { return false };
        let port = written.strip_prefix("*:").or_else(|| written.strip_prefix(':')).unwrap_or(written);
        let mend = if port.parse::<u16>().is_ok_and(|port| port > 0) {
            format!("port {port}")
        } else if value::socket(written).is_ok() {
            format!("address {written}")
        } else {
            return false;
        };
        let message = format!("{} is not a word that stands {}", quoted(word), Place::Listener.title());
        let report = Diagnostic::new(codes::UNKNOWN_WORD, span, message).help(format!("write {}", quoted(&mend)));
        self.report(report.edit(span.to(*value), mend));
        true
    }

    /// A comma where the word takes no more: what it takes for each, or where the rest belongs.
    pub(super) fn stray_comma(&self, args: &Args<'_, 't>, comma: Span) -> Diagnostic {
        let of = quoted(args.of.name);
        let report = Diagnostic::new(codes::COMMA, comma, format!("no comma stands behind {of}"));
        let Some(next) = args.rest().first() else { return report.help("remove the comma").edit(comma, "") };
        let rest = quoted(self.sources.slice(next.span));
        if matches!(args.of.name, "port" | "address") {
            return report
                .help(format!("a listener has one port: write another `listener` for {rest}, with the same rules"));
        }
        if !args.of.repeats || args.of.role == Role::Outcome || args.peek_block().is_some() {
            return report.help(format!("{of} takes one value: remove the comma and what follows it"));
        }
        let line = format!("{}{} ", self.line_break(args.head), args.of.name);
        let mut report = report.help(format!(
            "write a line for each: {}",
            quoted(&format!("{} {}", args.of.name, self.sources.slice(next.span)))
        ));
        let mut comma = Some(comma);
        for item in args.rest() {
            match (comma.take(), &item.kind) {
                (_, ItemKind::Comma(_)) => comma = Some(item.span),
                (Some(comma), _) => report = report.edit(Span { end: item.span.start, ..comma }, line.clone()),
                (None, _) => {}
            }
        }
        report
    }

    /// Whether a node is the rest of a text without quotes, which an insertion before it cut in two: `${host}-a`.
    pub(super) fn goes_on_with(&self, before: &Node<'t>, node: &Node<'t>) -> bool {
        let (Some(Item { kind: ItemKind::Word(word), .. }), Some(block)) = (before.items.last(), &before.block) else {
            return false;
        };
        let between = self.sources.slice(Span { end: node.span.start, ..block.open });
        word.ends_with('$') && !between.contains([';', '\n'])
    }

    /// The break that begins another line beside one: as far in, or on the same line if that holds more.
    pub(super) fn line_break(&self, head: Span) -> String {
        let text = self.sources.get(head.source).and_then(|source| source.text.get(..head.start as usize));
        let before = text.and_then(|text| text.rsplit('\n').next()).unwrap_or_default();
        if before.trim().is_empty() { format!("\n{before}") } else { "; ".to_owned() }
    }

    /// Reports values with commas between them that are no list.
    pub(super) fn unlisted(&mut self, args: &Args<'_, 't>) {
        let (Some(first), Some(last)) = (args.rest().first(), args.rest().last()) else { return };
        let span = first.span.to(last.span);
        let list = format!("[{}]", self.sources.slice(span));
        self.report(
            Diagnostic::new(codes::COMMA, span, "several values stand in a list")
                .help(format!("write {}", quoted(&list)))
                .edit(first.span.part(0, 0), "[")
                .edit(last.span.after(), "]"),
        );
    }

    /// Reports `${…}` that stands in no text, and so begins a block.
    pub(super) fn bare_insertion(&mut self, args: &Args<'_, 't>, start: Span, block: &Block<'t>) {
        let source = self.sources.get(start.source).map(|source| source.text.as_str()).unwrap_or_default();
        let rest = source.get(start.start as usize..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        // Up to the blank, or the end, behind the brace that closes it.
        let end = line.find('}').map_or(line.len(), |close| {
            let after = line.get(close + 1..).unwrap_or_default();
            close + 1 + after.find(|c: char| c.is_whitespace() || matches!(c, ';' | '}' | '"')).unwrap_or(after.len())
        });
        let written = line.get(..end).unwrap_or_default();
        let text = format!("\"{written}\"");
        let report = Diagnostic::new(codes::WRONG_KIND, start.to(block.open), "`${…}` stands in a text")
            .help(format!("texts stand in quotes: write {}", quoted(&text)));
        let plain = !written.contains(['"', '\\']) && written.ends_with(|c: char| !c.is_whitespace());
        self.report(if plain && args.rest().is_empty() { report.edit(start.part(0, end), text) } else { report });
    }
}
