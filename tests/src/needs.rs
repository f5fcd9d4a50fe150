//! The needs of some tests beside the gateway: clients of others, packages of other languages, room on the machine.
//!
//! A test that has to go without one says `SKIPPED`, past the capture of the test's output, so that it is seen. Where `CI` is
//! set it fails, unless [`WITHOUT`] names what is missing: nothing is left out there that nobody chose to leave out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names what tests do without, whether it is there or not: `TIDEGATE_WITHOUT="chromium testssl"`.
const WITHOUT: &str = "TIDEGATE_WITHOUT";

/// One thing that tests may need.
struct Need {
    /// The name in [`WITHOUT`].
    name: &'static str,
    /// The package that brings it.
    install: &'static str,
    /// The programs that serve, the first of which is taken. None where a program is not what it is about.
    programs: &'static [&'static str],
}

const NEEDS: [Need; 18] = [
    program_of("chromium", "chromium", &["chromium", "chromium-browser", "google-chrome"]),
    program_of("curl", "curl", &["curl"]),
    program_of("debhelper", "debhelper", &["dh"]),
    program_of("help2man", "help2man", &["help2man"]),
    program_of("nghttp", "nghttp2-client", &["nghttp"]),
    program_of("openssl", "openssl", &["openssl"]),
    program_of("systemd-analyze", "systemd", &["systemd-analyze"]),
    program_of("promtool", "prometheus", &["promtool"]),
    program_of("testssl", "testssl.sh", &["testssl", "testssl.sh"]),
    other("axe", "npm, and its registry (tests/clients/axe)"),
    other("python", "python3-venv, and pip's registry (tests/clients/install)"),
    other("wheel", "python3-pip, and its registry"),
    other("guest-c", "clang, lld and npm, and npm's registry"),
    other("guest-javascript", "npm, and its registry"),
    other("guest-python", "python3-venv, and pip's registry"),
    other("namespaces", "util-linux and iproute2, and the right to make user namespaces"),
    other("descriptors", "a higher limit: ulimit -n 20000"),
    other("ipv6", "an address of the loopback interface"),
];

const fn program_of(name: &'static str, package: &'static str, programs: &'static [&'static str]) -> Need {
    Need { name, install: package, programs }
}

const fn other(name: &'static str, install: &'static str) -> Need {
    Need { name, install, programs: &[] }
}

/// The need of a test, by its name here, if it can be had; otherwise the test leaves out what needs it, which has been said.
///
/// # Panics
/// What is needed is missing, `CI` is set, and `TIDEGATE_WITHOUT` does not name it; or that variable has a name that no need has.
pub fn needed<T>(name: &str, look: impl FnOnce() -> Result<T, String>) -> Option<T> {
    let without = std::env::var(WITHOUT).unwrap_or_default();
    let strict = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    match decide(name, &without, strict, look) {
        Verdict::Here(it) => Some(it),
        Verdict::Skipped(why) => {
            let thread = std::thread::current();
            // Not by `eprintln!`, which is shown of a test that fails alone.
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why} (in {})", thread.name().unwrap_or("a thread"));
            None
        }
        Verdict::Failed(why) => panic!("{why}"),
    }
}

/// A command of a program, by its name here; `None` as [`needed`] says.
///
/// # Panics
/// As [`needed`].
pub fn program(name: &str) -> Option<Command> {
    let programs = need(name).programs;
    needed(name, || find(programs).ok_or_else(|| format!("`{}` is not installed", programs[0]))).map(Command::new)
}

enum Verdict<T> {
    Here(T),
    Skipped(String),
    Failed(String),
}

fn decide<T>(name: &str, without: &str, strict: bool, look: impl FnOnce() -> Result<T, String>) -> Verdict<T> {
    let need = need(name);
    for named in without.split([' ', ',']).filter(|named| !named.is_empty()) {
        if NEEDS.iter().all(|need| need.name != named) {
            let names: Vec<_> = NEEDS.iter().map(|need| need.name).collect();
            return Verdict::Failed(format!("{WITHOUT} names `{named}`, which is none of {}", names.join(", ")));
        }
        if named == name {
            return Verdict::Skipped(format!("{WITHOUT} names it"));
        }
    }
    let why = match look() {
        Ok(it) => return Verdict::Here(it),
        Err(why) => format!("{why}; needs {}", need.install),
    };
    if strict { Verdict::Failed(format!("{why}; or {WITHOUT}={name} leaves it out")) } else { Verdict::Skipped(why) }
}

fn need(name: &str) -> &'static Need {
    NEEDS.iter().find(|need| need.name == name).unwrap_or_else(|| panic!("`{name}` is not in the table of needs"))
}

fn find(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    programs.iter().find_map(|program| folders.iter().map(|folder| folder.join(program)).find(|file| is_program(file)))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(without: &str, strict: bool, look: Result<(), String>) -> String {
        match decide("curl", without, strict, || look) {
            Verdict::Here(()) => "here".to_owned(),
            Verdict::Skipped(why) => format!("skipped: {why}"),
            Verdict::Failed(why) => format!("failed: {why}"),
        }
    }

    #[test]
    fn what_is_missing_fails_where_it_is_strict_and_nobody_named_it() {
        let gone = || Err("`curl` is not installed".to_owned());
        assert_eq!(
            said("", true, gone()),
            "failed: `curl` is not installed; needs curl; or TIDEGATE_WITHOUT=curl leaves it out"
        );
        assert_eq!(said("nghttp", true, gone()), said("", true, gone()), "another one is named");
        assert_eq!(said("", false, gone()), "skipped: `curl` is not installed; needs curl");
        for strict in [true, false] {
            for without in ["curl", "nghttp,curl", "nghttp curl"] {
                assert_eq!(said(without, strict, gone()), "skipped: TIDEGATE_WITHOUT names it");
            }
        }
    }

    #[test]
    fn what_is_here_is_used_unless_it_is_named() {
        assert_eq!(said("", true, Ok(())), "here");
        assert_eq!(said("nghttp", true, Ok(())), "here");
        assert_eq!(said("curl", true, Ok(())), "skipped: TIDEGATE_WITHOUT names it");
    }

    #[test]
    fn a_name_that_nothing_has_is_told() {
        for strict in [true, false] {
            let said = said("crul", strict, Ok(()));
            assert!(
                said.starts_with("failed: TIDEGATE_WITHOUT names `crul`, which is none of chromium, curl, "),
                "{said}"
            );
        }
    }

    #[test]
    fn programs_are_found_by_any_of_their_names() {
        assert!(find(&["no-such-program", "sh"]).is_some_and(|file| file.ends_with("sh")));
        assert_eq!(find(&["no-such-program"]), None);
    }
}
