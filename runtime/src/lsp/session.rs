//! Open documents, and what the last finished check said about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use lsp_types::{Position, Uri};
use tidegate_dsl::editor::{Declaration, declarations};
use tidegate_dsl::{Compilation, plain_path};

use super::files::Documents;
use super::text::{Lines, path};

/// What an editor has open.
#[derive(Default)]
pub(super) struct Session {
    /// Texts as they stand in the editor, by path.
    documents: Documents,
    /// The name that the editor gave each.
    names: HashMap<PathBuf, Uri>,
    /// The result of the last finished check.
    policies: Vec<Compilation>,
    /// Something changed since the last check began.
    pub(super) stale: bool,
}

impl Session {
    /// A document was opened, or is another text now.
    pub(super) fn put(&mut self, uri: &Uri, text: String) {
        let path = path(uri);
        self.names.insert(path.clone(), uri.clone());
        self.documents.insert(path, text.into());
        self.stale = true;
    }

    /// A document was closed: its file counts again.
    pub(super) fn close(&mut self, uri: &Uri) {
        self.documents.remove(&path(uri));
        self.stale = true;
    }

    /// The text of an open document.
    pub(super) fn text(&self, uri: &Uri) -> Option<&str> {
        self.documents.get(&path(uri)).map(AsRef::as_ref)
    }

    /// A document, and the byte of it at a place.
    pub(super) fn place(&self, uri: &Uri, position: Position) -> Option<(&str, usize)> {
        let text = self.text(uri)?;
        Some((text, Lines::of(text).byte(position)))
    }

    /// The name of a file: as the editor writes it, if it did.
    pub(super) fn uri(&self, file: &Path) -> Option<Uri> {
        self.names.get(&plain_path(file)).cloned().or_else(|| super::text::uri(file))
    }

    /// The documents as they stand, for a check that begins now.
    pub(super) fn begin_check(&mut self) -> Documents {
        self.stale = false;
        self.documents.clone()
    }

    /// A check has finished: these are its policies.
    pub(super) fn checked(&mut self, policies: Vec<Compilation>) {
        self.policies = policies;
    }

    /// Whether a document is the text that was checked, so that places in the one are places in the other.
    pub(super) fn is_checked(&self, uri: &Uri) -> bool {
        let own = path(uri);
        let sources = self.policies.iter().flat_map(|policy| policy.sources.iter().map(|(_, source)| source));
        let mut sources = sources.filter(|source| plain_path(&source.path) == own);
        self.text(uri).is_some_and(|text| sources.all(|source| source.text == text))
    }

    /// The policies, as the last finished check compiled them.
    pub(super) fn policies(&self) -> &[Compilation] {
        &self.policies
    }

    /// What is declared in the policies that a document belongs to, with the file and the text that declares it.
    pub(super) fn declarations(&self, uri: &Uri) -> Vec<(PathBuf, String, Declaration)> {
        let own = path(uri);
        let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
        for policy in self.policies.iter().filter(|policy| reads(policy, &own)) {
            texts.extend(policy.sources.iter().map(|(_, source)| (plain_path(&source.path), source.text.clone())));
        }
        // What was typed since counts.
        texts.retain(|path, _| !self.documents.contains_key(path));
        let belongs: BTreeSet<PathBuf> = self.family(&own);
        texts.extend(
            belongs.into_iter().filter_map(|path| Some((path.clone(), self.documents.get(&path)?.to_string()))),
        );
        let declared = texts.into_iter().flat_map(|(path, text)| {
            declarations(&text).into_iter().map(move |found| (path.clone(), text.clone(), found)).collect::<Vec<_>>()
        });
        declared.collect()
    }

    /// Open documents of the policies that a document belongs to.
    fn family(&self, own: &Path) -> BTreeSet<PathBuf> {
        let of_policies = self.policies.iter().filter(|policy| reads(policy, own));
        let files = of_policies.flat_map(|policy| policy.sources.iter().map(|(_, source)| plain_path(&source.path)));
        files.chain([own.to_path_buf()]).collect()
    }
}

/// Whether a policy is made of a file, among others.
pub(super) fn reads(policy: &Compilation, file: &Path) -> bool {
    policy.sources.iter().any(|(_, source)| plain_path(&source.path) == file)
}
