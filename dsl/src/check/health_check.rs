//! `health-check`: how the servers of a group are asked whether they work.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::args::Args;
use super::checker::Checker;
use super::group::GOOD;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{HealthCheck, HttpProbe, Piece, Probe, Template};
use crate::source::Span;
use crate::value;
use crate::vocabulary::{Place, Word};

/// Bytes of a probe's path.
const MAX_PATH: usize = 1024;

/// Headers of a probe: far more than a server looks at.
const MAX_HEADERS: usize = 32;

/// Words of `health-check http` and `https` alone.
const OF_HTTP: [&str; 5] = ["method", "path", "host", "header", "expect"];

/// Methods of a probe: safe ones (RFC 9110, 9.2.1), so that asking changes nothing.
const ASKING: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// A health check while it is read.
struct Draft {
    kind: &'static str,
    http: HttpProbe,
    check: HealthCheck,
    every: Option<Span>,
    timeout: Option<Span>,
}

impl<'t> Checker<'_, 't> {
    /// `health-check KIND { … }`, or `health-check off`
    pub(crate) fn health_check(&mut self, args: &mut Args<'_, 't>) -> Option<Option<HealthCheck>> {
        let kind = self.choose(args, Place::Probe)?.name;
        if kind == "off" {
            self.done(args)?;
            return Some(None);
        }
        let place = Place::HealthCheck;
        let count = |name: &str| place.default_number(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let mut draft = Draft {
            kind,
            http: HttpProbe {
                tls: kind == "https",
                method: "GET".to_owned(),
                path: "/".to_owned(),
                host: None,
                headers: Vec::new(),
                expect: vec![GOOD],
            },
            check: HealthCheck {
                probe: if kind == "grpc" { Probe::Grpc } else { Probe::Tcp },
                port: None,
                every: place.default_duration("every"),
                timeout: place.default_duration("timeout"),
                healthy: count("healthy"),
                unhealthy: count("unhealthy"),
            },
            every: None,
            timeout: None,
        };
        let block = args.take_block();
        self.done(args)?;
        if let Some(block) = block {
            self.warn_if_empty(args.of.name, block);
            let lines = self.lines(block, place);
            let mut right = lines.whole;
            for mut line in lines.all {
                right &= self.health_check_line(line.word, &mut line.args, &mut draft).is_some();
            }
            if !right {
                return None;
            }
        }
        self.check_times(&mut draft)?;
        let Draft { http, mut check, .. } = draft;
        if matches!(kind, "http" | "https") {
            check.probe = Probe::Http(http);
        }
        Some(Some(check))
    }

    fn health_check_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        if OF_HTTP.contains(&word.name) && !matches!(draft.kind, "http" | "https") {
            let message = format!("a `{}` check has no `{}`", draft.kind, word.name);
            self.report(
                Diagnostic::new(codes::HEALTH_CHECK, args.head, message)
                    .help(format!("remove it, or write `health-check http {{ {} … }}`", word.name)),
            );
            return None;
        }
        match word.name {
            "path" => draft.http.path = self.probe_path(args)?,
            "method" => {
                let (method, span) = self.bare(args, "a method")?;
                self.check_choice(method, span, "a method that only asks", &ASKING)?;
                draft.http.method = method.to_owned();
            }
            "host" => draft.http.host = Some(self.probe_host(args)?),
            "header" => {
                let header = self.probe_header(args, draft.http.headers.len())?;
                draft.http.headers.push(header);
            }
            "port" => draft.check.port = Some(u16::try_from(self.count(args, word)?).ok()?),
            "every" => {
                draft.check.every = self.duration(args, word)?;
                draft.every = Some(args.span());
            }
            "timeout" => {
                draft.check.timeout = self.duration(args, word)?;
                draft.timeout = Some(args.span());
            }
            "expect" => draft.http.expect = self.statuses(args)?,
            "healthy" => draft.check.healthy = self.count(args, word)?,
            _ => draft.check.unhealthy = self.count(args, word)?,
        }
        self.done(args)
    }

    /// A host, perhaps with a port, as it stands in `Host`.
    fn probe_host(&mut self, args: &mut Args<'_, 't>) -> Option<String> {
        let (host, span) = self.text(args, "a host")?;
        let name = value::host_of(&host).unwrap_or_default();
        let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = match in_brackets {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => name.parse::<Ipv4Addr>().is_ok(),
        };
        if is_address || value::is_host_name(name) {
            return Some(host.to_ascii_lowercase());
        }
        self.report(
            Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a host", quoted(&host)))
                .help("write a host, as `\"shop.example\"` or `\"shop.example:8080\"`: no scheme, no path"),
        );
        None
    }

    /// `header "NAME" "VALUE"`; `before` is how many there are.
    fn probe_header(&mut self, args: &mut Args<'_, 't>, before: usize) -> Option<(String, String)> {
        let (name, span) = self.header_name(args)?;
        if name == "host" {
            self.report(
                Diagnostic::new(codes::RESERVED_HEADER, span, "the `Host` of a health check has a word of its own")
                    .help("write `host \"…\"`"),
            );
            return None;
        }
        self.changeable_header(&name, span, false)?;
        let (value, at) = self.text(args, "a value")?;
        self.check_header_value(&Template(vec![Piece::Text(value.clone())]), at)?;
        if before >= MAX_HEADERS {
            self.report(
                Diagnostic::new(codes::OUT_OF_RANGE, span, "this health check has too many headers")
                    .help(format!("a health check has at most {MAX_HEADERS}")),
            );
            return None;
        }
        Some((name, value))
    }

    fn probe_path(&mut self, args: &mut Args<'_, 't>) -> Option<String> {
        let (path, span) = self.text(args, "a path")?;
        let (message, help) = if path.contains("://") {
            ("a health check asks the server for a path, not for a URL".to_owned(), "write the path alone")
        } else if !path.starts_with('/') {
            (format!("{} is not a path", quoted(&path)), "a path begins with `/`")
        } else if path.len() > MAX_PATH {
            ("this path is too long".to_owned(), "a path of 1024 bytes is the longest")
        } else if path.bytes().any(|b| !b.is_ascii_graphic() || b == b'#') {
            (format!("{} is not a path", quoted(&path)), "a path holds no blanks and no `#`; write `%20` for a space")
        } else {
            return Some(path);
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, message).help(help));
        None
    }

    /// An answer is waited for no longer than until the next question.
    fn check_times(&mut self, draft: &mut Draft) -> Option<()> {
        let check = &mut draft.check;
        let Some(timeout) = draft.timeout else {
            check.timeout = check.timeout.min(check.every);
            return Some(());
        };
        if check.timeout <= check.every {
            return Some(());
        }
        let (timeout_shown, every) = (value::show_duration(check.timeout), value::show_duration(check.every));
        let mut report = Diagnostic::new(
            codes::HEALTH_CHECK,
            timeout,
            format!("a timeout of `{timeout_shown}` outlasts the time between two checks, `{every}`"),
        )
        .help(format!("write a timeout of at most `{every}`, or a longer `every`"));
        if let Some(span) = draft.every {
            report = report.also(span, "the next check begins after this time");
        }
        self.report(report);
        None
    }
}
