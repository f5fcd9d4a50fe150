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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_file_is_watched_where_it_is_named_and_where_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (real, named) = (folder.join("real"), folder.join("named"));
        fs::create_dir_all(&real).unwrap();
        fs::create_dir_all(&named).unwrap();
        fs::write(real.join("a.gate"), "").unwrap();
        std::os::unix::fs::symlink(real.join("a.gate"), named.join("a.gate")).unwrap();
        assert_eq!(directories(&named.join("a.gate")), [named.clone(), real.clone()]);
        assert_eq!(directories(&named.join("gone.gate")), std::slice::from_ref(&named), "it may come");
        assert_eq!(directories(&real), [folder.clone(), real, folder], "the folder of a pattern");
        assert_eq!(directories(Path::new("gone.gate")), [Path::new(".")]);
    }

    #[test]
    fn changes_are_told_of_the_folders_that_are_watched_now() {
        let patience = Duration::from_secs(10);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for name in ["old", "new"] {
            fs::create_dir(file(name)).unwrap();
            fs::write(file(name).join("a.gate"), "").unwrap();
        }
        let (sender, events) = channel::<Changed>();
        let mut watch = Watch::start(sender);
        watch.set(&[file("old/a.gate")]);
        // A rename is whole at once.
        fs::write(file("a.gate"), "").unwrap();
        fs::rename(file("a.gate"), file("old/a.gate")).unwrap();
        assert_eq!(events.recv_timeout(patience), Ok(Changed(limits::SETTLE_RENAME)));
        watch.set(&[file("new/a.gate")]);
        while events.try_recv().is_ok() {}
        // Nobody watches the one, to read is no change, and to write is one that may go on.
        fs::rename(file("old/a.gate"), file("old/b.gate")).unwrap();
        fs::read(file("new/a.gate")).unwrap();
        fs::write(file("new/a.gate"), "more").unwrap();
        assert_eq!(events.recv_timeout(patience), Ok(Changed(limits::SETTLE)));
        // A folder may come back.
        watch.set(&[file("old/a.gate")]);
        while events.try_recv().is_ok() {}
        fs::rename(file("old/b.gate"), file("old/a.gate")).unwrap();
        assert_eq!(events.recv_timeout(patience), Ok(Changed(limits::SETTLE_RENAME)));
    }
}
