//! Diagnostics for people: the message, the place in its source, the mend.

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::source::{Source, Sources};

/// Characters of a source line that are shown; of longer lines, what stands around the place.
const MAX_LINE: usize = 140;

/// Renders diagnostics as rustc does; `color` adds ANSI colours.
pub fn human(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        Page { sources, paint: Paint { color }, out: &mut out }.diagnostic(diagnostic);
        out.push('\n');
    }
    out
}

struct Page<'a> {
    sources: &'a Sources,
    paint: Paint,
    out: &'a mut String,
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        let (name, color) = match diagnostic.severity {
            Severity::Error => ("error", RED),
            Severity::Warning => ("warning", YELLOW),
        };
        let head = self.paint.with(color, &format!("{name}[{}]", diagnostic.code));
        let message = self.paint.with(BOLD, &format!(": {}", plain(&diagnostic.message)));
        self.line(&format!("{head}{message}"));
        let numbers = diagnostic.labels.iter().map(|label| self.sources.position(label.span).line);
        let width = numbers.max().unwrap_or(1).to_string().len();
        let Some(first) = diagnostic.labels.first() else { return };
        let position = self.sources.position(first.span);
        if let Some(source) = self.sources.get(first.span.source) {
            let arrow = self.paint.with(BLUE, "-->");
            let path = source.path.display().to_string();
            self.line(&format!("{:width$}{arrow} {}:{}:{}", "", plain(&path), position.line, position.column));
            // A file that could not be read, or that holds nothing, has nothing to show.
            if !source.text.is_empty() {
                self.margin(width, "|", "");
                self.labels(&diagnostic.labels, source, width, color);
            }
            self.elsewhere(&diagnostic.labels, width);
        }
        if let Some(help) = &diagnostic.help {
            self.margin(width, "|", "");
            let word = self.paint.with(BOLD, "help");
            self.margin(width, "=", &format!("{word}: {}", plain(help)));
        }
    }

    /// Labels that lie in other sources than the first, each by itself.
    fn elsewhere(&mut self, labels: &[Label], width: usize) {
        let first = labels.first().map(|first| first.span.source);
        for label in labels.iter().filter(|label| Some(label.span.source) != first) {
            let Some(source) = self.sources.get(label.span.source) else { continue };
            let position = self.sources.position(label.span);
            let arrow = self.paint.with(BLUE, ":::");
            let path = source.path.display().to_string();
            self.line(&format!("{:width$}{arrow} {}:{}:{}", "", plain(&path), position.line, position.column));
            self.margin(width, "|", "");
            self.labels(std::slice::from_ref(label), source, width, BLUE);
        }
    }

    /// The lines of all labels that lie in the source of the first, in the order of the text.
    fn labels(&mut self, labels: &[Label], source: &Source, width: usize, color: &str) {
        let mut sorted: Vec<(usize, &Label)> = labels.iter().enumerate().collect();
        sorted.retain(|(_, label)| labels.first().is_some_and(|first| first.span.source == label.span.source));
        sorted.sort_by_key(|(at, label)| (source.line(label.span.start as usize), *at));
        let mut shown: Option<usize> = None;
        for (at, label) in sorted {
            let line = source.line(label.span.start as usize);
            let view = View::of(source, line, label);
            if shown != Some(line) {
                if shown.is_some_and(|shown| line > shown + 1) {
                    self.line(&format!("{:width$}{}", "", self.paint.with(BLUE, "...")));
                }
                let number = self.paint.with(BLUE, &format!("{:width$} |", line + 1));
                let text = view.text.clone();
                self.line(&format!("{number} {text}"));
            }
            shown = Some(line);
            let (mark, color) = if at == 0 { ("^", color) } else { ("-", BLUE) };
            let underline = self.paint.with(color, &format!("{} {}", mark.repeat(view.width), plain(&label.message)));
            self.margin(width, "|", &format!("{:1$}{underline}", "", view.before));
        }
    }

    fn margin(&mut self, width: usize, mark: &str, text: &str) {
        let mark = self.paint.with(BLUE, mark);
        self.line(&format!("{:width$} {mark} {text}", ""));
    }
}

/// A source line as it is shown, and where the underline begins and how long it is.
struct View {
    text: String,
    before: usize,
    width: usize,
}

impl View {
    fn of(source: &Source, line: usize, label: &Label) -> Self {
        let text = source.line_text(line);
        let start = source.line_start(line);
        let from = (label.span.start as usize).saturating_sub(start).min(text.len());
        let to = (label.span.end as usize).saturating_sub(start).clamp(from, text.len());
        let before = text.get(..from).unwrap_or_default().chars().count();
        let width = text.get(from..to).unwrap_or_default().chars().count();
        let skip = if before + width.min(MAX_LINE / 2) < MAX_LINE { 0 } else { before.saturating_sub(MAX_LINE / 4) };
        let mut shown: String = text.chars().skip(skip).take(MAX_LINE).map(visible).collect();
        if skip > 0 {
            shown.insert(0, '…');
        }
        if text.chars().nth(skip + MAX_LINE).is_some() {
            shown.push('…');
        }
        let before = before - skip + usize::from(skip > 0);
        Self { text: shown, before, width: width.clamp(1, MAX_LINE.saturating_sub(before).max(1)) }
    }
}

/// The character that takes its column: tabs and characters that cannot be seen become blanks.
fn visible(c: char) -> char {
    if c == '\t' { ' ' } else { printable(c) }
}

fn printable(c: char) -> char {
    if c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    {
        '\u{FFFD}'
    } else {
        c
    }
}

/// A message without what would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(printable).collect()
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const BOLD: &str = "1";

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        let text = text.trim_end();
        if self.color && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
