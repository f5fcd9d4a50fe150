//! Warnings about policies that compile, and are hardly what was meant.

use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Insert, Listener, ListenerAction, OTHERWISE, Outcome, Piece, Plan, Protocol, Step, Template};
use crate::source::Span;

/// Letters of a path's last segment from which on a glob behind it is taken for a prefix; `/v*` is meant as it is.
const MIN_SEGMENT: usize = 3;

impl Checker<'_, '_> {
    /// Warns of an expression for hosts in which a dot between letters stands for any character.
    pub(crate) fn doubt_host_regex(&mut self, text: &str, span: Span) {
        if loose_dots(text).is_empty() {
            return;
        }
        let mend = format!("\"{}\"", with_dots_escaped(text));
        self.report(
            Diagnostic::new(codes::LOOSE_DOT, span, "a `.` of this expression is any character, not only a dot")
                .help(format!("write {}; for a host without more, write `is`", quoted(&mend)))
                .edit(span, mend),
        );
    }

    /// Warns of a glob that was meant as a prefix by segments.
    pub(crate) fn doubt_path_glob(&mut self, text: &str, span: Span) {
        let Some(prefix) = text.strip_suffix('*') else { return };
        let segment = prefix.rsplit('/').next().unwrap_or_default();
        let word = segment.len() >= MIN_SEGMENT && segment.bytes().all(|b| b.is_ascii_alphanumeric());
        if prefix.contains(['*', '?']) || !prefix.starts_with('/') || !word {
            return;
        }
        let other = quoted(&format!("{prefix}-other"));
        self.report(
            Diagnostic::new(codes::LOOSE_PREFIX, span, format!("this also fits {other}, which is another path"))
                .help(format!("write {} for the path and what is below it", quoted(&format!("under \"{prefix}\"")))),
        );
    }

    /// Warns of a header that servers confuse with another one.
    pub(crate) fn doubt_header_name(&mut self, name: &str, span: Span) {
        if !name.contains('_') {
            return;
        }
        let mend = format!("\"{}\"", name.replace('_', "-"));
        self.report(
            Diagnostic::new(codes::UNDERSCORE, span, format!("many servers drop the header {}", quoted(name)))
                .help(format!("write {}: to them `_` and `-` are the same, so they take no `_`", quoted(&mend)))
                .edit(span, mend),
        );
    }

    /// Warns of redirections that lead back to where the request came in.
    pub(crate) fn doubt_redirects(&mut self, plan: &Plan, binds: &[Span]) {
        for (at, listener) in plan.listeners.iter().enumerate() {
            let ListenerAction::Rules(id) = &listener.action else { continue };
            let Some(set) = plan.rule_sets.get(id.0) else { continue };
            for (position, rule) in set.rules.iter().enumerate() {
                let Outcome::Redirect(_, location) = &rule.outcome else { continue };
                // What was rewritten is another URL.
                let rewritten = rule.steps.iter().any(|step| matches!(step, Step::Rewrite(..)));
                if rewritten || !leads_back(location, listener) {
                    continue;
                }
                let span = self.rule_spans.get(id.0).and_then(|spans| spans.get(position)).copied();
                let name = if rule.name == OTHERWISE { String::new() } else { format!(" {}", quoted(&rule.name)) };
                let message = format!("this rule{name} sends a request back to where it came in");
                let mut report = Diagnostic::new(codes::REDIRECT_LOOP, span.unwrap_or_default(), message)
                    .help("redirect to another scheme, host or path, or forward");
                if let Some(bind) = binds.get(at) {
                    report = report.also(*bind, format!("it came in at the listener {}", quoted(&listener.name)));
                }
                self.report(report);
            }
        }
    }
}

/// Whether a location is the very URL of the request: what was redirected once meets the same rule again.
fn leads_back(location: &Template, listener: &Listener) -> bool {
    let (scheme, usual) = match listener.protocol {
        Protocol::Http => ("http", 80),
        Protocol::Https | Protocol::Quic => ("https", 443),
    };
    let mut written = String::new();
    for piece in &location.0 {
        match piece {
            Piece::Text(text) => written.push_str(text),
            Piece::Insert(Insert::Scheme) => written.push_str(scheme),
            Piece::Insert(Insert::Host) => written.push_str("{host}"),
            Piece::Insert(Insert::Port) => written.push_str("{port}"),
            Piece::Insert(Insert::Uri | Insert::OriginalUri) => written.push_str("{uri}"),
            Piece::Insert(_) => return false,
        }
    }
    // `${host}` leaves the port out, which leads elsewhere unless it is the usual one.
    written == format!("{scheme}://{{host}}:{{port}}{{uri}}")
        || written == "{uri}"
        || listener.bind.port() == usual && written == format!("{scheme}://{{host}}{{uri}}")
}

/// The places of dots between letters or digits, bare: outside of brackets, without a backslash, and nothing repeats
/// them.
fn loose_dots(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let (mut found, mut escaped, mut in_class) = (Vec::new(), false, false);
    for (at, byte) in bytes.iter().enumerate() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        let beside = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        match byte {
            b'\\' => escaped = true,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'.' if !in_class && beside(at.checked_sub(1)) && beside(Some(at + 1)) => found.push(at),
            _ => {}
        }
    }
    found
}

fn with_dots_escaped(text: &str) -> String {
    let dots = loose_dots(text);
    let mut out = String::with_capacity(text.len() + dots.len());
    for (at, c) in text.char_indices() {
        if dots.contains(&at) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_that_are_meant_are_left_alone() {
        for text in [r"^api\.shop\.example$", "^.*$", "[a.b]", "a.+b", r"^[^.]+\.shop$", "a.*b", ""] {
            assert!(loose_dots(text).is_empty(), "{text}");
        }
        assert_eq!(with_dots_escaped(r"^api.shop\.example.org$"), r"^api\.shop\.example\.org$");
    }
}
