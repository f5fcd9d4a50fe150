//! `when` and `unless`: what is looked at, and what it must meet.

use super::args::{Args, usage};
use super::checker::Checker;
use super::gathered::Wanted;
use super::regex::Matches;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{ClientCertField, Condition, Subject, Test};
use crate::source::Span;
use crate::tree::{Item, ItemKind};
use crate::vocabulary::{Place, Word};

/// The surroundings of a condition: what it may look at there.
pub(crate) struct Context<'m> {
    /// Whether there is a response to look at.
    pub(crate) response: bool,
    /// Whether the test stands in an `any`.
    pub(super) in_any: bool,
    /// The finds of `matches`, where they can be used: not behind `unless`, not in `on-response`.
    pub(super) found: Option<&'m mut Matches>,
}

impl<'t> Checker<'_, 't> {
    /// `when …` or `unless …`. What `matches` finds is put into `matches`, where it is given.
    pub(crate) fn condition(
        &mut self,
        args: &mut Args<'_, 't>,
        response: bool,
        matches: Option<&mut Matches>,
    ) -> Option<Condition> {
        let unless = args.of.name == "unless";
        let mut context = Context { response, in_any: false, found: matches.filter(|_| !unless) };
        self.not_joined(args, response)?;
        let word = self.choose_subject(args, response)?;
        let test = self.test(word, args, &mut context)?;
        Some(Condition { unless, test })
    }

    /// Reports words that join tests, and those that turn one round: a condition is one test.
    fn not_joined(&mut self, args: &Args<'_, 't>, response: bool) -> Option<()> {
        let (word, other) = if args.of.name == "unless" { ("unless", "when") } else { ("when", "unless") };
        let items = args.rest();
        if let [Item { kind: ItemKind::Word(not @ ("not" | "!")), span }, next, ..] = items {
            let report = Diagnostic::new(codes::JOINED, *span, format!("{} begins no test", quoted(not)));
            self.report(
                report
                    .help(format!("write `{other}` in place of `{word} {not}`"))
                    .edit(Span { end: next.span.start, ..args.head }, format!("{other} ")),
            );
            return None;
        }
        let joins = |item: &Item<'_>| matches!(item.kind, ItemKind::Word("and" | "or" | "&&" | "||"));
        let Some(at) = items.iter().position(joins) else { return Some(()) };
        let (Some(first), Some(join), Some(last)) = (items.first(), items.get(at), items.last()) else {
            return Some(());
        };
        let written = self.sources.slice(join.span);
        let and = matches!(written, "and" | "&&");
        let report = Diagnostic::new(codes::JOINED, join.span, format!("{} joins no tests", quoted(written)));
        let next = items.get(at + 1);
        let subjects = Self::subjects(response);
        let whole = next.is_some_and(|next| matches!(next.kind, ItemKind::Word(word) if subjects.find(word).is_some()));
        let only = items.iter().filter(|item| joins(item)).count() == 1;
        let gap = Span {
            start: items.get(at.wrapping_sub(1)).map_or(join.span.start, |before| before.span.end),
            ..join.span
        };
        let gap = Span { end: next.map_or(join.span.end, |next| next.span.start), ..gap };
        // All lines of a rule must hold, so that `and` is another line; of `unless`, so is `or`.
        let report = if whole && (and == (word == "when")) {
            let line = format!("{}{word} ", self.line_break(args.head));
            report
                .help(format!(
                    "write a second line: {}",
                    quoted(&format!(
                        "{word} {}",
                        self.sources.slice(Span { end: last.span.end, ..next.map_or(join.span, |next| next.span) })
                    ))
                ))
                .edit(gap, line)
        } else if whole {
            let block = if and { "all" } else { "any" };
            report
                .help(format!("write `{word} {block} {{ … }}`, with a test on each line"))
                .edit(first.span.part(0, 0), format!("{block} {{ "))
                .edit(gap, "; ")
                .edit(last.span.after(), " }")
        } else {
            let report = report.help(
                "alternatives stand in a list, as `path is [\"/a\", \"/b\"]`; what must hold, too, stands on a line of its own",
            );
            match (at.checked_sub(1).and_then(|at| items.get(at)), next, items.len()) {
                (Some(one @ Item { kind: ItemKind::Text(_), .. }), Some(Item { kind: ItemKind::Text(_), .. }), len)
                    if !and && len == at + 2 =>
                {
                    report.edit(one.span.part(0, 0), "[").edit(gap, ", ").edit(last.span.after(), "]")
                }
                _ => report,
            }
        };
        self.report(if only { report } else { Diagnostic { edits: Vec::new(), ..report } });
        None
    }

    fn subjects(response: bool) -> Place {
        if response { Place::ResponseSubject } else { Place::Subject }
    }

    fn choose_subject(&mut self, args: &mut Args<'_, 't>, response: bool) -> Option<&'static Word> {
        let (written, span) = self.bare(args, "what the test looks at")?;
        if !response && Place::Subject.find(written).is_none() && Place::ResponseSubject.find(written).is_some() {
            self.only_in_response(written, span);
            return None;
        }
        self.find_word(written, span, Self::subjects(response))
    }

    fn only_in_response(&mut self, written: &str, span: Span) {
        let shown = quoted(written);
        self.report(
            Diagnostic::new(codes::WRONG_TEST, span, format!("there is no response yet whose {shown} could be tested"))
                .help("test it in `on-response { when … }`"),
        );
    }

    /// The rest of a test whose subject's word was read: what `expect` says, where a response may be looked at.
    pub(crate) fn subject_test(&mut self, word: &'static Word, args: &mut Args<'_, 't>) -> Option<Test> {
        let subject = self.subject(word, args)?;
        let predicate = match subject {
            // There is one test for a status, and it may go without saying: `expect status 404`.
            Subject::Status => {
                args.eat("is");
                self.is(&subject, args, None)?
            }
            _ => {
                let mut context = Context { response: true, in_any: false, found: None };
                self.predicate(&subject, word, args, &mut context)?
            }
        };
        Some(Test::Is(subject, predicate))
    }

    /// A subject and its test, or `any { … }`, `all { … }`. The subject's word was read.
    fn test(&mut self, word: &'static Word, args: &mut Args<'_, 't>, context: &mut Context<'_>) -> Option<Test> {
        if matches!(word.name, "any" | "all") {
            return self.tests(word, args, context);
        }
        let at = args.last();
        let subject = self.subject(word, args)?;
        let predicate = self.predicate(&subject, word, args, context)?;
        self.doubt_old_upgrade(&subject, &predicate, at.to(args.last()));
        self.done(args)?;
        Some(Test::Is(subject, predicate))
    }

    fn tests(&mut self, word: &'static Word, args: &mut Args<'_, 't>, context: &mut Context<'_>) -> Option<Test> {
        let head = args.last();
        let Some(block) = args.take_block() else {
            self.report(
                Diagnostic::new(codes::MISSING_BLOCK, head.after(), format!("`{}` lacks its block", word.name))
                    .maybe_help(usage(word)),
            );
            return None;
        };
        self.done(args)?;
        let outer = context.in_any;
        context.in_any |= word.name == "any";
        let mut tests = Vec::new();
        let lines = self.lines(block, Self::subjects(context.response));
        let mut right = lines.whole;
        for mut line in lines.all {
            match self.test(line.word, &mut line.args, context) {
                Some(test) => tests.push(test),
                None => right = false,
            }
        }
        context.in_any = outer;
        if block.nodes.is_empty() && !block.broken {
            self.report(
                Diagnostic::new(codes::MISSING_ARGUMENT, block.open, format!("`{}` lacks its tests", word.name))
                    .help("write a test on each line of the block, as `path is \"/\"`"),
            );
            return None;
        }
        right.then_some(if word.name == "any" { Test::Any(tests) } else { Test::All(tests) })
    }

    fn subject(&mut self, word: &'static Word, args: &mut Args<'_, 't>) -> Option<Subject> {
        Some(match word.name {
            "host" => Subject::Host,
            "path" => Subject::Path,
            "method" => Subject::Method,
            "scheme" => Subject::Scheme,
            "header" => Subject::Header(self.header_name(args)?.0),
            "response-header" => Subject::ResponseHeader(self.header_name(args)?.0),
            "query" => Subject::Query(self.plain_name(args, "a query parameter")?),
            "cookie" => Subject::Cookie(self.plain_name(args, "a cookie")?),
            "var" => Subject::Var(self.plain_name(args, "a variable")?),
            "client-ip" => Subject::ClientIp,
            "peer-ip" => Subject::PeerIp,
            "protocol" => Subject::Protocol,
            "upgrade" => Subject::Upgrade,
            "sni" => {
                self.ask(Wanted::Handshake, args.last());
                Subject::Sni
            }
            "tls-version" => Subject::TlsVersion,
            "tls-group" => {
                self.ask(Wanted::Handshake, args.last());
                Subject::TlsGroup
            }
            "client-cert" => {
                let span = args.last();
                let field = self.client_cert_field(args)?;
                if field == ClientCertField::Fingerprint
                    && matches!(
                        args.rest(),
                        [Item { kind: ItemKind::Text(_), .. }, Item { kind: ItemKind::Word(_), .. }, ..]
                    )
                {
                    let span = args.next().map_or(span, |item| item.span);
                    self.report(
                        Diagnostic::new(codes::ATTRIBUTE, span, "a fingerprint has no attributes")
                            .help("name whose attribute is meant: `subject` or `issuer`"),
                    );
                    return None;
                }
                let attribute = match args.peek().map(|item| &item.kind) {
                    Some(ItemKind::Text(_)) if field != ClientCertField::Fingerprint => Some(self.attribute(args)?),
                    _ => None,
                };
                self.ask(Wanted::ClientCertificate, span.to(args.last()));
                match attribute {
                    Some(name) => Subject::ClientCertAttribute(field, name),
                    None => Subject::ClientCert(field),
                }
            }
            _ => Subject::Status,
        })
    }

    fn client_cert_field(&mut self, args: &mut Args<'_, 't>) -> Option<ClientCertField> {
        Some(match self.choose(args, Place::ClientCertField)?.name {
            "subject" => ClientCertField::Subject,
            "issuer" => ClientCertField::Issuer,
            _ => ClientCertField::Fingerprint,
        })
    }
}
