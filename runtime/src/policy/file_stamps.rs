//! What tells that a file has changed, without reading it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The stamps of files: a stamp differs once its file is changed, replaced, removed or comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileStamps(BTreeMap<PathBuf, u64>);

impl FileStamps {
    /// The stamps of these files, as they are now.
    pub fn at(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| (path.clone(), stamp(path))).collect())
    }

    /// The stamps of these files: those that are known stay, others are taken now.
    pub fn extend_to(&self, paths: &[PathBuf]) -> Self {
        let known = |path: &PathBuf| self.0.get(path).copied().unwrap_or_else(|| stamp(path));
        Self(paths.iter().map(|path| (path.clone(), known(path))).collect())
    }

    /// Takes the stamps again of those of these files that are known.
    pub fn take_again(&mut self, paths: &[PathBuf]) {
        for path in paths {
            if let Some(known) = self.0.get_mut(path) {
                *known = stamp(path);
            }
        }
    }

    /// The files whose stamps differ now.
    pub fn changed(&self) -> Vec<PathBuf> {
        self.0.iter().filter(|(path, known)| stamp(path) != **known).map(|(path, _)| path.clone()).collect()
    }
}

fn stamp(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Ok(meta) = std::fs::metadata(path) {
        (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
            .hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_a_removal_and_a_return_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "1").unwrap();
        let stamps = FileStamps::at(&[one.clone(), other.clone()]);
        assert!(stamps.changed().is_empty());
        fs::write(&other, "").unwrap();
        assert_eq!(stamps.changed(), std::slice::from_ref(&other), "it comes");
        fs::write(&one, "12").unwrap();
        assert_eq!(stamps.changed(), [one.clone(), other.clone()]);
        let mut again = stamps;
        again.take_again(std::slice::from_ref(&one));
        assert_eq!(again.changed(), [other]);
        fs::remove_file(&one).unwrap();
        assert_eq!(again.changed().first(), Some(&one), "it goes");
    }

    #[test]
    fn what_is_known_stays_and_what_is_new_is_taken_now() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "1").unwrap();
        let stamps = FileStamps::at(std::slice::from_ref(&one));
        fs::write(&one, "12").unwrap();
        fs::write(&other, "1").unwrap();
        assert_eq!(stamps.extend_to(&[one.clone(), other]).changed(), [one]);
        assert!(stamps.extend_to(&[]).changed().is_empty());
    }
}
