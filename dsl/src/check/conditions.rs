//! `when` and `unless`: what is looked at, and what it must meet.

use super::Checker;
use super::args::{Args, usage};
use super::reach_tls::Wanted;
use super::regex::{Groups, Matches};
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::plan::{ClientCertField, Condition, NetworkSet, Predicate, StatusRange, Subject, Test, TlsVersion};
use crate::source::Span;
use crate::tree::ItemKind;
use crate::value;
use crate::vocabulary::{Place, Word};

/// Methods that are written in capitals (RFC 9110, 9, and RFC 5789).
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Where a condition stands.
pub(crate) struct Context<'m> {
    /// Whether there is a response to look at.
    pub(crate) response: bool,
    /// Whether the test stands in an `any`.
    in_any: bool,
    /// Whether what `matches` finds can be used: not behind `unless`, not in `on-response`.
    found: Option<&'m mut Matches>,
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

    fn predicate(
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
                let mut patterns = self.texts(args, "a pattern", |cx, pattern, span| {
                    if *subject == Subject::Path {
                        cx.doubt_path_glob(pattern, span);
                    }
                    Some(())
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
            _ => crate::suggest::nearest(written, fitting.iter().copied()),
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

    fn client_cert_field(&mut self, args: &mut Args<'_, 't>) -> Option<ClientCertField> {
        Some(match self.choose(args, Place::ClientCertField)?.name {
            "subject" => ClientCertField::Subject,
            "issuer" => ClientCertField::Issuer,
            _ => ClientCertField::Fingerprint,
        })
    }

    fn is(&mut self, subject: &Subject, args: &mut Args<'_, 't>) -> Option<Predicate> {
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

    fn check_host(&mut self, host: &str, span: Span) -> Option<()> {
        let bare = host.split_once("://").map_or(host, |(_, rest)| rest);
        let bare = bare.split('/').next().unwrap_or(bare);
        let bare = match bare.rsplit_once(':') {
            Some((name, port))
                if !port.is_empty() && !bare.ends_with(']') && port.bytes().all(|b| b.is_ascii_digit()) =>
            {
                name
            }
            _ => bare,
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '@');
        if !host.is_empty() && bare == host && !host.contains(odd) {
            if !host.contains('*') {
                return Some(());
            }
            self.report(
                Diagnostic::new(
                    codes::BAD_TEXT,
                    span,
                    format!("`is` compares exactly, and no host holds `*`: {}", quoted(host)),
                )
                .help("write `like` in place of `is`"),
            );
            return None;
        }
        let help = match bare {
            "" => "write a host, as `\"shop.example\"`".to_owned(),
            bare => format!("a host stands without scheme, port and path: write `\"{bare}\"`"),
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a host", quoted(host))).help(help));
        None
    }

    fn check_path(&mut self, path: &str, span: Span) -> Option<()> {
        if path == "*" || (path.starts_with('/') && !path.contains(['?', '#'])) {
            return Some(());
        }
        let help = if path.contains(['?', '#']) {
            "a path holds no query; test it with `query \"name\"`".to_owned()
        } else {
            format!("a path begins with `/`: write `\"/{path}\"`")
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a path", quoted(path))).help(help));
        None
    }

    /// SHA-256 in lower-case hexadecimal digits, since it is compared as text.
    fn check_fingerprint(&mut self, written: &str, span: Span) -> Option<()> {
        let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        let plain = written.replace([':', ' '], "").to_ascii_lowercase();
        if is_hex(&plain, 64) && plain == written {
            return Some(());
        }
        let help = if is_hex(&plain, 64) {
            format!("write its digits alone, in lower case: `\"{plain}\"`")
        } else if is_hex(&plain, 40) {
            "this is SHA-1; `openssl x509 -noout -fingerprint -sha256` prints the right one".to_owned()
        } else {
            "a fingerprint is SHA-256: 64 hexadecimal digits in lower case".to_owned()
        };
        let message = format!("{} is not a fingerprint", quoted(written));
        self.report(Diagnostic::new(codes::BAD_TEXT, span, message).help(help));
        None
    }

    pub(crate) fn check_method(&mut self, method: &str, span: Span) -> Option<()> {
        let upper = method.to_ascii_uppercase();
        if METHODS.contains(&upper.as_str()) && upper != method {
            self.report(
                Diagnostic::new(
                    codes::BAD_TEXT,
                    span,
                    format!("methods are compared with their case: {}", quoted(method)),
                )
                .help(format!("write `{upper}`")),
            );
            return None;
        }
        if super::header::is_token(method) {
            return Some(());
        }
        self.report(
            Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a method", quoted(method)))
                .help("write a method, as `GET`"),
        );
        None
    }

    fn check_choice(&mut self, word: &str, span: Span, what: &str, choices: &[&str]) -> Option<()> {
        if choices.contains(&word) {
            return Some(());
        }
        let help = format!("write {}", one_of(choices.iter().copied()));
        self.report(Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not {what}", quoted(word))).help(help));
        None
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
            super::args::Raw::Literal(raw) => self.unescape(raw, span, true)?,
            super::args::Raw::Env(value) => value,
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
