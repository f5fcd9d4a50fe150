//! What the compiler reads while a policy is edited: open documents before files, and each module once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_dsl::plan::{Ca, Certificate, Extension, Secret};
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateProblem, Loader, LogProblem, ModuleFacts, fits_pattern, plain_path,
};
use tidegate_wasm_host::Host;

use crate::policy::loader::PolicyLoader;

/// Texts of open documents, by path.
pub(super) type Documents = HashMap<PathBuf, Arc<str>>;

/// The findings about a module, for as long as its file stays as it is.
pub(super) type Inspected = HashMap<(Extension, Option<SystemTime>), Result<ModuleFacts, String>>;

/// Modules that are remembered. Each edit of an extension is another one; an editor may run for weeks.
const INSPECTED_MAX: usize = 256;

/// Reads documents first.
pub(super) struct Overlay<'s> {
    files: PolicyLoader<'s>,
    documents: &'s Documents,
    inspected: &'s RefCell<Inspected>,
}

impl<'s> Overlay<'s> {
    /// Reads these documents before files. Modules run in the host; without one they are inspected.
    pub(super) fn new(host: Option<&'s Host>, documents: &'s Documents, inspected: &'s RefCell<Inspected>) -> Self {
        Self { files: host.map_or_else(PolicyLoader::inspecting, PolicyLoader::new), documents, inspected }
    }
}

impl Loader for Overlay<'_> {
    fn text(&self, path: &Path) -> Result<String, String> {
        self.documents.get(&plain_path(path)).map_or_else(|| self.files.text(path), |text| Ok(text.to_string()))
    }

    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let mut found = self.files.glob(pattern)?;
        // A new file that was not saved yet.
        let (folder, name) = (pattern.parent().map(plain_path), pattern.file_name().unwrap_or_default());
        for document in self.documents.keys().filter(|path| path.parent().map(Path::to_path_buf) == folder) {
            let own = document.file_name().unwrap_or_default();
            let known = found.iter().any(|path| plain_path(path) == *document);
            if !known && fits_pattern(&name.to_string_lossy(), &own.to_string_lossy()) {
                found.push(document.clone());
            }
        }
        Ok(found)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.files.env(name)
    }

    fn secret(&self, secret: &Secret) -> Result<usize, String> {
        self.files.secret(secret)
    }

    fn module(&self, extension: &Extension) -> Result<ModuleFacts, String> {
        let changed = std::fs::metadata(&extension.module).and_then(|facts| facts.modified()).ok();
        let key = (extension.clone(), changed);
        if let Some(known) = self.inspected.borrow().get(&key) {
            return known.clone();
        }
        let facts = self.files.module(extension);
        let mut inspected = self.inspected.borrow_mut();
        if inspected.len() >= INSPECTED_MAX {
            inspected.clear();
        }
        inspected.insert(key, facts.clone());
        facts
    }

    fn certificate(&self, certificate: &Certificate) -> Result<CertificateFacts, CertificateProblem> {
        self.files.certificate(certificate)
    }

    fn authority(&self, authority: &Ca) -> Result<AuthorityFacts, String> {
        self.files.authority(authority)
    }

    fn access_log(&self, path: &Path) -> Result<(), LogProblem> {
        self.files.access_log(path)
    }
}
