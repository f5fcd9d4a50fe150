//! What a subject must meet: `is`, `like`, `under`, `matches`, `in`, `present`, `absent`.

use super::Checker;
use super::args::{Args, Raw};
use super::conditions::Context;
use super::reach_tls::Wanted;
use super::regex::Groups;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::plan::{ClientCertField, NetworkSet, Predicate, StatusRange, Subject, TlsVersion};
use crate::source::Span;
use crate::suggest;
use crate::tree::ItemKind;
use crate::value;
use crate::vocabulary::{Place, Word};

impl<'t> Checker<'_, 't> {
    /// The test of a subject that was read.
    pub(super) fn predicate(
        &mut self,
        subject: &Subject,
        subject_word: &'static Word,
        args: &mut Args<'_, 't>,
        context: &mut Context<'_>,
    ) -> Option<Predicate> {
        let fitting = fitting(subject);
        let what = format!("a test: {}", one_of(fitting.iter().copied()));
        let (written, span) = self.bare(args, &what)?;
        let Some(word) = Place::Predicate.find(written) else {
            return self.unknown_test(written, span, fitting);
        };
        if !fitting.contains(&word.name) {
            let subject = quoted(subject_word.name);
            self.report(
                Diagnostic::new(codes::WRONG_TEST, span, format!("`{}` does not fit {subject}", word.name))
                    .help(format!("{subject} can be tested by {}", one_of(fitting.iter().copied()))),
            );
            return None;
        }
        match word.name {
            "present" => Some(Predicate::Present),
            "absent" => Some(Predicate::Absent),
            "in" => self.network_set(args).map(Predicate::In),
            "is" => self.is(subject, args),
            "like" => {
                let mut patterns = self.texts(args, "a pattern", |cx, pattern, span| match subject {
                    Subject::Path => cx.check_path_glob(pattern, span),
                    _ => Some(()),
                })?;
                if matches!(subject, Subject::Host | Subject::Sni) {
                    // Hosts have no case, and are in lower case when they are compared.
                    patterns.iter_mut().for_each(|pattern| pattern.make_ascii_lowercase());
                }
                Some(Predicate::Like(patterns))
            }
            "under" => self.texts(args, "a path", Self::check_path).map(Predicate::Under),
            _ => self.matches(subject, args, context),
        }
    }

    fn unknown_test<T>(&mut self, written: &str, span: Span, fitting: &[&'static str]) -> Option<T> {
        let mend = match written {
            "=" | "==" | "equals" | "eq" => Some("is"),
            "~" | "=~" | "regex" | "match" => Some("matches"),
            "exists" | "exist" => Some("present"),
            "missing" => Some("absent"),
            "starts-with" | "prefix" | "begins-with" if fitting.contains(&"under") => Some("under"),
            "not" | "!=" | "isnt" => {
                self.report(
                    Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a test", quoted(written)))
                        .help("write `unless` in place of `when`"),
                );
                return None;
            }
            _ => suggest::nearest(written, fitting.iter().copied()),
        };
        let help = match mend {
            Some(mend) => format!("did you mean `{mend}`?"),
            None => format!("the tests that fit are {}", one_of(fitting.iter().copied())),
        };
        self.report(
            Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a test", quoted(written))).help(help),
        );
        None
    }

    /// `is`: what exactly is compared depends on the subject.
    pub(super) fn is(&mut self, subject: &Subject, args: &mut Args<'_, 't>) -> Option<Predicate> {
        match subject {
            Subject::ClientIp | Subject::PeerIp => {
                let set: NetworkSet = self.network_set(args)?;
                Some(Predicate::In(set))
            }
            Subject::Status => self.statuses(args).map(Predicate::Status),
            Subject::Host | Subject::Sni => {
                let hosts = self.texts(args, "a host", Self::check_host)?;
                Some(Predicate::Is(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect()))
            }
            Subject::Path => self.texts(args, "a path", Self::check_path).map(Predicate::Is),
            Subject::Method => self.words(args, "a method", Self::check_method).map(Predicate::Is),
            Subject::Scheme => self
                .words(args, "`http` or `https`", |cx, word, span| {
                    cx.check_choice(word, span, "a scheme", &["http", "https"])
                })
                .map(Predicate::Is),
            Subject::Protocol => self
                .words(args, "`h1`, `h2` or `h3`", |cx, word, span| {
                    cx.check_choice(word, span, "a protocol", &["h1", "h2", "h3"])?;
                    cx.ask(
                        match word {
                            "h1" => Wanted::Http1,
                            "h2" => Wanted::Http2,
                            _ => Wanted::Http3,
                        },
                        span,
                    );
                    Some(())
                })
                .map(Predicate::Is),
            Subject::TlsVersion => self
                .words(args, "`tls1.2` or `tls1.3`", |cx, word, span| {
                    cx.check_choice(word, span, "a version of TLS", &["tls1.2", "tls1.3"])?;
                    cx.ask(Wanted::Version(if word == "tls1.2" { TlsVersion::Tls12 } else { TlsVersion::Tls13 }), span);
                    Some(())
                })
                .map(Predicate::Is),
            Subject::ClientCert(ClientCertField::Fingerprint) => {
                self.texts(args, "a fingerprint", Self::check_fingerprint).map(Predicate::Is)
            }
            _ => self.texts(args, "a text", |_, _, _| Some(())).map(Predicate::Is),
        }
    }

    /// One status or range of them, or several.
    pub(crate) fn statuses(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<StatusRange>> {
        let mut ranges = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, "a status")? {
            match self.value(&mut element, "a status", value::status_range) {
                Some((range, _)) if self.element_done(&mut element).is_some() => ranges.push(range),
                _ => right = false,
            }
        }
        right.then_some(ranges)
    }

    /// One text or several, each checked.
    fn texts(
        &mut self,
        args: &mut Args<'_, 't>,
        what: &str,
        mut check: impl FnMut(&mut Self, &str, Span) -> Option<()>,
    ) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, what)? {
            match self.text(&mut element, what) {
                Some((text, span))
                    if check(self, &text, span).is_some() && self.element_done(&mut element).is_some() =>
                {
                    texts.push(text);
                }
                _ => right = false,
            }
        }
        right.then_some(texts)
    }

    /// As [`Self::texts`], where bare words may stand too.
    pub(crate) fn words(
        &mut self,
        args: &mut Args<'_, 't>,
        what: &str,
        mut check: impl FnMut(&mut Self, &str, Span) -> Option<()>,
    ) -> Option<Vec<String>> {
        let mut words = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, what)? {
            let word = match element.peek().map(|item| (&item.kind, item.span)) {
                Some((ItemKind::Word(word), span)) if *word != "env" => {
                    element.next();
                    Some(((*word).to_owned(), span))
                }
                _ => self.text(&mut element, what),
            };
            match word {
                Some((word, span))
                    if check(self, &word, span).is_some() && self.element_done(&mut element).is_some() =>
                {
                    words.push(word);
                }
                _ => right = false,
            }
        }
        right.then_some(words)
    }

    /// `matches`: backslashes that begin no escape stay, so that `"\d"` is what it looks like.
    fn matches(&mut self, subject: &Subject, args: &mut Args<'_, 't>, context: &mut Context<'_>) -> Option<Predicate> {
        let what = "a regular expression";
        let mut texts = Vec::new();
        let mut groups: Vec<Groups> = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, what)? {
            let read = self.regex_text(&mut element);
            match read {
                Some((text, found)) if self.element_done(&mut element).is_some() => {
                    if matches!(subject, Subject::Host | Subject::Sni) {
                        self.doubt_host_regex(&text, element.last());
                    }
                    texts.push(text);
                    groups.push(found);
                }
                _ => right = false,
            }
        }
        if let Some(matches) = context.found.as_deref_mut() {
            matches.take(groups, context.in_any);
        }
        right.then_some(Predicate::Matches(texts))
    }

    fn regex_text(&mut self, args: &mut Args<'_, 't>) -> Option<(String, Groups)> {
        let (raw, span) = self.raw_text(args, "a regular expression")?;
        let text = match raw {
            Raw::Literal(raw) => self.unescape(raw, span, true)?,
            Raw::Env(value) => value,
        };
        let groups = self.regex(&text, span)?;
        Some((text, groups))
    }
}

/// The tests that fit a subject.
fn fitting(subject: &Subject) -> &'static [&'static str] {
    match subject {
        Subject::Path => &["is", "like", "under", "matches"],
        Subject::Method | Subject::Scheme | Subject::Protocol | Subject::TlsVersion => &["is"],
        Subject::ClientIp | Subject::PeerIp => &["in", "is"],
        Subject::Status => &["is"],
        Subject::Host
        | Subject::Sni
        | Subject::ClientCert(_)
        | Subject::Header(_)
        | Subject::Query(_)
        | Subject::Cookie(_)
        | Subject::Var(_)
        | Subject::ResponseHeader(_) => &["is", "like", "matches", "present", "absent"],
    }
}
