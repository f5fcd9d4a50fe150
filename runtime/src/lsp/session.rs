//! Open documents, and what the compiler says about them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use lsp_types::{Position, Uri};
use tidegate_dsl::editor::{Declaration, declarations};
use tidegate_dsl::{Compilation, Loader as _, compile, plain_path};
use tidegate_wasm_host::Host;

use super::files::{Inspected, Overlay};
use super::text::{Lines, path};

/// Folders above a file that are searched for the policy that includes it.
const FOLDERS_UP: usize = 3;

/// Policies that are tried in that search.
const CANDIDATES: usize = 100;

/// What an editor has open.
pub(super) struct Session {
    host: Host,
    /// Texts as they stand in the editor, by path.
    documents: HashMap<PathBuf, String>,
    /// The name that the editor gave each.
    names: HashMap<PathBuf, Uri>,
    inspected: RefCell<Inspected>,
    /// What was found by compiling each policy that a document belongs to.
    policies: Vec<Compilation>,
    /// The policy that includes a file, by file.
    included_by: HashMap<PathBuf, PathBuf>,
    /// Something changed since the last compilation.
    pub(super) stale: bool,
}

impl Session {
    /// Nothing is open.
    pub(super) fn new(host: Host) -> Self {
        Self {
            host,
            documents: HashMap::new(),
            names: HashMap::new(),
            inspected: RefCell::default(),
            policies: Vec::new(),
            included_by: HashMap::new(),
            stale: false,
        }
    }

    /// A document was opened, or is another text now.
    pub(super) fn put(&mut self, uri: &Uri, text: String) {
        let path = path(uri);
        self.names.insert(path.clone(), uri.clone());
        self.documents.insert(path, text);
        self.stale = true;
    }

    /// A document was closed: its file counts again.
    pub(super) fn close(&mut self, uri: &Uri) {
        self.documents.remove(&path(uri));
        self.stale = true;
    }

    /// The text of an open document.
    pub(super) fn text(&self, uri: &Uri) -> Option<&str> {
        self.documents.get(&path(uri)).map(String::as_str)
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

    /// The policies, as they were compiled last.
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
        texts.extend(belongs.into_iter().filter_map(|path| Some((path.clone(), self.documents.get(&path)?.clone()))));
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

    /// Compiles every policy that an open document belongs to.
    pub(super) fn compile(&mut self) {
        self.stale = false;
        let mut open: Vec<PathBuf> = self.documents.keys().cloned().collect();
        open.sort();
        let mut policies: Vec<Compilation> = Vec::new();
        let mut done: HashSet<PathBuf> = HashSet::new();
        for document in open {
            let root = self.root(&document);
            if done.insert(root.clone()) {
                policies.push(self.compiled(&root));
            }
        }
        // A document that another one includes is a part of that policy, and none by itself.
        let included = |at: usize| {
            let own = policies[at].inputs.first().map(|path| plain_path(path)).unwrap_or_default();
            policies.iter().enumerate().any(|(other, policy)| other != at && reads(policy, &own))
        };
        let kept: Vec<bool> = (0..policies.len()).map(|at| !included(at)).collect();
        let mut kept = kept.into_iter();
        policies.retain(|_| kept.next().unwrap_or(true));
        self.policies = policies;
    }

    fn compiled(&self, root: &Path) -> Compilation {
        compile(root, &Overlay::new(&self.host, &self.documents, &self.inspected))
    }

    /// The policy that a document belongs to: itself, if it says its version; else one near it that includes it.
    fn root(&mut self, document: &Path) -> PathBuf {
        let text = self.documents.get(document).map(String::as_str).unwrap_or_default();
        let says_version = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#'));
        if says_version.is_none_or(|line| line.starts_with("tidegate")) {
            return document.to_path_buf();
        }
        if let Some(known) = self.included_by.get(document)
            && reads(&self.compiled(known), document)
        {
            return known.clone();
        }
        let found = self.candidates(document).into_iter().find(|other| reads(&self.compiled(other), document));
        match found {
            Some(root) => {
                self.included_by.insert(document.to_path_buf(), root.clone());
                root
            }
            None => document.to_path_buf(),
        }
    }

    /// Policies in the folder of a file and above it that include something.
    fn candidates(&self, file: &Path) -> Vec<PathBuf> {
        let loader = Overlay::new(&self.host, &self.documents, &self.inspected);
        let folders = file.ancestors().skip(1).take(FOLDERS_UP + 1);
        let mut near: Vec<PathBuf> =
            folders.flat_map(|folder| loader.glob(&folder.join("*.gate")).unwrap_or_default()).collect();
        near.retain(|path| path != file);
        near.truncate(CANDIDATES);
        near.retain(|path| loader.text(path).is_ok_and(|text| text.contains("include")));
        near
    }
}

/// Whether a policy is made of a file, among others.
fn reads(policy: &Compilation, file: &Path) -> bool {
    policy.sources.iter().any(|(_, source)| plain_path(&source.path) == file)
}
