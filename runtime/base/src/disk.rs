//! The way to the disk: regular files and folders, opened so that no name can hold up whoever reads it.
//!
//! A path that a policy names may lead to anything: a named pipe waits for its other end, a terminal for its user. So a file
//! is opened without waiting, and looked at once it is open, when nobody can put another in its place.

use std::cell::Cell;
use std::fs::{File, FileType};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access};
use rustix::io::Errno;
use tidegate_dsl::LogProblem;

/// Reads for one purpose, and remembers whether the system was at fault: descriptors that ran out, a disk that failed. What
/// failed so is worth another try, though no file has changed.
#[derive(Debug, Default)]
pub struct Disk {
    troubled: Cell<bool>,
}

impl Disk {
    /// The whole of a regular file of at most `most` bytes.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            open(path, OFlags::RDONLY)?.take(most + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| self.note(&error))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
            return Err(format!("it is larger than {most} bytes"));
        }
        Ok(bytes)
    }

    /// The names in a folder; none if it is not there.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn names(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.note(&error)),
        };
        entries.map(|entry| entry.map(|entry| entry.file_name().into()).map_err(|error| self.note(&error))).collect()
    }

    /// Whether something failed that may go well at the next try.
    pub fn is_troubled(&self) -> bool {
        self.troubled.get()
    }

    fn note(&self, error: &io::Error) -> String {
        self.troubled.set(self.is_troubled() || may_pass(error));
        words(error)
    }
}

/// Opens a regular file; nothing else is opened, and nothing is waited for.
///
/// # Errors
/// The file is no regular one or is not there, or the system refuses.
pub fn open(path: &Path, how: OFlags) -> io::Result<File> {
    let flags = how | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::from_raw_mode(0o666));
    let file = File::from(opened.map_err(|error| match error {
        Errno::NXIO => irregular("a socket or a named pipe"),
        Errno::NODEV => irregular("a device"),
        error => error.into(),
    })?);
    let kind = file.metadata()?.file_type();
    if kind.is_file() { Ok(file) } else { Err(refused(kind)) }
}

fn refused(kind: FileType) -> io::Error {
    match () {
        () if kind.is_dir() => ErrorKind::IsADirectory.into(),
        () if kind.is_fifo() => irregular("a named pipe"),
        () if kind.is_socket() => irregular("a socket"),
        () => irregular("a device"),
    }
}

/// Whether a file may be added to, or made where it is not there. Nothing is opened or made.
///
/// # Errors
/// The reason why not.
pub fn may_add_to(path: &Path) -> Result<(), LogProblem> {
    let locked = |why: &str| Err(LogProblem::Locked(why.to_owned()));
    match path.metadata() {
        Ok(meta) if !meta.is_file() => Err(LogProblem::NoFile(words(&refused(meta.file_type())))),
        Ok(_) if access(path, Access::WRITE_OK).is_err() => locked("this user may not write it"),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Its folder is made, too.
            let above = path.ancestors().skip(1).map(|folder| if folder == "" { Path::new(".") } else { folder });
            match above.into_iter().find(|folder| folder.exists()) {
                Some(folder) if !folder.is_dir() => {
                    Err(LogProblem::NoFile("what stands above it is no folder".to_owned()))
                }
                Some(folder) if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() => {
                    locked("this user may not make it")
                }
                _ => Ok(()),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(LogProblem::NoFile("what stands above it is no folder".to_owned()))
        }
        Err(error) => locked(&words(&error)),
    }
}

/// The system's reason without its number.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE) => "this process has no file descriptor left".to_owned(),
            Some(Errno::NFILE) => "this machine has no file descriptor left".to_owned(),
            _ => error.to_string(),
        },
    }
}

/// Whether an error is no fault of the file's: nothing about the file needs to change for the next try to go well.
pub fn may_pass(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
            | ErrorKind::AlreadyExists
    ) && error.raw_os_error() != Some(Errno::LOOP.raw_os_error())
}

fn irregular(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("it is {what}, and a regular file is needed"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "12345678").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("loop", at("loop")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let disk = Disk::default();
        for (name, wanted) in [
            ("file", Ok("12345678")),
            ("link", Ok("12345678")),
            ("none", Err("there is no such file")),
            (".", Err("it is a directory")),
            ("pipe", Err("it is a named pipe, and a regular file is needed")),
            ("socket", Err("it is a socket or a named pipe, and a regular file is needed")),
            ("/dev/zero", Err("it is a device, and a regular file is needed")),
        ] {
            let read = disk.read(&at(name), 8).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(read.as_deref().map_err(String::as_str), wanted, "{name}");
        }
        assert!(disk.read(&at("loop"), 8).is_err());
        assert_eq!(disk.read(&at("file"), 7).unwrap_err(), "it is larger than 7 bytes");
        assert!(!disk.is_troubled(), "all of these are the files' faults");
        // A writer does not wait for a reader, either, nor is one written to.
        assert!(open(&at("pipe"), OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE).is_err());
    }

    #[test]
    fn an_access_log_is_a_file_or_can_become_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        let no_file = |why: &str| Err(LogProblem::NoFile(why.to_owned()));
        assert_eq!(may_add_to(&at("file")), Ok(()));
        assert_eq!(may_add_to(&at("new/folder/log")), Ok(()));
        assert_eq!(may_add_to(Path::new("not-there.log")), Ok(()));
        assert!(!at("new").exists(), "nothing is made");
        assert_eq!(may_add_to(&at("pipe")), no_file("it is a named pipe, and a regular file is needed"));
        assert_eq!(may_add_to(folder.path()), no_file("it is a directory"));
        assert_eq!(may_add_to(&at("file/log")), no_file("what stands above it is no folder"));
        // The rights of users are the system's business, and root has all; a loop is locked to everybody.
        symlink("loop", at("loop")).unwrap();
        assert!(matches!(may_add_to(&at("loop")), Err(LogProblem::Locked(_))));
    }

    #[test]
    fn what_the_system_lacks_may_pass() {
        for (error, passes) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::IO, true),
            (Errno::NOMEM, true),
            (Errno::NOENT, false),
            (Errno::ACCESS, false),
            (Errno::LOOP, false),
            (Errno::NAMETOOLONG, false),
        ] {
            let disk = Disk::default();
            let said = disk.note(&error.into());
            assert_eq!(disk.is_troubled(), passes, "{said}");
        }
    }
}
