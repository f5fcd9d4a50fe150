//! What the compiler says, as an editor underlines it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity,
    DiagnosticTag, Location, NumberOrString, Range, TextEdit, Uri, WorkspaceEdit,
};
use tidegate_dsl::{Compilation, Severity, Span, plain_path};

use super::session::Session;
use super::text::Lines;

/// Diagnostics of each file that the policies are made of; a file with none has an empty list.
pub(super) fn by_file(session: &Session) -> BTreeMap<PathBuf, Vec<Diagnostic>> {
    let mut files: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
    for policy in session.policies() {
        let places = Places::of(session, policy);
        for (_, source) in policy.sources.iter() {
            files.entry(plain_path(&source.path)).or_default();
        }
        for said in &policy.diagnostics {
            let Some((file, diagnostic)) = places.diagnostic(said) else { continue };
            let of_file = files.entry(file).or_default();
            // A file that two policies include has its own mistakes once.
            if !of_file.contains(&diagnostic) {
                of_file.push(diagnostic);
            }
        }
    }
    files
}

/// Mends that need no thought, for diagnostics that touch a range.
pub(super) fn mends(uri: &Uri, diagnostics: &[Diagnostic], range: Range) -> Vec<CodeActionOrCommand> {
    let touched = diagnostics.iter().filter(|said| said.range.start <= range.end && range.start <= said.range.end);
    touched.filter_map(|said| mend(uri, said)).map(CodeActionOrCommand::CodeAction).collect()
}

fn mend(uri: &Uri, said: &Diagnostic) -> Option<CodeAction> {
    let help = said.message.split_once("\nhelp: ")?.1;
    let edits: Vec<TextEdit> = serde_json::from_value(said.data.clone()?).ok()?;
    let title = match help.strip_prefix("did you mean `").and_then(|rest| rest.strip_suffix("`?")) {
        Some(meant) => format!("Change to `{meant}`"),
        None => capitalised(help),
    };
    Some(CodeAction {
        title,
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: Some(vec![said.clone()]),
        edit: Some(WorkspaceEdit::new([(uri.clone(), edits)].into())),
        is_preferred: Some(true),
        ..CodeAction::default()
    })
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The lines of each text of a policy.
struct Places<'p> {
    session: &'p Session,
    policy: &'p Compilation,
    lines: Vec<Lines<'p>>,
}

impl<'p> Places<'p> {
    fn of(session: &'p Session, policy: &'p Compilation) -> Self {
        let lines = policy.sources.iter().map(|(_, source)| Lines::of(&source.text)).collect();
        Self { session, policy, lines }
    }

    fn range(&self, span: Span) -> Option<Range> {
        let lines = self.lines.get(span.source.0 as usize)?;
        Some(lines.range(span.start as usize, span.end as usize))
    }

    fn file(&self, span: Span) -> Option<PathBuf> {
        self.policy.sources.get(span.source).map(|source| plain_path(&source.path))
    }

    fn diagnostic(&self, said: &tidegate_dsl::Diagnostic) -> Option<(PathBuf, Diagnostic)> {
        let (first, others) = said.labels.split_first()?;
        let mut message = said.message.clone();
        if !first.message.is_empty() {
            message.push_str(&format!("\n{}", first.message));
        }
        if let Some(help) = &said.help {
            message.push_str(&format!("\nhelp: {help}"));
        }
        let related = others.iter().filter_map(|label| {
            let uri = self.session.uri(&self.file(label.span)?)?;
            let location = Location { uri, range: self.range(label.span)? };
            Some(DiagnosticRelatedInformation { location, message: label.message.clone() })
        });
        let related: Vec<_> = related.collect();
        let unused = said.code == "W0901";
        // What belongs to the diagnostic comes back with it; a mend changes the file that it is shown in, and no other.
        let here = !said.edits.is_empty() && said.edits.iter().all(|edit| edit.span.source == first.span.source);
        let edits = said
            .edits
            .iter()
            .filter(|_| here)
            .map(|edit| Some(TextEdit { range: self.range(edit.span)?, new_text: edit.replacement.clone() }));
        let edits: Vec<TextEdit> = edits.collect::<Option<_>>()?;
        let diagnostic = Diagnostic {
            range: self.range(first.span)?,
            severity: Some(match said.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(said.code.to_owned())),
            source: Some("tidegate".to_owned()),
            message,
            related_information: (!related.is_empty()).then_some(related),
            data: if edits.is_empty() { None } else { serde_json::to_value(edits).ok() },
            tags: unused.then(|| vec![DiagnosticTag::UNNECESSARY]),
            ..Diagnostic::default()
        };
        Some((self.file(first.span)?, diagnostic))
    }
}
