//! Predicates, which a subject must meet: `is`, `like`, `under`, `matches`, `in`, `present`, `absent`.

use super::args::Args;
use super::checker::Checker;
use super::conditions::Context;
use super::gathered::Wanted;
use super::regex::Groups;
use super::texts::Raw;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::http_version::HttpVersion;
use crate::plan::{ClientCertField, NetworkSet, Predicate, StatusRange, Subject, TlsVersion};
use crate::source::Span;
use crate::suggest;
use crate::tree::{Item, ItemKind};
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
        if let Some(item) = args.peek()
            && matches!(item.kind, ItemKind::Text(_) | ItemKind::List(_))
        {
            return self.no_test(subject_word, item, fitting);
        }
        let (written, span) = self.bare(args, &what)?;
        let Some(word) = Place::Predicate.find(written) else {
            return self.unknown_test(subject_word, written, span, args, fitting);
        };
        if !fitting.contains(&word.name) {
            let subject = quoted(subject_word.name);
            self.report(
                Diagnostic::new(codes::WRONG_TEST, span, format!("`{}` does not fit {subject}", word.name))
                    .help(format!("{subject} can be tested by {}", one_of(fitting.iter().copied()))),
            );
            return None;
        }
        if let Some(item) = args.peek()
            && let ItemKind::Word("not") = item.kind
        {
            return self.turned_round(args, item.span, "");
        }
        match word.name {
            "present" => Some(Predicate::Present),
            "absent" => Some(Predicate::Absent),
            "in" => self.network_set(args).map(Predicate::In),
            "is" => {
                let test = single(args).then_some(span);
                self.is(subject, args, test)
            }
            "like" => {
                let mut patterns =
                    self.texts(args, "a pattern", |cx, pattern, span| cx.check_glob(subject, pattern, span))?;
                if matches!(subject, Subject::Host | Subject::Sni) {
                    // Hosts have no case, and are in lower case when they are compared.
                    patterns.iter_mut().for_each(|pattern| pattern.make_ascii_lowercase());
                }
                Some(Predicate::Like(patterns))
            }
            "under" => {
                let test = single(args).then_some(span);
                self.texts(args, "a path", |cx, path, span| cx.check_path(path, span, ("under", test)))
                    .map(Predicate::Under)
            }
            _ => self.matches(subject, args, context),
        }
    }

    fn unknown_test<T>(
        &mut self,
        subject: &'static Word,
        written: &str,
        span: Span,
        args: &Args<'_, 't>,
        fitting: &[&'static str],
    ) -> Option<T> {
        let mend = match written {
            "=" | "==" | "equals" | "eq" => Some("is"),
            "~" | "=~" | "regex" | "match" => Some("matches"),
            "exists" | "exist" => Some("present"),
            "missing" => Some("absent"),
            "starts-with" | "prefix" | "begins-with" if fitting.contains(&"under") => Some("under"),
            "not"
                if args
                    .rest()
                    .first()
                    .is_some_and(|next| Place::Predicate.find(self.sources.slice(next.span)).is_some()) =>
            {
                return self.turned_round(args, span, "");
            }
            "not" | "!=" | "isnt" => {
                return self.turned_round(args, span, if fitting.contains(&"is") { "is " } else { "in " });
            }
            _ => suggest::nearest(written, fitting.iter().copied()),
        };
        let report = Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a test", quoted(written)));
        if let Some(mend) = mend.filter(|mend| fitting.contains(mend)) {
            self.report(report.meant(mend));
        } else if args.rest().is_empty() && !written.contains(['"', '\\']) {
            // Its value alone: the test was left out.
            let bare = fitting == ["is"] || fitting.contains(&"in");
            let value = if bare { written.to_owned() } else { format!("\"{written}\"") };
            let mend = format!("{} {value}", usual_test(written, fitting));
            let report =
                Diagnostic::new(codes::MISSING_ARGUMENT, span, format!("{} lacks its test", quoted(subject.name)));
            self.report(report.write(&mend));
        } else {
            self.report(report.help(format!("the tests that fit are {}", one_of(fitting.iter().copied()))));
        }
        None
    }

    /// Reports a value that stands where its test should: `path "/x"`.
    fn no_test<T>(&mut self, subject: &'static Word, value: &Item<'t>, fitting: &[&'static str]) -> Option<T> {
        let written = self.sources.slice(value.span);
        let test = usual_test(written.trim_matches('"'), fitting);
        let report =
            Diagnostic::new(codes::MISSING_ARGUMENT, value.span, format!("{} lacks its test", quoted(subject.name)))
                .help(format!("write {}", quoted(&format!("{test} {written}"))));
        self.report(report.edit(value.span.part(0, 0), format!("{test} ")));
        None
    }

    /// Reports a word that turns a test round: `path is not "/x"`. `test` is what is to stand in its place.
    fn turned_round<T>(&mut self, args: &Args<'_, 't>, span: Span, test: &str) -> Option<T> {
        let (word, other) = if args.of.name == "unless" { ("unless", "when") } else { ("when", "unless") };
        let report =
            Diagnostic::new(codes::JOINED, span, format!("{} turns no test round", quoted(self.sources.slice(span))));
        let next = args.rest().iter().find(|item| item.span.start > span.start);
        // In `any { … }` there is no line to change.
        self.report(if self.sources.slice(args.head) == word {
            let report = report.help(format!("write `{other}` in place of `{word}`")).edit(args.head, other);
            report.edit(Span { end: next.map_or(span.end, |next| next.span.start), ..span }, test)
        } else {
            report.help(format!("write `{other} …` on a line of its own"))
        });
        None
    }

    /// `is`: what exactly is compared depends on the subject. `test` is where the word stands, if it has one value.
    pub(super) fn is(&mut self, subject: &Subject, args: &mut Args<'_, 't>, test: Option<Span>) -> Option<Predicate> {
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
            Subject::Path => {
                self.texts(args, "a path", |cx, path, span| cx.check_path(path, span, ("is", test))).map(Predicate::Is)
            }
            Subject::Method => self.words(args, "a method", Self::check_tested_method).map(Predicate::Is),
            Subject::Scheme => self
                .words(args, "`http` or `https`", |cx, word, span| {
                    cx.check_choice(word, span, "a scheme", &["http", "https"])
                })
                .map(Predicate::Is),
            Subject::Protocol => self
                .words(args, "`h1`, `h2` or `h3`", |cx, word, span| {
                    cx.check_choice(word, span, "a protocol", &HttpVersion::WORDS)?;
                    cx.ask(Wanted::Http(HttpVersion::of_word(word)?), span);
                    Some(())
                })
                .map(Predicate::Is),
            Subject::Upgrade => {
                let mut words = self.words(args, "`websocket`", Self::check_upgrade)?;
                words.iter_mut().for_each(|word| word.make_ascii_lowercase());
                Some(Predicate::Is(words))
            }
            Subject::TlsVersion => self
                .words(args, "`tls1.2` or `tls1.3`", |cx, word, span| {
                    cx.check_choice(word, span, "a version of TLS", &["tls1.2", "tls1.3"])?;
                    cx.ask(Wanted::Version(if word == "tls1.2" { TlsVersion::Tls12 } else { TlsVersion::Tls13 }), span);
                    Some(())
                })
                .map(Predicate::Is),
            Subject::TlsGroup => self
                .words(args, "a group of the key exchange", |cx, word, span| {
                    let groups: Vec<&str> = Place::KeyExchangeGroup.words().iter().map(|group| group.name).collect();
                    cx.check_choice(word, span, "a group of the key exchange", &groups)
                })
                .map(Predicate::Is),
            Subject::ClientCert(ClientCertField::Fingerprint) => {
                self.texts(args, "a fingerprint", Self::check_fingerprint).map(Predicate::Is)
            }
            Subject::Header(name) if name == "host" => {
                self.texts(args, "a host", |cx, text, span| cx.check_glob(subject, text, span)).map(Predicate::Is)
            }
            _ => self
                .texts(args, "a text", |cx, text, span| {
                    cx.doubt_exact_glob(text, span, test);
                    Some(())
                })
                .map(Predicate::Is),
        }
    }

    /// Statuses or ranges of them: one, or several in a list.
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

    /// Texts, each checked: one, or several in a list.
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

    /// Texts as [`Self::texts`] reads them, where bare words may stand too.
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
            let read = self.regex_text(subject, &mut element);
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
            matches.elsewhere |= *subject != Subject::Host;
        }
        right.then_some(Predicate::Matches(texts))
    }

    fn regex_text(&mut self, subject: &Subject, args: &mut Args<'_, 't>) -> Option<(String, Groups)> {
        let (raw, span) = self.raw_text(args, "a regular expression")?;
        let text = match raw {
            Raw::Literal(raw) => self.unescape(raw, span, true)?,
            Raw::Env(value) => value,
        };
        let groups = self.regex(&text, span)?;
        self.check_regex_meets(subject, &text, span)?;
        Some((text, groups))
    }
}

