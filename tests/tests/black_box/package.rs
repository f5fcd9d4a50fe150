//! The Debian package: what it installs, that it serves, and what is left when it goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tidegate_tests::{CleanRoot, build_package, package, program, shipped};

const POLICY: &str = "etc/tidegate/tidegate.gate";

/// Files with their rights, beside the pages of `docs`.
const FILES: [(&str, &str); 12] = [
    ("etc/logrotate.d/tidegate", "644"),
    (POLICY, "644"),
    ("usr/bin/tidegate", "755"),
    ("usr/lib/sysusers.d/tidegate.conf", "644"),
    ("usr/share/bash-completion/completions/tidegate", "644"),
    ("usr/share/doc/tidegate/README.md", "644"),
    ("usr/share/doc/tidegate/changelog.Debian.gz", "644"),
    ("usr/share/doc/tidegate/changelog.gz", "644"),
    ("usr/share/doc/tidegate/copyright", "644"),
    ("usr/share/fish/vendor_completions.d/tidegate.fish", "644"),
    ("usr/share/man/man1/tidegate.1.gz", "644"),
    ("usr/share/zsh/vendor-completions/_tidegate", "644"),
];

/// What systemd and its helpers keep of users and services. Users stay when packages go.
const KEPT: [(&str, &str); 5] =
    [("etc/.pwd.lock", "600"), ("etc/group", "644"), ("etc/gshadow", "0"), ("etc/passwd", "644"), ("etc/shadow", "0")];

/// The unit, where Debian's tools of this release put it.
const UNITS: [&str; 2] = ["lib/systemd/system/tidegate.service", "usr/lib/systemd/system/tidegate.service"];

const ENABLED: &str = "etc/systemd/system/multi-user.target.wants/tidegate.service";

/// A root with the package; `None` if something is missing here, which has been said.
fn installed() -> Option<CleanRoot> {
    let package = package()?;
    let root = CleanRoot::new()?;
    root.dpkg(&["--install", path(package)]);
    Some(root)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn unit(root: &CleanRoot) -> PathBuf {
    UNITS.iter().map(|unit| root.path(unit)).find(|unit| unit.is_file()).expect("a unit")
}

fn table<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    rows.into_iter().map(|(path, rights)| (path.to_owned(), rights.to_owned())).collect()
}

#[test]
fn a_clean_root_gets_these_files_and_no_other() {
    let Some(root) = installed() else { return };
    let mut files = root.files();
    let unit = UNITS.iter().find_map(|unit| files.remove(*unit).map(|rights| (*unit, rights)));
    let (unit, rights) = unit.expect("a unit");
    assert_eq!(rights, "644");
    let link = files.remove(ENABLED).expect("the service is enabled");
    assert!(link.ends_with("lib/systemd/system/tidegate.service"), "{link}: not {unit}");
    files.retain(|path, _| !path.starts_with("var/lib/systemd/deb-systemd-helper-enabled/"));
    let mut expected = table(FILES.into_iter().chain(KEPT));
    for page in fs::read_dir(shipped("docs")).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") || name.ends_with(".json") {
            expected.insert(format!("usr/share/doc/tidegate/{name}"), "644".to_owned());
        }
    }
    assert_eq!(files, expected);
    let users = fs::read_to_string(root.path("etc/passwd")).unwrap();
    assert!(users.starts_with("tidegate:x:") && users.trim_end().ends_with(":/:/usr/sbin/nologin"), "{users}");
}

#[test]
fn the_installed_gateway_answers_on_port_80() {
    let Some(root) = installed() else { return };
    for check in [&["check"][..], &["fmt", "--check"]] {
        let output = Command::new(root.path("usr/bin/tidegate")).args(check).arg(root.path(POLICY)).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{check:?}: {output:?}");
    }
    let Some(curl) = program("curl") else { return };
    let gateway = root.serve(POLICY);
    let page = ["--silent", "--show-error", "--include", "--max-time", "20", "http://127.0.0.1/"];
    let page = gateway.beside(curl.get_program(), &page);
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<h1>It works</h1>"), "{page}");
    // Where the policy says that root is answered.
    let status = ["status", "--admin", "unix:/run/tidegate/admin.sock", "--format", "json"];
    let status = gateway.beside(root.path("usr/bin/tidegate"), &status);
    let status: Value = serde_json::from_str(&status).unwrap_or_else(|error| panic!("{error}: {status}"));
    assert_eq!(status["state"], "running", "{status}");
}

#[test]
fn a_changed_policy_outlives_an_upgrade_and_a_purge_leaves_nothing() {
    let Some(root) = installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(next) = build_package(2, folder.path()) else { return };
    let changed = fs::read_to_string(root.path(POLICY)).unwrap().replace("It works", "It is mine");
    fs::write(root.path(POLICY), &changed).unwrap();
    // What the service writes, in folders that systemd makes for it.
    let written = ["var/lib/tidegate/state", "var/cache/tidegate/code", "var/log/tidegate/access.log"];
    for file in written {
        fs::create_dir_all(root.path(file).parent().unwrap()).unwrap();
        fs::write(root.path(file), "").unwrap();
    }

    root.dpkg(&["--install", path(&next)]);
    assert_eq!(fs::read_to_string(root.path(POLICY)).unwrap(), changed, "after an upgrade");

    root.dpkg(&["--remove", "tidegate"]);
    assert_eq!(fs::read_to_string(root.path(POLICY)).unwrap(), changed, "after the removal");
    assert!(written.iter().all(|file| root.path(file).is_file()), "after the removal: {:?}", root.files());
    assert!(!root.path("usr/bin/tidegate").exists());

    root.dpkg(&["--purge", "tidegate"]);
    assert_eq!(root.files(), table(KEPT));
    for folder in ["etc/tidegate", "var/lib/tidegate", "var/cache/tidegate", "var/log/tidegate"] {
        assert!(!root.path(folder).exists(), "{folder} is left");
    }
}

#[test]
fn the_unit_is_sound_and_gives_little_away() {
    let Some(root) = installed() else { return };
    let Some(analyze) = program("systemd-analyze") else { return };
    // The program is looked for on this machine, and is in the root.
    let text = fs::read_to_string(unit(&root)).unwrap();
    let placed = text.replace("/usr/bin/tidegate", path(&root.path("usr/bin/tidegate")));
    assert_ne!(placed, text);
    let file = root.path("tidegate.service");
    fs::write(&file, placed).unwrap();
    let analyze = |arguments: &[&str]| {
        let output = Command::new(analyze.get_program()).args(arguments).arg(&file).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    // An unknown word is a warning. Other units of this machine may have warnings of their own.
    let (sound, _, warned) = analyze(&["verify", "--man=no"]);
    assert!(sound && !warned.contains("tidegate.service"), "{warned}");
    // 0 is nothing to lose, 100 everything; what is left are sockets, one capability and code that is compiled.
    let (bound, report, _) = analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"]);
    assert!(bound, "{report}");
}
