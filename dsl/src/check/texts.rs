//! Texts among the arguments of a node: written there, or taken from the environment.

use super::args::{Args, inner, usage};
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::source::Span;
use crate::tree::{Item, ItemKind};

/// A text in its place: written there, or taken from the environment.
pub(crate) enum Raw<'t> {
    /// The text between the quotes, escapes as written.
    Literal(&'t str),
    /// The value of a variable of the environment.
    Env(String),
}

impl<'t> Checker<'_, 't> {
    /// The next item as a text, or `env "NAME"`.
    pub(crate) fn raw_text(&mut self, args: &mut Args<'_, 't>, what: &str) -> Option<(Raw<'t>, Span)> {
        let item = self.item(args, what)?;
        match item.kind {
            ItemKind::Text(raw) => Some((Raw::Literal(inner(raw)), item.span)),
            ItemKind::Word("env") => self.env(args, item.span),
            ItemKind::Word(word) => {
                if word.ends_with('$')
                    && let Some(block) = args.peek_block()
                {
                    self.bare_insertion(args, item.span, block);
                    return None;
                }
                let text = format!("\"{}\"", word.replace('\\', "\\\\"));
                let help = format!("texts stand in quotes: write {}", quoted(&text));
                self.wrong_kind(item, what, Some(help), Some(text));
                None
            }
            _ => {
                self.wrong_kind(item, what, usage(args.of), None);
                None
            }
        }
    }

    /// The value of the variable that is named behind `env`, or its default.
    fn env(&mut self, args: &mut Args<'_, 't>, start: Span) -> Option<(Raw<'t>, Span)> {
        let Some(Item { kind: ItemKind::Text(raw), span: name_span }) = args.next() else {
            self.report(
                Diagnostic::new(codes::MISSING_ARGUMENT, start.after(), "`env` lacks the name of its variable")
                    .help("write `env \"NAME\"`, or `env \"NAME\" default \"x\"`"),
            );
            return None;
        };
        let name = self.unescape(inner(raw), *name_span, false)?;
        let mut default = None;
        if args.eat("default") {
            let Some(Item { kind: ItemKind::Text(raw), span }) = args.next() else {
                self.report(
                    Diagnostic::new(codes::MISSING_ARGUMENT, args.last().after(), "`default` lacks its text")
                        .help("write `env \"NAME\" default \"x\"`"),
                );
                return None;
            };
            default = Some(self.unescape(inner(raw), *span, false)?);
        }
        let span = start.to(args.last());
        let value = self.loader.env(&name).or(default);
        if value.is_none() {
            let shown = quoted(&name);
            self.report(
                Diagnostic::new(codes::ENV, *name_span, format!("the environment variable {shown} is not set"))
                    .help(format!("set it, or write `env \"{name}\" default \"…\"`")),
            );
        }
        Some((Raw::Env(value?), span))
    }

    /// The next item as a text in which nothing is inserted.
    pub(crate) fn text(&mut self, args: &mut Args<'_, 't>, what: &str) -> Option<(String, Span)> {
        let (raw, span) = self.raw_text(args, what)?;
        match raw {
            Raw::Env(value) => Some((value, span)),
            Raw::Literal(raw) => {
                if raw.contains("${") {
                    self.report(
                        Diagnostic::new(codes::NOT_INSERTED, span, "nothing is inserted into this text")
                            .help("`${…}` works in values of headers and variables, in locations, bodies and rewrites"),
                    );
                }
                Some((self.unescape(raw, span, false)?, span))
            }
        }
    }
}
