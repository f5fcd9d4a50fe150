//! The state that all checks share.

use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::gathered::Gathered;
use super::names::Names;
use crate::diagnostic::{Diagnostic, Sink};
use crate::loader::Loader;
use crate::module_facts::ModuleFacts;
use crate::source::{Sources, Span};

/// The state that all checks share.
pub(crate) struct Checker<'a, 't> {
    pub(super) loader: &'a dyn Loader,
    pub(super) sources: &'t Sources,
    pub(super) sink: &'a mut Sink,
    pub(super) inputs: &'a mut Vec<PathBuf>,
    pub(super) names: Names<'t>,
    /// The facts about the module of each extension, in the order declared.
    pub(super) facts: Vec<Option<ModuleFacts>>,
    /// The networks of each list, in the order declared.
    pub(super) listed: Vec<Vec<IpNet>>,
    /// The place of the address of each server of each group, in the order declared.
    pub(super) server_spans: Vec<Vec<Span>>,
    /// The place where each rule of each rule list begins, in the order declared.
    pub(super) rule_spans: Vec<Vec<Span>>,
    /// Findings of the checks for what only the whole policy shows.
    pub(super) gathered: Gathered,
}

impl<'a, 't> Checker<'a, 't> {
    pub(super) fn new(
        sources: &'t Sources,
        loader: &'a dyn Loader,
        sink: &'a mut Sink,
        inputs: &'a mut Vec<PathBuf>,
    ) -> Self {
        let names = Names::default();
        Self {
            loader,
            sources,
            sink,
            inputs,
            names,
            facts: Vec::new(),
            listed: Vec::new(),
            server_spans: Vec::new(),
            rule_spans: Vec::new(),
            gathered: Gathered::default(),
        }
    }
}

impl<'t> Checker<'_, 't> {
    pub(super) fn report(&mut self, mut diagnostic: Diagnostic) {
        // What the environment holds is not mended in the policy.
        if diagnostic.edits.iter().any(|edit| self.sources.slice(edit.span).starts_with("env \"")) {
            diagnostic.edits.clear();
        }
        self.sink.push(diagnostic);
    }

    /// A path of the policy, relative to the process.
    pub(super) fn path(&self, written: &str, span: Span) -> PathBuf {
        let folder = self.sources.get(span.source).and_then(|source| source.path.parent());
        folder.unwrap_or(Path::new("")).join(written)
    }
}
