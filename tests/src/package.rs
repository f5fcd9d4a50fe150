//! The Debian package of the binary under test, and a root that it is installed into: an empty folder with a dpkg of its own.
//!
//! Nothing of this machine changes, and nobody need be root. The scripts of the package run as root of a user namespace, on
//! that folder (`DPKG_ROOT`), where `/run` is empty, so that the services of this machine are out of their sight.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::{Lines, needed, program, shipped, target_folder, tidegate};

/// Where dpkg and the scripts of packages look for programs; people's `PATH` may lack the folders of root.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The packages that ours depends on, of those that are there: dpkg configures nothing whose dependencies are missing.
const DEPENDENCIES: [&str; 4] = ["libc6", "libgcc-s1", "procps", "systemd"];

/// The package of the binary under test, built once a process; `None` as [`needed`] says.
///
/// # Panics
/// It does not build.
pub fn package() -> Option<&'static Path> {
    static PACKAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PACKAGE.get_or_init(|| build_package(1, &target_folder().join("package"))).as_deref()
}

/// Builds the package of a revision into a folder; `None` as [`needed`] says.
///
/// # Panics
/// It does not build.
pub fn build_package(revision: u32, folder: &Path) -> Option<PathBuf> {
    program("debhelper")?;
    program("help2man")?;
    fs::create_dir_all(folder).expect("a folder");
    let mut build = Command::new(shipped("deploy/debian/build"));
    build.arg(tidegate()).arg(folder).env("REVISION", revision.to_string()).env("TIDEGATE_COMPRESS", "none");
    Some(said(&mut build).trim_end().into())
}

/// A folder that packages are installed into.
pub struct CleanRoot {
    folder: TempDir,
}

impl CleanRoot {
    /// An empty one, whose dpkg knows of the packages that ours depends on, and of no other. `None` as [`needed`] says.
    ///
    /// # Panics
    /// The system refuses a folder.
    pub fn new() -> Option<Self> {
        needed("namespaces", namespaces)?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("var/lib/dpkg");
        for part in ["info", "updates"] {
            fs::create_dir_all(database.join(part)).expect("a folder");
        }
        // Its status is not 0 if one of them is missing, which dpkg will say better.
        let known = Command::new("dpkg-query").arg("--status").args(DEPENDENCIES).output().expect("dpkg-query starts");
        fs::write(database.join("status"), known.stdout).expect("a file");
        Some(Self { folder })
    }

    /// The path of something in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs dpkg on it.
    ///
    /// # Panics
    /// dpkg fails.
    pub fn dpkg(&self, arguments: &[&str]) {
        let mut dpkg = Command::new("unshare");
        dpkg.args(["--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /run && exec dpkg \"$@\"", "sh"]);
        dpkg.arg(format!("--root={}", self.folder.path().display()));
        // What is thrown away need not be safe on the disk.
        dpkg.args(["--force-script-chrootless", "--force-unsafe-io", "--log=/dev/null"]).args(arguments);
        said(dpkg.env("PATH", PATH));
    }

    /// Files with their rights and links with where they lead, by path, but those of dpkg itself.
    ///
    /// # Panics
    /// A folder cannot be read.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        self.gather(self.folder.path(), &mut files);
        files
    }

    fn gather(&self, folder: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(self.folder.path()).expect("a path below").display().to_string();
            let metadata = path.symlink_metadata().expect("a file");
            if name == "var/lib/dpkg" {
                continue;
            } else if metadata.is_dir() {
                self.gather(&path, files);
            } else if metadata.is_symlink() {
                files.insert(name, format!("-> {}", path.read_link().expect("a link").display()));
            } else {
                files.insert(name, format!("{:o}", metadata.permissions().mode() & 0o7777));
            }
        }
    }

    /// Runs the installed gateway on a file of this root, which has an `admin`, in a network of its own, where every port is free, and with a `/run` of
    /// its own.
    ///
    /// # Panics
    /// It does not become ready.
    pub fn serve(&self, policy: &str) -> Installed {
        let begin = "mount -t tmpfs none /run && mkdir /run/tidegate && ip link set lo up && exec \"$0\" run \"$1\"";
        let mut gateway = Command::new("unshare");
        gateway.args(["--map-root-user", "--mount", "--net", "sh", "-c", begin]);
        gateway.arg(self.path("usr/bin/tidegate")).arg(self.path(policy)).env("PATH", PATH);
        let mut child = gateway
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`unshare` starts");
        let log = Lines::of(child.stderr.take().expect("a pipe"));
        let installed = Installed { child };
        // In service, and to be asked how it is.
        for words in [" ready generation=", " watched at="] {
            let seen = log.wait(0, |line| line.contains(words).then_some(()));
            seen.unwrap_or_else(|seen| panic!("the installed gateway is not{words}: {seen}"));
        }
        installed
    }
}

/// A gateway that was installed and runs; killed when it is dropped.
pub struct Installed {
    child: Child,
}

impl Installed {
    /// What a program says that runs where the gateway does.
    ///
    /// # Panics
    /// It fails.
    pub fn beside(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
        let mut inside = Command::new("nsenter");
        let target = self.child.id().to_string();
        inside.args(["--user", "--preserve-credentials", "--mount", "--net", "--target", &target]);
        said(inside.arg(program).args(arguments))
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn namespaces() -> Result<(), String> {
    let mut tried = Command::new("unshare");
    tried.args(["--map-root-user", "--mount", "--net", "sh", "-c", "mount -t tmpfs none /run && ip link set lo up"]);
    let output = tried.env("PATH", PATH).output().map_err(|error| format!("`unshare`: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// What a command writes to its standard output.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
