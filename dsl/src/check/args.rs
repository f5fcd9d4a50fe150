//! Arguments of a node, read one after another.

use super::checker::Checker;
use super::foreign;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::source::Span;
use crate::suggest;
use crate::tree::{Block, Element, Item, ItemKind, Node};
use crate::vocabulary::{Place, Word};

/// A node of a block: a word that belongs there, and its arguments.
pub(crate) struct Line<'n, 't> {
    pub(crate) word: &'static Word,
    pub(crate) args: Args<'n, 't>,
}

/// Arguments that are still to be read.
pub(crate) struct Args<'n, 't> {
    /// The word that they belong to.
    pub(crate) of: &'static Word,
    /// The place of that word.
    pub(crate) head: Span,
    items: &'n [Item<'t>],
    /// The last thing that was read; a missing argument is missed behind it.
    last: Span,
    block: Option<&'n Block<'t>>,
    /// Whether the arguments stand between two commas of a list.
    listed: bool,
}

impl<'n, 't> Args<'n, 't> {
    /// Arguments behind the first of `items`.
    pub(crate) fn new(of: &'static Word, items: &'n [Item<'t>], block: Option<&'n Block<'t>>, node: &Node<'t>) -> Self {
        let head = items.first().map_or(node.span, |item| item.span);
        Self { of, head, items: items.get(1..).unwrap_or_default(), last: head, block, listed: false }
    }

    /// Values alone, without their word.
    pub(crate) fn values(of: &'static Word, items: &'n [Item<'t>], head: Span) -> Self {
        Self { of, head, items, last: head, block: None, listed: false }
    }

    /// An element of a list, as arguments of the same word.
    pub(crate) fn element(&self, element: &'n Element<'t>) -> Self {
        let last = element.span().unwrap_or(self.last);
        Self { of: self.of, head: self.head, items: &element.items, last, block: None, listed: true }
    }

    /// Everything that is still to be read.
    pub(crate) fn rest(&self) -> &'n [Item<'t>] {
        self.items
    }

    /// The next item, which stays.
    pub(crate) fn peek(&self) -> Option<&'n Item<'t>> {
        self.items.first()
    }

    /// The next item.
    pub(crate) fn next(&mut self) -> Option<&'n Item<'t>> {
        let (first, rest) = self.items.split_first()?;
        self.items = rest;
        self.last = first.span;
        Some(first)
    }

    /// The next item, if it is this bare word.
    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Item { kind: ItemKind::Word(next), .. }) if *next == word);
        if found {
            self.next();
        }
        found
    }

    /// The next item, if it is a comma.
    pub(crate) fn eat_comma(&mut self) -> bool {
        let found = matches!(self.peek().map(|item| &item.kind), Some(ItemKind::Comma(_)));
        if found {
            self.next();
        }
        found
    }

    /// The next item, if it is a list of nothing.
    pub(crate) fn eat_empty_list(&mut self) -> bool {
        let found =
            matches!(self.peek().map(|item| &item.kind), Some(ItemKind::List(list)) if list.elements.is_empty());
        if found {
            self.next();
        }
        found
    }

    /// The block, which stays unread.
    pub(crate) fn peek_block(&self) -> Option<&'n Block<'t>> {
        self.block
    }

    /// The block, if there is one; from now on it counts as read.
    pub(crate) fn take_block(&mut self) -> Option<&'n Block<'t>> {
        self.block.take()
    }

    /// The place from the word to the argument that was read last.
    pub(crate) fn span(&self) -> Span {
        self.head.to(self.last)
    }

    /// The place of the argument that was read last.
    pub(crate) fn last(&self) -> Span {
        self.last
    }
}

