//! Diagnostics, which are what is said about a policy: values, which renderers turn into text.

use serde::Serialize;

use crate::codes::{self, Code};
use crate::source::Span;

/// Diagnostics that one run keeps; the rest would help nobody and cost time.
pub(crate) const MAX_DIAGNOSTICS: usize = 500;

/// Characters of the user's text that a message quotes.
const MAX_QUOTED: usize = 60;

/// The weight of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The policy compiles, and probably does not do what was meant.
    Warning,
    /// The policy does not compile.
    Error,
}

/// A place that a diagnostic speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The words beside the place; may be empty.
    pub message: String,
}

/// A change of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// The place of what goes; empty where something is only put in.
    pub span: Span,
    /// The text that comes in its place.
    pub replacement: String,
}

/// A diagnostic: one mistake, reported once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The stable code: `E0101`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// The mistake in the user's words; lower case, no full stop.
    pub message: String,
    /// The places of the mistake; the first is the place itself, the others belong to it.
    pub labels: Vec<Label>,
    /// The mend, if there is one.
    pub help: Option<String>,
    /// The mend as changes of the text, where it needs no thought: all of them together, in the order of the text.
    pub edits: Vec<Edit>,
}

impl Diagnostic {
    /// A diagnostic at a place; the code says how bad it is.
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code: code.name(),
            severity: code.severity(),
            message: message.into(),
            labels: vec![Label { span, message: String::new() }],
            help: None,
            edits: Vec::new(),
        }
    }

    /// Says what is to be seen at the place.
    pub(crate) fn here(mut self, message: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.message = message.into();
        }
        self
    }

    /// Adds another place.
    pub(crate) fn also(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label { span, message: message.into() });
        self
    }

    /// Adds the mend.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the mend, if there is one.
    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// Adds a change of the text that is a part of the mend.
    pub(crate) fn edit(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.edits.push(Edit { span, replacement: replacement.into() });
        self
    }

    /// Adds the mend that this stands at the place.
    pub(crate) fn write(self, replacement: &str) -> Self {
        let span = self.labels.first().map(|label| label.span).unwrap_or_default();
        self.help(format!("write {}", quoted(replacement))).edit(span, replacement)
    }

    /// Adds the mend that this word was meant at the place.
    pub(crate) fn meant(self, word: &str) -> Self {
        let span = self.labels.first().map(|label| label.span).unwrap_or_default();
        self.help(format!("did you mean `{word}`?")).edit(span, word)
    }
}

/// Collects diagnostics, up to [`MAX_DIAGNOSTICS`] errors and as many warnings.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    dropped: usize,
}

impl Sink {
    /// Takes one.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let kept = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if kept.len() < MAX_DIAGNOSTICS {
            kept.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Whether there was an error.
    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether further errors would be dropped: there is no use in looking for them.
    pub(crate) fn full(&self) -> bool {
        self.errors.len() >= MAX_DIAGNOSTICS
    }

    /// All diagnostics, by place; at the end, that there are more.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        let full = self.full() || self.dropped > 0;
        let mut all = self.errors;
        all.append(&mut self.warnings);
        all.sort_by_key(|diagnostic| diagnostic.labels.first().map(|label| label.span));
        if full {
            let last = all.last().and_then(|last| last.labels.first()).map(|label| label.span);
            let report = Diagnostic::new(codes::TOO_MANY, last.unwrap_or_default(), "there is more to say than this");
            all.push(report.help("mend some of the mistakes and check again"));
        }
        all
    }
}

/// The user's words in back-ticks: one line, no control characters, not endless.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == MAX_QUOTED {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.push('`');
    out
}

/// Words in back-ticks, joined: `` `a`, `b` or `c` ``.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
