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
mod include;
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
pub use include::{fits as fits_pattern, plain as plain_path};
pub use policy_test::{Expectation, Expected, PolicyTest, ShownCertificate, TestProtocol};
pub use source::{Position, Source, SourceId, Sources, Span};

/// The only way to the outside.
pub trait Loader {
    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence for the user: "no such file".
    fn text(&self, path: &Path) -> Result<String, String>;

    /// The files that fit a pattern, in any order: the last part of its path may have `*` and `?`
    /// ([`fits_pattern`]). A folder that is not there holds none.
    ///
    /// # Errors
    /// Why the folder cannot be read, as a sentence for the user.
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String>;

    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;

    /// Reads the module of an extension and looks at it.
    ///
    /// # Errors
    /// Why it cannot be read or is no module, as a sentence for the user.
    fn module(&self, extension: &plan::Extension) -> Result<ModuleFacts, String>;

    /// Reads the files of a certificate, and checks that they belong together.
    ///
    /// # Errors
    /// Why it cannot be used. Nothing of a private key may be in it.
    fn certificate(&self, certificate: &plan::Certificate) -> Result<CertificateFacts, CertificateProblem>;

    /// Reads the certificates of an authority.
    ///
    /// # Errors
    /// Why they cannot be used, as a sentence for the user.
    fn authority(&self, authority: &plan::Ca) -> Result<AuthorityFacts, String>;

    /// Reads a secret, and says how many bytes it has, without a line end behind it. The secret itself stays with
    /// the loader.
    ///
    /// # Errors
    /// The reason why the secret cannot be read, as a sentence for the user.
    fn secret(&self, _: &plan::Secret) -> Result<usize, String> {
        Err("there are no secrets here".to_owned())
    }

    /// Whether a file can be the access log. The file need not be there, and is not made. A loader without files has
    /// nothing to say.
    ///
    /// # Errors
    /// The reason why the file cannot be the access log.
    fn access_log(&self, _: &Path) -> Result<(), LogProblem> {
        Ok(())
    }
}

/// The reason why a file cannot be the access log, as a sentence for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogProblem {
    /// Something else than a file is there.
    NoFile(String),
    /// The user who checks cannot write the file, on this machine.
    Locked(String),
}

/// The facts about a module that looking at it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleFacts {
    /// The hooks that it exports.
    pub hooks: Vec<ModuleHook>,
    /// The needs of the module's imports.
    pub needs: Vec<Need>,
    /// Imports that the host does not have.
    pub unknown_imports: Vec<String>,
    /// The error of `init` about the config; `None` also if `init` was not run, because something was not allowed.
    pub init_error: Option<String>,
    /// The way in which the module failed while it was started, as a sentence for the user.
    pub start_error: Option<String>,
    /// The bound that the module passes, so that it was not compiled; then nothing else is known of it.
    pub bound: Option<String>,
    /// The module takes too long to compile, as a sentence for the user; then nothing else is known of it.
    pub uncompiled: Option<String>,
}

/// A hook of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModuleHook {
    /// The hook that is asked about requests.
    Request,
    /// The hook that is asked about responses.
    Response,
    /// The hook that sees bodies of requests.
    RequestBody,
    /// The hook that sees bodies of responses.
    ResponseBody,
    /// The hook that is told when a request is over.
    Log,
    /// The hook that is called from time to time.
    Tick,
}

/// An import of a module, and the capability that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The import: `tidegate:extension/request.set`.
    pub import: String,
    /// The capability that allows the import.
    pub capability: plan::Capability,
}

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
