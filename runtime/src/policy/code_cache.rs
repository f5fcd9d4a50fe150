//! Where compiled code of extensions is kept for the next start.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use tracing::warn;

/// The folder `tidegate/code` in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`), made if it is not there. It is
/// not used unless it is this user's alone: what lies there is run. Without a home, as services often have none, every
/// start compiles.
pub fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    let folder = cache.join("tidegate/code");
    match own(&folder) {
        Ok(()) => Some(folder),
        Err(reason) => {
            warn!("compiled code is not kept in {}: {reason}", folder.display());
            None
        }
    }
}

fn own(folder: &Path) -> Result<(), String> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| error.to_string())?;
    let meta = fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
    let ours = fs::metadata("/proc/self").map_err(|error| error.to_string())?.uid();
    if !meta.is_dir() || meta.uid() != ours {
        return Err("it is not a folder of this user's".to_owned());
    }
    if meta.mode() & 0o077 != 0 {
        return Err("others may use it: take their rights away with `chmod 700`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_a_folder_of_our_own_is_taken() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("a/code");
        assert_eq!(own(&folder), Ok(()));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(own(&folder), Ok(()));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(own(&folder).unwrap_err().contains("others may use it"));
        let link = top.path().join("link");
        symlink(top.path(), &link).unwrap();
        assert!(own(&link).unwrap_err().contains("not a folder"));
    }
}
