//! Steps: what a rule does to a request or a response.

use super::args::Args;
use super::checker::Checker;
use super::names::Kind;
use super::template::{Moment, Scope};
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{
    ExtensionId, GroupId, HeaderStep, Limit, LimitKey, Mirror, Piece, ResponseStep, Step, Template, UriPart,
};
use crate::source::Span;
use crate::tree::ItemKind;
use crate::value;
use crate::vocabulary::{Place, Word};

impl<'t> Checker<'_, 't> {
    /// A step of a rule.
    pub(crate) fn step(&mut self, word: &'static Word, args: &mut Args<'_, 't>, scope: Scope<'_>) -> Option<Step> {
        let step = match word.name {
            "limit" => Step::Limit(self.limit(args)?),
            "rewrite" => self.rewrite(args, scope)?,
            "set-var" => {
                let (name, value) = self.set_var(args, scope)?;
                Step::SetVar(name, value)
            }
            "run" => Step::Run(self.run(args)?),
            "mirror" => Step::Mirror(self.mirror(args, word)?),
            "cors" => return Some(Step::Cors(self.cors(args)?)),
            "timeout" => Step::Timeout(self.timeout(args, word)?),
            "log" => Step::Log(self.template(args, "the text of the line", scope)?.0),
            _ => Step::Header(self.header_step(word, args, scope)?),
        };
        self.done(args)?;
        Some(step)
    }

    /// A step of `on-response`.
    pub(crate) fn response_step(
        &mut self,
        word: &'static Word,
        args: &mut Args<'_, 't>,
        scope: Scope<'_>,
    ) -> Option<ResponseStep> {
        let step = match word.name {
            "set-var" => {
                let (name, value) = self.set_var(args, scope)?;
                ResponseStep::SetVar(name, value)
            }
            "log" => ResponseStep::Log(self.template(args, "the text of the line", scope)?.0),
            _ => {
                let step = self.header_step(word, args, scope)?;
                if step.name() == "alt-svc" {
                    self.gathered.alt_svc.push((args.span(), None));
                }
                ResponseStep::Header(step)
            }
        };
        self.done(args)?;
        Some(step)
    }

    fn header_step(&mut self, word: &'static Word, args: &mut Args<'_, 't>, scope: Scope<'_>) -> Option<HeaderStep> {
        let response = scope.moment == Moment::Response;
        let name = self.writable_header(args, response)?;
        if !response {
            self.take_own_header(word.name, &name, args.span());
        }
        if word.name == "remove-header" {
            self.doubt_response_field(&name, args, response);
            return Some(HeaderStep::Remove(name));
        }
        let (value, span) = self.template(args, "the value of the header", scope)?;
        self.check_header_value(&value, span)?;
        self.doubt_response_field(&name, args, response);
        Some(if word.name == "add-header" { HeaderStep::Add(name, value) } else { HeaderStep::Set(name, value) })
    }

    fn set_var(&mut self, args: &mut Args<'_, 't>, scope: Scope<'_>) -> Option<(String, Template)> {
        let name = self.plain_name(args, "a variable")?;
        let (value, _) = self.template(args, "the value of the variable", scope)?;
        Some((name, value))
    }

    /// `run EXTENSION`: it must have a hook to run.
    pub(crate) fn run(&mut self, args: &mut Args<'_, 't>) -> Option<ExtensionId> {
        let (id, span) = self.reference(args, Kind::Extension)?;
        if let Some(Some(facts)) = self.facts.get(id)
            && facts.hooks.is_empty()
        {
            let name = self.sources.slice(span).to_owned();
            self.report(
                Diagnostic::new(codes::NO_HOOK, span, format!("the extension `{name}` has no hook to run"))
                    .help("its module exports neither a request hook nor a response hook"),
            );
            return None;
        }
        Some(ExtensionId(id))
    }

    /// `mirror GROUP [P%]`
    fn mirror(&mut self, args: &mut Args<'_, 't>, word: &'static Word) -> Option<Mirror> {
        let group = GroupId(self.reference(args, Kind::Group)?.0);
        let percent = match args.peek() {
            Some(_) => self.percent(args, word)?,
            None => 100,
        };
        Some(Mirror { group, percent })
    }

    fn timeout(&mut self, args: &mut Args<'_, 't>, word: &'static Word) -> Option<std::time::Duration> {
        let timeout = self.duration(args, word)?;
        self.warn_if_long(args, timeout);
        Some(timeout)
    }

    fn rewrite(&mut self, args: &mut Args<'_, 't>, scope: Scope<'_>) -> Option<Step> {
        if let Some(item) = args.peek()
            && let ItemKind::Text(raw) = item.kind
            && raw.starts_with("\"/")
        {
            self.report(
                Diagnostic::new(
                    codes::MISSING_ARGUMENT,
                    item.span,
                    "`rewrite` lacks what is rewritten: `path`, `host` or `query`",
                )
                .help(format!("write {}", quoted(&format!("rewrite path {raw}"))))
                .edit(item.span.part(0, 0), "path "),
            );
            return None;
        }
        let part = match self.choose(args, Place::Rewrite)?.name {
            "path" => UriPart::Path,
            "host" => UriPart::Host,
            _ => UriPart::Query,
        };
        let (value, span) = self.template(args, "what it becomes", scope)?;
        self.check_rewrite(part, &value, span)?;
        Some(Step::Rewrite(part, value))
    }

    fn check_rewrite(&mut self, part: UriPart, value: &Template, span: Span) -> Option<()> {
        let texts = || {
            value.0.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None })
        };
        let holds = |odd: &[char]| texts().any(|text| text.contains(odd));
        let starts = match value.0.first() {
            None => "",
            Some(Piece::Text(text)) => text,
            Some(Piece::Insert(_)) => "/",
        };
        let blank = texts().any(|text| text.contains(|c: char| c.is_control() || c.is_whitespace()));
        let (wrong, help) = match part {
            UriPart::Path if !starts.starts_with('/') => ("a path begins with `/`", "write `/` before it"),
            UriPart::Path if holds(&['?', '#']) => {
                ("a path holds no `?` and no `#`", "write `rewrite query` for the query")
            }
            UriPart::Host if value.0.is_empty() => ("a host is not empty", "write a host, as `\"shop.example\"`"),
            UriPart::Host if holds(&['/', '?', '#', '@']) => {
                ("a host holds no scheme and no path", "write only the host")
            }
            UriPart::Query if starts.starts_with('?') => ("a query is written without `?`", "remove the `?`"),
            UriPart::Query if holds(&['#']) => ("a query holds no `#`", "write `%23`"),
            _ if blank => ("this part of a URI holds no blanks", "write `%20` for a space"),
            _ => return Some(()),
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, wrong).help(help));
        None
    }

    /// `limit RATE [per KEY] [prefix N] [burst N] [status N]`
    fn limit(&mut self, args: &mut Args<'_, 't>) -> Option<Limit> {
        let ((requests, interval), _) = self.value(args, "a rate", value::rate)?;
        let mut limit = Limit {
            requests,
            interval,
            per: LimitKey::All,
            burst: requests,
            status: Place::Limit.default_number("status").and_then(|n| u16::try_from(n).ok()).unwrap_or(503),
        };
        let (mut seen, mut prefix) = (Vec::new(), None);
        while args.peek().is_some() {
            let option = self.option(args, Place::Limit, &mut seen)?;
            match option.name {
                "per" => limit.per = self.limit_key(args)?,
                "prefix" => {
                    let head = args.last();
                    prefix = Some((u8::try_from(self.count(args, option)?).ok()?, head.to(args.last())));
                }
                "burst" => limit.burst = self.count(args, option)?,
                _ => limit.status = u16::try_from(self.count(args, option)?).ok()?,
            }
        }
        match (&mut limit.per, prefix) {
            (_, None) => {}
            (LimitKey::ClientIp(at), Some((prefix, _))) => *at = prefix,
            (_, Some((_, span))) => {
                self.report(
                    Diagnostic::new(
                        codes::PREFIX,
                        span,
                        "`prefix` is about addresses, and this does not count by them",
                    )
                    .help("write `per client-ip` as well, or remove it"),
                );
                return None;
            }
        }
        Some(limit)
    }

    fn limit_key(&mut self, args: &mut Args<'_, 't>) -> Option<LimitKey> {
        Some(match self.choose(args, Place::LimitKey)?.name {
            "client-ip" => LimitKey::ClientIp(LimitKey::CLIENT_PREFIX),
            "header" => LimitKey::Header(self.header_name(args)?.0),
            "cookie" => LimitKey::Cookie(self.plain_name(args, "a cookie")?),
            _ => LimitKey::Host,
        })
    }
}
