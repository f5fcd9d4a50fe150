//! Understands Tidegate policies: text to [`plan::Plan`], with diagnostics, formatting and printing.
//!
//! ```text
//! text ─parse▶ tree (nodes, spans, comments; broken nodes in place; never fails)
//!      ─check▶ Plan (by the one vocabulary table; every reference an index, every default filled in)
//! tree ─format▶ text        Plan ─print▶ text or JSON        Plan, Plan ─diff▶ changes
//! ```
//!
//! Pure: no files, environment, clocks or printing. What it reads comes through a [`Loader`].

mod certificate_facts;
mod check;
pub mod codes;
mod diagnostic;
pub mod diff;
pub mod editor;
pub mod effort;
pub mod field_names;
mod format;
mod glob;
mod hook;
mod http_version;
mod include;
mod loader;
mod module_facts;
mod parse;
pub mod plan;
mod policy_test;
pub mod print;
pub mod reference;
pub mod render;
mod source;
mod suggest;
mod tree;
mod value;
pub mod vocabulary;

use std::path::{Path, PathBuf};

pub use certificate_facts::{AuthorityFacts, CertificateFacts, CertificateFile, CertificateProblem, KeyAlgorithm};
pub use diagnostic::{Diagnostic, Edit, Label, Severity};
pub use format::format;
pub use glob::Glob;
pub use hook::Hook;
pub use http_version::HttpVersion;
pub use include::{fits as fits_pattern, plain as plain_path};
pub use loader::{Loader, LogProblem, OneText};
pub use module_facts::{ModuleFacts, Need};
pub use policy_test::{Expectation, Expected, PolicyTest, ShownCertificate};
pub use source::{Position, Source, SourceId, Sources, Span};

/// The result of compiling a policy.
#[derive(Debug)]
pub struct Compilation {
    /// The plan; `None` if there was any error.
    pub plan: Option<plan::Plan>,
    /// The policy's tests. They stand beside the plan, so that two policies that differ in their tests alone have equal
    /// plans: such a change is no reason to do anything to a running gateway.
    pub tests: Vec<PolicyTest>,
    /// Everything that is to be said, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
    /// Everything that was read or asked for: the policy, what it includes, the folders of patterns, the modules.
    pub inputs: Vec<PathBuf>,
}

impl Compilation {
    /// Whether anything that was said is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Compiles a policy: the files that it includes and its modules, too.
pub fn compile(root: &Path, loader: &dyn Loader) -> Compilation {
    let mut sink = diagnostic::Sink::default();
    let mut sources = Sources::default();
    let mut inputs = Vec::new();
    let read = include::read(root, loader, &mut sources, &mut sink, &mut inputs);
    let checked = read.map(|whole| {
        let trees: Vec<_> = sources.iter().map(|(id, source)| parse::parse(id, source, &mut sink)).collect();
        check::check(&trees, whole, &sources, loader, &mut sink, &mut inputs)
    });
    let (plan, tests) = checked.filter(|_| !sink.has_errors()).unwrap_or_default();
    Compilation { plan, tests, diagnostics: sink.finish(), sources, inputs }
}
