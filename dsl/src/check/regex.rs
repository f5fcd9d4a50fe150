//! Regular expressions: whether they parse, how large they get, which groups they have.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

use super::checker::Checker;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::effort;
use crate::source::Span;

/// Bytes of an expression as written.
const MAX_BYTES: usize = 4096;

/// Groups within groups.
const MAX_NEST: u32 = 50;

/// The most that a compiled expression may weigh, in bytes as [`weight`] estimates them. The `regex` crate refuses what
/// takes more than 10 MiB; the distance is for the estimate.
const MAX_WEIGHT: u64 = 6 << 20;

/// The finds that the `matches` of a rule's conditions can hand to its templates.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    /// The number of expressions, `unless` apart.
    pub(crate) count: usize,
    /// The groups that may be taken by number: of exactly one `matches` with one expression, outside `any`.
    pub(crate) groups: Option<usize>,
    /// The groups that may be taken by name.
    pub(crate) names: BTreeSet<String>,
    /// Whether one of the expressions reads something else than the host that was asked.
    pub(crate) elsewhere: bool,
}

/// The capture groups of one expression that templates ask for.
pub(crate) struct Groups {
    pub(crate) count: usize,
    pub(crate) names: Vec<String>,
}

impl Matches {
    /// Takes the expressions of one `matches`.
    pub(crate) fn take(&mut self, expressions: Vec<Groups>, in_any: bool) {
        let only = match expressions.as_slice() {
            [one] if self.count == 0 && !in_any => Some(one.count),
            _ => None,
        };
        self.count += expressions.len();
        self.groups = only;
        self.names.extend(expressions.into_iter().flat_map(|groups| groups.names));
    }
}

impl Checker<'_, '_> {
    /// Reports an expression that the engine would not take.
    pub(crate) fn regex(&mut self, text: &str, span: Span) -> Option<Groups> {
        if text.len() > MAX_BYTES {
            return self.too_large(span, &format!("an expression is at most {MAX_BYTES} bytes long"));
        }
        let parsed = regex_syntax::ParserBuilder::new().nest_limit(MAX_NEST).build().parse(text);
        let hir = match parsed {
            Ok(hir) => hir,
            Err(error) => {
                let why = match &error {
                    regex_syntax::Error::Parse(error) => error.kind().to_string(),
                    regex_syntax::Error::Translate(error) => error.kind().to_string(),
                    _ => "it cannot be read".to_owned(),
                };
                let help = if text.contains("(?=")
                    || text.contains("(?!")
                    || text.contains("(?<=")
                    || text.contains("(?<!")
                {
                    "looking ahead or behind is not possible: expressions run in linear time; use a second condition"
                } else {
                    "the syntax is that of Rust's `regex`; a backslash before a mark makes it literal"
                };
                self.report(
                    Diagnostic::new(codes::REGEX, span, format!("this regular expression cannot be read: {why}"))
                        .help(help),
                );
                return None;
            }
        };
        if weight(&hir) > MAX_WEIGHT {
            return self.too_large(span, "repeat less: `{n,m}` copies what it repeats");
        }
        self.doubt_effort(effort::of_hir(&hir), span);
        let mut names = Vec::new();
        collect_names(&hir, &mut names);
        Some(Groups { count: hir.properties().explicit_captures_len(), names })
    }

    /// Warns of an expression that makes much work of a text.
    fn doubt_effort(&mut self, effort: u64, span: Span) {
        if effort <= effort::COSTLY {
            return;
        }
        let longest = effort::longest_text(effort);
        let what = "this expression makes much work of a text";
        let help = format!("repeat less; a request whose text is longer than {longest} bytes is refused");
        self.report(Diagnostic::new(codes::COSTLY_REGEX, span, what).help(help));
    }

    fn too_large(&mut self, span: Span, help: &str) -> Option<Groups> {
        self.report(Diagnostic::new(codes::REGEX, span, "this regular expression is too large").help(help));
        None
    }
}

fn collect_names(hir: &Hir, names: &mut Vec<String>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            names.extend(capture.name.as_deref().map(str::to_owned));
            collect_names(&capture.sub, names);
        }
        HirKind::Repetition(repetition) => collect_names(&repetition.sub, names),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| collect_names(part, names));
        }
        _ => {}
    }
}

/// The bytes that the compiled expression takes, about, as measured with `regex` 1.13: a range of characters 68, and a
/// class beyond ASCII 800 more for the bytes that its characters are made of. Depth is bounded by [`MAX_NEST`].
fn weight(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 32,
        HirKind::Literal(literal) => 32 * literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => {
            let beyond_ascii = class.ranges().last().is_some_and(|range| !range.end().is_ascii());
            68 * class.ranges().len() as u64 + if beyond_ascii { 800 } else { 16 }
        }
        HirKind::Class(Class::Bytes(class)) => 68 * class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            weight(&repetition.sub).saturating_add(16).saturating_mul(u64::from(copies))
        }
        HirKind::Capture(capture) => weight(&capture.sub).saturating_add(32),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(16, |sum: u64, part| sum.saturating_add(weight(part)))
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    /// An expression that passes here must pass where it is compiled.
    #[test]
    fn what_is_light_enough_compiles() {
        for part in [r"\w", r"\d", ".", "[^/]", "[a-z]", "(?:a|bc|def)", "(?i:a)", r"[\w.-]", "(?i:[a-z])", r"\W"] {
            let times = |count: u32| format!("{part}{{{count}}}");
            let light = |count: &u32| weight(&regex_syntax::parse(&times(*count)).expect("it parses")) <= MAX_WEIGHT;
            let most = (1..).map(|step| step * 50).take_while(light).last().unwrap_or(1).min(5000);
            regex::Regex::new(&times(most)).expect("it compiles");
        }
    }

    #[test]
    fn usual_expressions_are_light() {
        for usual in [r"^\w{1,64}$", r"^/v(\d+)/(?<rest>.*)$", r"^[a-z0-9-]{1,253}\.example$"] {
            assert!(weight(&regex_syntax::parse(usual).expect("it parses")) < MAX_WEIGHT, "{usual}");
        }
    }
}
