//! `when` and `unless`: what is looked at, and what it must meet.

use super::Checker;
use super::args::{Args, usage};
use super::reach_tls::Wanted;
use super::regex::Matches;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{ClientCertField, Condition, Subject, Test};
use crate::source::Span;
use crate::vocabulary::{Place, Word};

/// Where a condition stands.
pub(crate) struct Context<'m> {
    /// Whether there is a response to look at.
    pub(crate) response: bool,
    /// Whether the test stands in an `any`.
    pub(super) in_any: bool,
    /// Whether what `matches` finds can be used: not behind `unless`, not in `on-response`.
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
        let word = self.choose_subject(args, response)?;
        let test = self.test(word, args, &mut context)?;
        Some(Condition { unless, test })
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
                self.is(&subject, args)?
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
        let subject = self.subject(word, args)?;
        let predicate = self.predicate(&subject, word, args, context)?;
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
            "sni" => {
                self.ask(Wanted::Handshake, args.last());
                Subject::Sni
            }
            "tls-version" => Subject::TlsVersion,
            "client-cert" => {
                let span = args.last();
                let field = self.client_cert_field(args)?;
                self.ask(Wanted::ClientCertificate, span.to(args.last()));
                Subject::ClientCert(field)
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
