//! Watches the files that a policy was made from.
//!
//! The directories are watched, not the files: a rename over a file, a new file and a swapped symbolic link are seen
//! there. Since links may be swapped further up, and network file systems say nothing, files are also compared with
//! what was read every [`limits::POLL`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tidegate_base::limits;
use tracing::warn;

/// Something happened in a watched directory; look again after so long a time of quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed(pub Duration);

/// The watched directories.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts without directories. If the system cannot watch, changes are found by polling alone.
    pub fn start<T: From<Changed> + Send + 'static>(events: Sender<T>) -> Self {
        let handler = move |event: notify::Result<notify::Event>| {
            let changed = match event {
                Ok(event) => quiet_after(event.kind),
                Err(_) => Some(limits::SETTLE),
            };
            if let Some(quiet) = changed {
                // The gateway is going down if nobody listens.
                let _ = events.send(Changed(quiet).into());
            }
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| warn!(%error, "cannot watch files; they are compared every {:?}", limits::POLL))
            .ok();
        Self { watcher, directories: BTreeSet::new() }
    }

    /// Watches the directories of these files, and no others.
    pub fn set(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<_> = files.iter().flat_map(|file| directories(file)).collect();
        for gone in self.directories.difference(&wanted) {
            // It may be gone from the disk, too.
            let _ = watcher.unwatch(gone);
        }
        self.directories.retain(|directory| wanted.contains(directory));
        for new in wanted {
            if !self.directories.contains(&new) && watcher.watch(&new, RecursiveMode::NonRecursive).is_ok() {
                self.directories.insert(new);
            }
        }
    }
}

/// Where a file is named, and where it really lies.
fn directories(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut found = vec![parent(file)];
    if file.is_dir() {
        // The folder of a pattern: what is put there may fit.
        found.push(file.to_owned());
    }
    if let Ok(real) = file.canonicalize() {
        found.push(parent(&real));
    }
    found
}

/// How long to wait after an event; `None` if it changes nothing.
fn quiet_after(kind: EventKind) -> Option<Duration> {
    match kind {
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Name(_)) => Some(limits::SETTLE_RENAME),
        _ => Some(limits::SETTLE),
    }
}
