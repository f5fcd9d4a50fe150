//! Where compiled code of extensions is kept for the next start.

use std::fs::{self, DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use tracing::warn;

/// A folder that is this user's alone.
pub struct Folder {
    /// The path of the folder, without links.
    pub path: PathBuf,
    /// The device and the inode of the folder, whatever its path comes to mean.
    identity: (u64, u64),
}

/// The folder `tidegate/code` in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`), made if it is not there. It is
/// not used unless it is this user's alone, and so is the way to it: what lies there is run. Without a home, as services often
/// have none, every start compiles.
pub fn folder() -> Option<Folder> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    let path = cache.join("tidegate/code");
    match own(&path) {
        Ok(folder) => Some(folder),
        Err(reason) => {
            warn!("compiled code is not kept in {}: {reason}", path.display());
            None
        }
    }
}

impl Folder {
    /// Looks again: whether it is the same folder, and still this user's alone.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn look_again(&self) -> Result<(), String> {
        let ours = ours()?;
        check_way(&self.path, ours)?;
        let meta = check_folder(&self.path, ours)?;
        if (meta.dev(), meta.ino()) == self.identity {
            return Ok(());
        }
        Err(format!("{} is another folder than at the start: start again to use it", self.path.display()))
    }
}

fn own(path: &Path) -> Result<Folder, String> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| error.to_string())?;
    let ours = ours()?;
    // The folder itself is no link; links on the way are followed once, and what is used is where they led.
    check_folder(path, ours)?;
    let path = fs::canonicalize(path).map_err(|error| error.to_string())?;
    check_way(&path, ours)?;
    let meta = check_folder(&path, ours)?;
    Ok(Folder { path, identity: (meta.dev(), meta.ino()) })
}

/// The user that this process acts as.
fn ours() -> Result<u32, String> {
    Ok(fs::metadata("/proc/self").map_err(|error| error.to_string())?.uid())
}

fn check_folder(path: &Path, ours: u32) -> Result<Metadata, String> {
    let meta = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_dir() || meta.uid() != ours {
        return Err("it is not a folder of this user's".to_owned());
    }
    if meta.mode() & 0o077 != 0 {
        return Err("others may use it: take their rights away with `chmod 700`".to_owned());
    }
    Ok(meta)
}

/// Nobody else may put another folder in the place of one on the way: each belongs to this user or to root, and others cannot
/// write there, or cannot rename what is not theirs.
fn check_way(path: &Path, ours: u32) -> Result<(), String> {
    const STICKY: u32 = 0o1000;
    for folder in path.ancestors().skip(1) {
        let meta = fs::symlink_metadata(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let shown = folder.display();
        if !meta.is_dir() {
            return Err(format!("{shown} on the way to it is no folder"));
        }
        if meta.uid() != ours && meta.uid() != 0 {
            return Err(format!("{shown} on the way to it belongs to another user"));
        }
        if meta.mode() & 0o022 != 0 && meta.mode() & STICKY == 0 {
            return Err(format!("others may write in {shown} on the way to it: `chmod go-w {shown}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn refused(path: &Path) -> String {
        own(path).map(drop).unwrap_err()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_a_folder_of_our_own_is_taken() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("a/code");
        assert!(own(&folder).is_ok());
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert!(own(&folder).is_ok());
        set_mode(&folder, 0o750);
        assert!(refused(&folder).contains("others may use it"));
        let link = top.path().join("link");
        symlink(top.path(), &link).unwrap();
        assert!(refused(&link).contains("not a folder"));
    }

    #[test]
    fn nobody_else_may_write_on_the_way_to_it() {
        let top = tempfile::tempdir().unwrap();
        let parent = top.path().join("open");
        let folder = parent.join("tidegate/code");
        assert!(own(&folder).is_ok());
        for mode in [0o777, 0o770, 0o722] {
            set_mode(&parent, mode);
            let shown = fs::canonicalize(&parent).unwrap();
            let reason = format!("others may write in {0} on the way to it: `chmod go-w {0}`", shown.display());
            assert_eq!(refused(&folder), reason, "{mode:o}");
        }
        for mode in [0o755, 0o1777] {
            set_mode(&parent, mode);
            assert!(own(&folder).is_ok(), "{mode:o}: others cannot rename what is ours");
        }
        // A link on the way leads to what is looked at.
        let link = top.path().join("link");
        symlink(&parent, &link).unwrap();
        let taken = own(&link.join("tidegate/code")).unwrap();
        assert_eq!(taken.path, fs::canonicalize(&folder).unwrap());
        set_mode(&parent, 0o777);
        assert!(refused(&link.join("tidegate/code")).contains("others may write"));
    }

    #[test]
    fn what_changes_later_is_seen() {
        let top = tempfile::tempdir().unwrap();
        let parent = top.path().join("cache");
        let folder = own(&parent.join("code")).unwrap();
        assert_eq!(folder.look_again(), Ok(()));
        set_mode(&parent, 0o777);
        assert!(folder.look_again().unwrap_err().contains("others may write"));
        set_mode(&parent, 0o700);
        fs::rename(&folder.path, parent.join("old")).unwrap();
        own(&folder.path).unwrap();
        assert!(folder.look_again().unwrap_err().contains("another folder"));
    }
}