/// Whether a test has one value, which is no list.
fn single(args: &Args<'_, '_>) -> bool {
    matches!(args.rest(), [Item { kind: ItemKind::Text(_), .. }])
}

/// The test that a value is likely meant for.
fn usual_test(value: &str, fitting: &[&'static str]) -> &'static str {
    let find = |wanted: &str| fitting.iter().copied().find(|test| *test == wanted);
    let glob = if value.contains('*') { find("like") } else { None };
    glob.or(find("in")).or(find("is")).unwrap_or("is")
}

/// The tests that fit a subject.
fn fitting(subject: &Subject) -> &'static [&'static str] {
    match subject {
        Subject::Path => &["is", "like", "under", "matches"],
        Subject::Method | Subject::Scheme | Subject::Protocol | Subject::Upgrade => &["is"],
        Subject::TlsVersion | Subject::TlsGroup => &["is"],
        Subject::ClientIp | Subject::PeerIp => &["in", "is"],
        Subject::Status => &["is"],
        Subject::Host
        | Subject::Sni
        | Subject::ClientCert(_)
        | Subject::ClientCertAttribute(..)
        | Subject::Header(_)
        | Subject::Query(_)
        | Subject::Cookie(_)
        | Subject::Var(_)
        | Subject::ResponseHeader(_) => &["is", "like", "matches", "present", "absent"],
    }
}
