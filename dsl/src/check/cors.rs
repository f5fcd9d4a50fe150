//! `cors`: which pages of other origins may use what a rule answers (Fetch standard, "HTTP-CORS protocol").

use std::collections::HashSet;

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Condition, Cors, CorsHeaders, CorsOrigins, Predicate, Subject, Test};
use crate::source::Span;
use crate::vocabulary::{Place, Word};

/// Origins of a `cors`, and names in one of its lists: all are looked at for a request.
const MAX_ENTRIES: usize = 100;

/// A `cors` while it is read.
struct Draft {
    cors: Cors,
    origins: Option<Span>,
    expose: Option<Span>,
    credentials: Option<Span>,
}

impl<'t> Checker<'_, 't> {
    /// `cors { … }`
    pub(crate) fn cors(&mut self, args: &mut Args<'_, 't>) -> Option<Cors> {
        let block = self.block(args)?;
        let mut draft = Draft {
            cors: Cors {
                origins: CorsOrigins::Only(Vec::new()),
                methods: ["GET", "HEAD", "POST"].map(str::to_owned).to_vec(),
                headers: CorsHeaders::Only(Vec::new()),
                expose: Vec::new(),
                credentials: Place::Cors.default_switch("credentials"),
                max_age: Place::Cors.default_duration("max-age"),
            },
            origins: None,
            expose: None,
            credentials: None,
        };
        let lines = self.lines(block, Place::Cors);
        let (whole, mut right) = (lines.whole, lines.whole);
        let has_origins = lines.all.iter().any(|line| line.word.name == "origins");
        for mut line in lines.all {
            right &= self.cors_line(line.word, &mut line.args, &mut draft).is_some();
        }
        if !has_origins {
            self.must_have(args, whole, "`origins`", "write `origins [\"https://shop.example\"]`, or `origins \"*\"`");
            return None;
        }
        if !right {
            return None;
        }
        self.check_credentials(&draft)?;
        Some(draft.cors)
    }

    fn cors_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        let head = args.head;
        let cors = &mut draft.cors;
        match word.name {
            "origins" => {
                cors.origins = self.origins(args)?;
                draft.origins = Some(head.to(args.last()));
            }
            "methods" => cors.methods = self.cors_methods(args)?,
            "headers" => {
                let names = self.header_names(args)?;
                let any = names.iter().any(|name| name == "*");
                cors.headers = if any { CorsHeaders::Any } else { CorsHeaders::Only(names) };
            }
            "expose" => {
                cors.expose = self.header_names(args)?;
                draft.expose = Some(head.to(args.last()));
            }
            "credentials" => {
                cors.credentials = self.switch(args)?;
                draft.credentials = Some(head.to(args.last()));
            }
            _ => cors.max_age = self.duration(args, word)?,
        }
        self.done(args)
    }

    /// With credentials, `*` is no wildcard to a browser: it refuses the answer (Fetch, "CORS check").
    fn check_credentials(&mut self, draft: &Draft) -> Option<()> {
        let (true, Some(credentials)) = (draft.cors.credentials, draft.credentials) else { return Some(()) };
        let (span, message, help) = if draft.cors.origins == CorsOrigins::Any {
            (
                draft.origins?,
                "`\"*\"` and `credentials on` do not go together: browsers refuse it, and any site could act as the user",
                "name the origins that may send cookies, as `origins [\"https://shop.example\"]`, or remove `credentials on`",
            )
        } else if draft.cors.expose.iter().any(|name| name == "*") {
            (
                draft.expose?,
                "with `credentials on`, browsers take `\"*\"` in `expose` for the name of a header",
                "name the headers that they may read",
            )
        } else {
            return Some(());
        };
        self.report(
            Diagnostic::new(codes::CORS_CREDENTIALS, span, message)
                .also(credentials, "cookies are allowed here")
                .help(help),
        );
        None
    }

    fn origins(&mut self, args: &mut Args<'_, 't>) -> Option<CorsOrigins> {
        let mut origins = Vec::new();
        let mut right = true;
        for (origin, span) in self.entries(args, "an origin")? {
            if origin == "*" {
                origins.push(origin);
                continue;
            }
            match self.origin(&origin, span) {
                Some(origin) => origins.push(origin),
                None => right = false,
            }
        }
        if !right {
            return None;
        }
        let any = origins.iter().any(|origin| origin == "*");
        Some(if any { CorsOrigins::Any } else { CorsOrigins::Only(origins) })
    }

    /// Scheme, host, perhaps a port (RFC 6454, 6.2), in lower case, as browsers write them.
    fn origin(&mut self, written: &str, span: Span) -> Option<String> {
        let mut bad = |message: String, help: String| {
            self.report(Diagnostic::new(codes::ORIGIN, span, message).help(help));
            None
        };
        // `mend` is the origin that was meant.
        let meant = |message: String, help: &str, mend: &str| {
            let mend = format!("\"{mend}\"");
            Diagnostic::new(codes::ORIGIN, span, message).help(format!("{help} {}", quoted(&mend))).edit(span, mend)
        };
        let not = || format!("{} is not an origin", quoted(written));
        if written.eq_ignore_ascii_case("null") {
            return bad(
                "every sandboxed page and every local file calls its origin `null`".to_owned(),
                "name the origins that may ask".to_owned(),
            );
        }
        let Some((scheme, rest)) = written.split_once("://") else {
            let host = written.split(['/', '?', '#']).next().unwrap_or_default();
            self.report(meant(not(), "write the scheme, too:", &format!("https://{host}")));
            return None;
        };
        if let Some((authority, _)) = rest.split_once(['/', '?', '#']) {
            self.report(meant(not(), "an origin has no path, so write", &format!("{scheme}://{authority}")));
            return None;
        }
        let host = rest.rsplit_once(':').map_or(rest, |(host, port)| if port.ends_with(']') { rest } else { host });
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._*[]:".contains(c);
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if host.is_empty() || !is_scheme || !rest.chars().all(plain) {
            return bad(
                not(),
                "an origin is written as `\"https://shop.example\"` or `\"http://localhost:3000\"`".to_owned(),
            );
        }
        self.warn_if_wide(scheme, host, span);
        Some(written.to_ascii_lowercase())
    }

    /// A `*` beside letters, or at the end, fits hosts of other people.
    fn warn_if_wide(&mut self, scheme: &str, host: &str, span: Span) {
        let Some((before, after)) = host.rsplit_once('*') else { return };
        let (message, help) = if host == "*" {
            let help = "write `\"*\"` if every origin is meant, or the origins that are";
            ("this fits every origin of its scheme".to_owned(), help.to_owned())
        } else if after.starts_with('.') {
            return;
        } else {
            let (stranger, mend) = match after {
                "" => (format!("{before}.evil.example").replace("..", "."), before.trim_end_matches('.').to_owned()),
                after => (format!("{before}evil{after}"), format!("*.{}", after.trim_start_matches('-'))),
            };
            let stranger = quoted(&format!("{scheme}://{}", stranger.replace('*', "")));
            let mend = quoted(&format!("\"{scheme}://{mend}\""));
            (
                format!("the `*` also fits {stranger}, which may be anybody's"),
                format!("write {mend}, or the whole name of each host"),
            )
        };
        self.report(Diagnostic::new(codes::WIDE_ORIGIN, span, message).help(help));
    }

    fn cors_methods(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<String>> {
        let mut methods = self.words(args, "a method", |cx, method, span| {
            if method != "*" {
                return cx.check_method(method, span);
            }
            cx.report(
                Diagnostic::new(codes::BAD_TEXT, span, "`*` is not a method")
                    .help("name the methods, as `methods [GET, POST, PUT, DELETE]`"),
            );
            None
        })?;
        let mut seen = HashSet::new();
        methods.retain(|method| seen.insert(method.clone()));
        Some(methods)
    }

    /// Names of headers, in lower case; the list may be empty.
    fn header_names(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        let mut right = true;
        for (name, span) in self.entries(args, "the name of a header")? {
            let name = name.to_ascii_lowercase();
            right &= self.check_header_name(&name, span).is_some();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        right.then_some(names)
    }

    /// Texts of a list, which may be empty.
    fn entries(&mut self, args: &mut Args<'_, 't>, what: &str) -> Option<Vec<(String, Span)>> {
        if what != "an origin" && args.eat_empty_list() {
            return Some(Vec::new());
        }
        let mut entries = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, what)? {
            match self.text(&mut element, what) {
                Some(entry) if self.element_done(&mut element).is_some() => entries.push(entry),
                _ => right = false,
            }
        }
        if entries.len() > MAX_ENTRIES {
            self.report(
                Diagnostic::new(codes::OUT_OF_RANGE, args.last(), format!("`{}` has too many entries", args.of.name))
                    .help(format!("it has at most {MAX_ENTRIES}")),
            );
            return None;
        }
        right.then_some(entries)
    }

    /// Warns where the conditions of a rule keep preflight requests, whose method is `OPTIONS`, from its `cors`.
    pub(crate) fn check_preflight(&mut self, conditions: &[(Condition, Span)], cors: Span) {
        let keeps_out = |condition: &Condition| match (&condition.test, condition.unless) {
            (Test::Is(Subject::Method, Predicate::Is(methods)), unless) => {
                methods.iter().any(|method| method == "OPTIONS") == unless
            }
            _ => false,
        };
        let Some((_, span)) = conditions.iter().find(|(condition, _)| keeps_out(condition)) else { return };
        self.report(
            Diagnostic::new(codes::PREFLIGHT, cors, "browsers ask with `OPTIONS` first, and that does not come here")
                .also(*span, "this keeps it out")
                .help("let `OPTIONS` in, too, as `when method is [GET, OPTIONS]`"),
        );
    }
}
