//! Tests that no request meets: paths and hosts in a spelling that no request has once it was normalised.
//!
//! Requests come to rules with their path and host in one spelling (`spelt.rs`). What is
//! proved is proved for every text that a test could meet, so that nothing which might hold is refused.

use std::net::Ipv6Addr;

use super::checker::Checker;
use super::gathered::Wanted;
use super::spelt::{Spelt, UriComponent, begins_rightly, is_host_char, meets, mended, path_glob, unreachable_path};
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::Subject;
use crate::source::Span;

impl Checker<'_, '_> {
    /// A path of `is` or `under`. Escapes in it are put into their one spelling by whoever compares.
    pub(super) fn check_path_reached(&mut self, path: &str, span: Span, word: &str, test: Option<Span>) -> Option<()> {
        if path.contains('*') {
            let prefix = path.strip_suffix("/*").or_else(|| path.strip_suffix('*')).unwrap_or_default();
            let whole = if prefix.is_empty() { "/" } else { prefix };
            let report = Diagnostic::new(
                codes::BAD_TEXT,
                span,
                format!("`{word}` compares exactly, and a `*` is only a `*` there: {}", quoted(path)),
            );
            let (mend, shown) = if prefix.contains('*') || !path.ends_with('*') {
                (None, "write `like` in its place".to_owned())
            } else {
                let text = format!("\"{whole}\"");
                (Some(text.clone()), format!("write `under {text}`, or `like`"))
            };
            let report = report.help(shown);
            self.report(match (test, mend) {
                (Some(test), Some(mend)) => report.edit(test, "under").edit(span, mend),
                (Some(test), None) if word == "is" => report.edit(test, "like"),
                _ => report,
            });
            return None;
        }
        let why = unreachable_path(path);
        if why.is_empty() {
            self.ask_of_paths(path, span);
            return Some(());
        }
        self.report(Diagnostic::new(codes::NEVER_MET, span, why).help("write the path as requests have it"));
        None
    }

    /// Notes what only a listener with `paths plain` lets a test of paths see.
    fn ask_of_paths(&mut self, path: &str, span: Span) {
        if path.contains("//") {
            self.ask(Wanted::EmptySegment, span);
        } else if path.contains(';') {
            self.ask(Wanted::Parameters, span);
        }
    }

    /// A host of `is`, without a final dot and in ASCII.
    pub(super) fn check_host_reached(&mut self, host: &str, span: Span) -> Option<()> {
        let bare = host.strip_prefix('[').map_or(host, |rest| rest.strip_suffix(']').unwrap_or(rest));
        if let Ok(address) = bare.parse::<Ipv6Addr>() {
            let spelt = format!("[{address}]");
            if host.eq_ignore_ascii_case(&spelt) || host.eq_ignore_ascii_case(&address.to_string()) {
                return Some(());
            }
            let report =
                Diagnostic::new(codes::NEVER_MET, span, "addresses of IPv6 are compared in one spelling (RFC 5952)");
            self.report(report.write(&format!("\"{spelt}\"")));
            return None;
        }
        let lower = host.to_ascii_lowercase();
        let odd = lower.chars().find(|c| !is_host_char(*c));
        let why = match odd {
            Some(c) => format!("no host has the character {}", quoted(&c.to_string())),
            None if lower.split('.').any(str::is_empty) => "no host has an empty label".to_owned(),
            None => return Some(()),
        };
        self.report(Diagnostic::new(codes::NEVER_MET, span, why).help("write a host, as `\"shop.example\"`"));
        None
    }