impl<'t> Checker<'_, 't> {
    /// Reports a missing argument.
    pub(crate) fn missing(&mut self, args: &Args<'_, 't>, what: &str) {
        let of = quoted(args.of.name);
        self.report(
            Diagnostic::new(codes::MISSING_ARGUMENT, args.last.after(), format!("{of} lacks {what}"))
                .maybe_help(usage(args.of)),
        );
    }

    /// The next item; reports if there is none.
    pub(crate) fn item<'n>(&mut self, args: &mut Args<'n, 't>, what: &str) -> Option<&'n Item<'t>> {
        let next = args.next();
        if next.is_none() {
            self.missing(args, what);
        }
        next
    }

    /// The next item as a bare word.
    pub(crate) fn bare<'n>(&mut self, args: &mut Args<'n, 't>, what: &str) -> Option<(&'t str, Span)> {
        let item = self.item(args, what)?;
        match &item.kind {
            ItemKind::Word(word) => Some((word, item.span)),
            kind => {
                let bare = match kind {
                    ItemKind::Text(raw) if may_be_bare(inner(raw), what) => Some(inner(raw).to_owned()),
                    _ => None,
                };
                let help = match &bare {
                    Some(bare) => Some(format!("write it without quotes: {}", quoted(bare))),
                    None => usage(args.of),
                };
                self.wrong_kind(item, what, help, bare);
                None
            }
        }
    }

    /// Reports an item of the wrong kind; `instead` is what is to stand in its place, where that needs no thought.
    pub(crate) fn wrong_kind(&mut self, item: &Item<'t>, what: &str, help: Option<String>, instead: Option<String>) {
        let found = match &item.kind {
            ItemKind::Word(word) => format!("the bare word {}", quoted(word)),
            ItemKind::Text(_) => "a text".to_owned(),
            ItemKind::List(_) => "a list".to_owned(),
            ItemKind::Comma(_) => "a comma".to_owned(),
            ItemKind::Broken(_) => return,
        };
        let report =
            Diagnostic::new(codes::WRONG_KIND, item.span, format!("expected {what}, found {found}")).maybe_help(help);
        self.report(match instead {
            Some(instead) => report.edit(item.span, instead),
            None => report,
        });
    }

    /// The next item as one of the words of a place.
    pub(crate) fn choose(&mut self, args: &mut Args<'_, 't>, place: Place) -> Option<&'static Word> {
        let what = one_of(place.words().iter().map(|word| word.name));
        if let Some(item) = args.peek()
            && let ItemKind::Text(raw) = item.kind
            && place.find(inner(raw)).is_none()
        {
            // Without its quotes it would be no better.
            args.next();
            self.wrong_kind(item, &what, usage(args.of), None);
            return None;
        }
        let (word, span) = self.bare(args, &what)?;
        self.find_word(word, span, place)
    }

    /// The next item as a word of a place that may stand once behind the same word; `seen` holds those that did.
    pub(crate) fn option(
        &mut self,
        args: &mut Args<'_, 't>,
        place: Place,
        seen: &mut Vec<(&'static str, Span)>,
    ) -> Option<&'static Word> {
        let stray = match args.peek() {
            Some(Item { kind: ItemKind::Comma(_), span }) => {
                args.next();
                Some(self.stray_comma(args, *span))
            }
            Some(Item { kind: ItemKind::Word(word), span }) if word.starts_with("//") => {
                Some(Self::comment_mend(*span))
            }
            _ => None,
        };
        if let Some(stray) = stray {
            self.report(stray);
            return None;
        }
        let option = self.choose(args, place)?;
        let span = args.last();
        if let Some((_, first)) = seen.iter().find(|(name, _)| *name == option.name) {
            self.report(
                Diagnostic::new(codes::REPEATED_WORD, span, format!("`{}` stands twice", option.name))
                    .also(*first, "it stands here first")
                    .help("remove one of the two"),
            );
            return None;
        }
        seen.push((option.name, span));
        Some(option)
    }

    /// The word of a place; reports an unknown one.
    pub(crate) fn find_word(&mut self, written: &str, span: Span, place: Place) -> Option<&'static Word> {
        match place.find(written) {
            Some(word) => Some(word),
            None => {
                self.unknown_word(written, span, place);
                None
            }
        }
    }

    fn unknown_word(&mut self, written: &str, span: Span, place: Place) {
        let report = Diagnostic::new(
            codes::UNKNOWN_WORD,
            span,
            format!("{} is not a word that stands {}", quoted(written), place.title()),
        );
        let in_block = Place::BLOCKS.contains(&place);
        let elsewhere = Place::BLOCKS.iter().find(|other| in_block && other.find(written).is_some());
        self.report(if let Some(mend) = foreign::mend(written, place) {
            match mend.strip_prefix("write `").and_then(|mend| mend.strip_suffix('`')) {
                // Behind another word it is a word for a word; a line may hold more.
                Some(word) if !place.is_block() => report.write(word),
                _ => report.help(mend),
            }
        } else if let Some(meant) = suggest::nearest(written, place.words().iter().map(|word| word.name)) {
            report.meant(meant)
        } else if let Some(other) = elsewhere {
            report.help(format!("{} stands {}", quoted(written), other.title()))
        } else {
            let words = place.words().iter().map(|word| word.name);
            report.help(format!("what may stand {}: {}", place.title(), one_of(words)))
        });
    }

    /// Reports what is left over; the block too, if it was not read.
    pub(crate) fn done(&mut self, args: &mut Args<'_, 't>) -> Option<()> {
        let of = quoted(args.of.name);
        if let Some(item) = args.next() {
            let report = match &item.kind {
                ItemKind::Broken(_) => return None,
                ItemKind::Comma(_) => self.stray_comma(args, item.span),
                ItemKind::Word(word) if word.starts_with("//") => Self::comment_mend(item.span),
                _ => {
                    let end = args.items.last().map_or(item.span, |last| last.span);
                    let span = item.span.to(end);
                    let shown = quoted(self.sources.slice(span));
                    Diagnostic::new(codes::EXTRA_ARGUMENT, span, format!("{of} does not take {shown}"))
                        .maybe_help(usage(args.of))
                }
            };
            self.report(report);
            return None;
        }
        if let Some(block) = args.block {
            self.report(
                Diagnostic::new(codes::EXTRA_BLOCK, block.open, format!("{of} has no block"))
                    .maybe_help(usage(args.of)),
            );
            return None;
        }
        Some(())
    }

    /// The block; reports if there is none, and if arguments are left before it.
    pub(crate) fn block<'n>(&mut self, args: &mut Args<'n, 't>) -> Option<&'n Block<'t>> {
        let block = args.take_block();
        self.done(args)?;
        if block.is_none() {
            let of = quoted(args.of.name);
            self.report(
                Diagnostic::new(codes::MISSING_BLOCK, args.last.after(), format!("{of} lacks its block"))
                    .maybe_help(usage(args.of)),
            );
        }
        block
    }

    /// Warns of a block that does nothing.
    pub(crate) fn warn_if_empty(&mut self, of: &str, block: &Block<'t>) {
        if block.nodes.is_empty() && !block.broken {
            self.report(
                Diagnostic::new(codes::EMPTY_BLOCK, block.open, format!("the block of {} is empty", quoted(of)))
                    .help("remove it, or write what it should hold"),
            );
        }
    }

    /// The values of a single argument or of a list: alternatives.
    pub(crate) fn alternatives<'n>(&mut self, args: &mut Args<'n, 't>, what: &str) -> Option<Vec<Args<'n, 't>>> {
        let Some(Item { kind: ItemKind::List(list), span }) = args.peek() else {
            if args.peek().is_none() {
                self.missing(args, what);
                return None;
            }
            if args.items.iter().any(|item| matches!(item.kind, ItemKind::Comma(_))) {
                self.unlisted(args);
                return None;
            }
            // The rest of the line is one value, which may be `env "NAME" default "x"`.
            let one = Args { block: None, ..*args };
            args.items = &[];
            args.last = one.items.last().map_or(args.last, |item| item.span);
            return Some(vec![one]);
        };
        args.next();
        if list.elements.is_empty() {
            self.report(
                Diagnostic::new(codes::MISSING_ARGUMENT, *span, format!("this list lacks {what}"))
                    .help("write at least one value"),
            );
            return None;
        }
        self.doubt_repeated(args.of.name, list);
        Some(list.elements.iter().map(|element| args.element(element)).collect())
    }

    /// The end of a list's element: where something is left of it, a comma is missing.
    pub(crate) fn element_done(&mut self, args: &mut Args<'_, 't>) -> Option<()> {
        let before = args.last;
        let Some(item) = args.next() else { return Some(()) };
        let report = match item.kind {
            ItemKind::Broken(_) => return None,
            ItemKind::List(_) => {
                Diagnostic::new(codes::BRACKET, item.span, "a list stands in a list").help("a list holds values only")
            }
            ItemKind::Word(word) if word.starts_with("//") && !args.listed => Self::comment_mend(item.span),
            _ if args.listed => {
                let next = quoted(self.sources.slice(item.span));
                Diagnostic::new(codes::COMMA, item.span, format!("no comma stands before {next}"))
                    .help(format!("write a comma behind {}", quoted(self.sources.slice(before))))
                    .edit(before.after(), ",")
            }
            _ => {
                let next = quoted(self.sources.slice(item.span));
                let of = quoted(self.sources.slice(before));
                Diagnostic::new(codes::EXTRA_ARGUMENT, item.span, format!("{next} stands behind the value {of}"))
                    .help("several values stand in a list, as `[a, b]`")
            }
        };
        self.report(report);
        None
    }
}

/// Whether a text is likely the value that was asked for, but for its quotes.
fn may_be_bare(text: &str, what: &str) -> bool {
    let numeric = ["a number", "a time", "a size", "a rate", "a status"].contains(&what);
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/%".contains(&b));
    bare && (!numeric || text.starts_with(|c: char| c.is_ascii_digit()))
}

/// The form in which a word is written, for people.
pub(crate) fn usage(word: &Word) -> Option<String> {
    match word.arguments {
        "" => Some(format!("`{}` stands alone", word.name)),
        arguments => Some(format!("write `{} {arguments}`", word.name)),
    }
}

/// A text without its quotes.
pub(crate) fn inner(raw: &str) -> &str {
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}
