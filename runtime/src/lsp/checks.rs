//! The thread that checks policies while they are edited.
//!
//! What a policy names may take its time: a slow disk, a module that compiles for long or whose `init` never ends. So no answer
//! waits for a check, and neither does the end of the server: the thread is never joined. One check is under way at a time; what
//! was typed meanwhile is checked once, as it stands then.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender, bounded};
use tidegate_dsl::{Compilation, Loader as _, compile, plain_path};
use tidegate_wasm_host::Host;

use super::files::{Documents, Inspected, Overlay};
use super::session::reads;

/// Folders above a file that are searched for the policy that includes it.
const FOLDERS_UP: usize = 3;

/// Policies that are tried in that search.
const CANDIDATES: usize = 100;

/// The way to the thread, and back.
pub(super) struct Checks {
    begin: Sender<Documents>,
    finished: Receiver<Vec<Compilation>>,
    under_way: bool,
}

impl Checks {
    /// Starts the thread. With a host, it compiles modules and runs their `init`; without, it inspects them.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub(super) fn start(host: Option<Host>) -> io::Result<Self> {
        let (begin, documents) = bounded::<Documents>(1);
        let (policies, finished) = bounded(1);
        std::thread::Builder::new().name("checks".to_owned()).spawn(move || {
            let mut checker = Checker { host, inspected: RefCell::default(), included_by: HashMap::new() };
            let checked = documents.into_iter().map(|documents| checker.check(&documents));
            // Nobody listens any more: the server ends.
            checked.map(|checked| policies.send(checked)).find(Result::is_err)
        })?;
        Ok(Self { begin, finished, under_way: false })
    }

    /// Whether a check is under way.
    pub(super) const fn are_under_way(&self) -> bool {
        self.under_way
    }

    /// Begins to check these documents. It is called while no check is under way.
    pub(super) fn begin(&mut self, documents: Documents) {
        self.under_way = self.begin.try_send(documents).is_ok();
    }

    /// The checked policies, as they come.
    pub(super) const fn finished(&self) -> &Receiver<Vec<Compilation>> {
        &self.finished
    }

    /// The check has finished.
    pub(super) const fn end(&mut self) {
        self.under_way = false;
    }
}

/// The state that is kept from check to check.
struct Checker {
    host: Option<Host>,
    inspected: RefCell<Inspected>,
    /// The policy that includes a file, by file.
    included_by: HashMap<PathBuf, PathBuf>,
}

impl Checker {
    /// Compiles every policy that a document belongs to.
    fn check(&mut self, documents: &Documents) -> Vec<Compilation> {
        let mut open: Vec<PathBuf> = documents.keys().cloned().collect();
        open.sort();
        let mut policies: Vec<Compilation> = Vec::new();
        let mut done: HashSet<PathBuf> = HashSet::new();
        for document in open {
            let root = self.root(&document, documents);
            if done.insert(root.clone()) {
                policies.push(self.compiled(&root, documents));
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
        policies
    }

    fn overlay<'c>(&'c self, documents: &'c Documents) -> Overlay<'c> {
        Overlay::new(self.host.as_ref(), documents, &self.inspected)
    }

    fn compiled(&self, root: &Path, documents: &Documents) -> Compilation {
        compile(root, &self.overlay(documents))
    }

    /// The policy that a document belongs to: itself, if it says its version; else one near it that includes it.
    fn root(&mut self, document: &Path, documents: &Documents) -> PathBuf {
        let text = documents.get(document).map(AsRef::as_ref).unwrap_or_default();
        let says_version = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#'));
        if says_version.is_none_or(|line| line.starts_with("tidegate")) {
            return document.to_path_buf();
        }
        if let Some(known) = self.included_by.get(document)
            && reads(&self.compiled(known, documents), document)
        {
            return known.clone();
        }
        let near = self.candidates(document, documents);
        match near.into_iter().find(|other| reads(&self.compiled(other, documents), document)) {
            Some(root) => {
                self.included_by.insert(document.to_path_buf(), root.clone());
                root
            }
            None => document.to_path_buf(),
        }
    }

    /// Policies in the folder of a file and above it that include something.
    fn candidates(&self, file: &Path, documents: &Documents) -> Vec<PathBuf> {
        let loader = self.overlay(documents);
        let folders = file.ancestors().skip(1).take(FOLDERS_UP + 1);
        let mut near: Vec<PathBuf> =
            folders.flat_map(|folder| loader.glob(&folder.join("*.gate")).unwrap_or_default()).collect();
        near.retain(|path| path != file);
        near.truncate(CANDIDATES);
        near.retain(|path| loader.text(path).is_ok_and(|text| text.contains("include")));
        near
    }
}