    /// A glob of `like`; of `header "host"`, also a text of `is`.
    pub(super) fn check_glob(&mut self, subject: &Subject, glob: &str, span: Span) -> Option<()> {
        if let Subject::ClientCert(field) = subject {
            self.doubt_name_glob(*field, glob, span);
        }
        let Some(kind) = UriComponent::of(subject) else { return Some(()) };
        let report = match kind {
            UriComponent::Path => match path_glob(glob) {
                Spelt::Right => {
                    self.doubt_path_glob(glob, span);
                    self.ask_of_paths(glob, span);
                    return Some(());
                }
                Spelt::Other(mend) => Diagnostic::new(
                    codes::NEVER_MET,
                    span,
                    "paths are compared as they stand in requests, with their escapes",
                )
                .write(&format!("\"{mend}\"")),
                Spelt::Never(why) => {
                    Diagnostic::new(codes::NEVER_MET, span, why).help("write the path as requests have it")
                }
            },
            UriComponent::Host | UriComponent::Authority => host_glob(kind, glob, span),
        };
        if report.message.is_empty() {
            return Some(());
        }
        self.report(report);
        None
    }

    /// An expression of `matches` that was read.
    pub(super) fn check_regex_meets(&mut self, subject: &Subject, text: &str, span: Span) -> Option<()> {
        let Some(kind) = UriComponent::of(subject) else { return Some(()) };
        let Ok(hir) = regex_syntax::parse(text) else { return Some(()) };
        if meets(&hir, kind) && begins_rightly(&hir, kind) {
            return Some(());
        }
        let mend = mended(text, kind)
            .filter(|mend| regex_syntax::parse(mend).is_ok_and(|hir| meets(&hir, kind) && begins_rightly(&hir, kind)));
        let (message, help) = match kind {
            UriComponent::Path => (
                "no path meets this expression: it asks for what paths have escaped, or not at all",
                "write the path as requests have it: `%20` for a space, `%C3%A4` for `ä`, and `/` at its beginning",
            ),
            UriComponent::Host | UriComponent::Authority => (
                "no host meets this expression: hosts are compared in lower case, and in ASCII",
                "write the host as it is compared, in lower case; letters beyond ASCII as DNS has them, with `xn--`",
            ),
        };
        let report = Diagnostic::new(codes::NEVER_MET, span, message);
        self.report(match mend {
            Some(mend) => report.write(&format!("\"{mend}\"")),
            None => report.help(help),
        });
        None
    }

    /// Warns of a `*` in a text that is compared exactly.
    pub(super) fn doubt_exact_glob(&mut self, text: &str, span: Span, test: Option<Span>) {
        // A media type is a text with `*` of its own.
        let glob = text.len() > 1 && (text.starts_with('*') || text.ends_with('*'));
        if !glob || text.contains("*/") || text.contains("/*") {
            return;
        }
        let report =
            Diagnostic::new(codes::EXACT_GLOB, span, format!("`is` compares exactly: {} holds a `*`", quoted(text)))
                .help("write `like` in place of `is`, if any run of characters is meant");
        self.report(match test {
            Some(test) => report.edit(test, "like"),
            None => report,
        });
    }
}

/// The report of a glob of hosts that no request meets; its message is empty if one may.
fn host_glob(kind: UriComponent, glob: &str, span: Span) -> Diagnostic {
    let never = |why: &str| Diagnostic::new(codes::NEVER_MET, span, why);
    let lower = glob.to_ascii_lowercase();
    let odd = lower.chars().find(|c| !kind.has(*c) && !matches!(c, '*' | '?'));
    let (host, port) = glob.rsplit_once(':').unwrap_or((glob, ""));
    let has_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':');
    if let Some(rest) = glob.split_once("://").map(|(_, rest)| rest) {
        never("a host stands without its scheme").write(&format!("\"{rest}\""))
    } else if let Some(c) = odd {
        let why = format!("no host has the character {}", quoted(&c.to_string()));
        let help =
            if c.is_ascii() { "a host stands without path and query" } else { "write it as DNS has it, with `xn--`" };
        never(&why).help(help)
    } else if kind == UriComponent::Host && has_port {
        never("a host stands without its port").write(&format!("\"{host}\""))
    } else if let Some(without) = glob.strip_suffix('.') {
        never("hosts are compared without their final dot").write(&format!("\"{without}\""))
    } else if kind == UriComponent::Authority && lower != glob {
        never("hosts are compared in lower case").write(&format!("\"{lower}\""))
    } else {
        never("")
    }
}
