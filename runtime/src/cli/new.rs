//! `tidegate new extension`: a crate to go on from, with the SDK of this version beside it.

use std::io::Write;
use std::path::Path;

use super::{Failed, answer};

/// The crate's files. `@name@` stands for its name, `@module@` for that of the module, which has no hyphens.
const CRATE: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/manifest.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("@name@.gate", include_str!("template/policy.in")),
    ("README.md", include_str!("template/readme.in")),
    (".gitignore", "/target\n"),
];

/// The folder of the SDK in the crate.
const SDK_FOLDER: &str = "tidegate-guest";

/// The SDK's files: paths and texts.
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Names that cargo refuses for packages or for what is built of them.
const TAKEN: [&str; 39] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "pub", "ref", "return", "static", "struct", "super", "test", "true", "use", "while",
];

/// Makes the crate `name` in a new folder.
pub(super) fn extension(name: &str) -> Result<(), Failed> {
    if let Some(wrong) = wrong_with(name) {
        return Err(Failed::Usage(format!("`{name}` cannot be the name of an extension: {wrong}")));
    }
    let folder = Path::new(name);
    if folder.exists() {
        return Err(Failed::Because(format!(
            "there is a `{name}` already, and it is left as it is: choose another name, or another folder"
        )));
    }
    for (path, text) in CRATE {
        write(&folder.join(fill(path, name)), &fill(text, name))?;
    }
    for (path, text) in SDK {
        write(&folder.join(SDK_FOLDER).join(path), text)?;
    }
    answer(&fill(NEXT, name))
}

const NEXT: &str = "\
made the extension `@name@`: begin in @name@/src/lib.rs

  cd @name@
  cargo test                                                    its tests, on this machine
  rustup target add wasm32-unknown-unknown                      once
  cargo build --release --target wasm32-unknown-unknown         the module
  tidegate test @name@.gate                                     the tests of its policy
  tidegate run @name@.gate                                      and then: curl -i http://127.0.0.1:8080/
";

/// Why this cannot be a name, in policies or for cargo.
fn wrong_with(name: &str) -> Option<&'static str> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !first || !bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte)) {
        return Some("write a lower-case letter, and then letters, digits, `-` and `_`");
    }
    if name.len() > 64 {
        return Some("it has more than 64 letters");
    }
    if TAKEN.contains(&name) {
        return Some("the word has a meaning in Rust");
    }
    if ["src", "target", "deps", "build", "examples", "incremental", "core", "std", "alloc", "serde", SDK_FOLDER]
        .contains(&name)
    {
        return Some("cargo needs the name for something else");
    }
    None
}

fn fill(text: &str, name: &str) -> String {
    text.replace("@name@", name).replace("@module@", &name.replace('-', "_"))
}

/// Never writes over a file.
fn write(path: &Path, text: &str) -> Result<(), Failed> {
    let failed = |error: std::io::Error| Failed::Because(format!("cannot write `{}`: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
#[expect(clippy::expect_used, clippy::panic, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_that_policies_and_cargo_take_them() {
        for good in ["hello", "my-filter", "a1_b"] {
            assert_eq!(wrong_with(good), None, "{good}");
        }
        for bad in ["", "Hello", "1a", "-a", "a/b", "..", "a b", "fn", "test", "target", "tidegate-guest", "ü"] {
            assert!(wrong_with(bad).is_some(), "{bad}");
        }
        assert!(wrong_with(&"a".repeat(65)).is_some());
    }

    #[test]
    fn no_gap_of_a_template_stays_and_the_module_has_no_hyphens() {
        for (path, text) in CRATE {
            let filled = format!("{}\n{}", fill(path, "my-filter"), fill(text, "my-filter"));
            assert!(!filled.contains("@name@") && !filled.contains("@module@"), "{path}");
        }
        let [_, _, (path, policy), ..] = CRATE;
        assert_eq!(fill(path, "my-filter"), "my-filter.gate");
        assert!(fill(policy, "my-filter").contains("my_filter.wasm"), "{policy}");
    }

    #[test]
    fn a_file_that_is_there_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("src/lib.rs");
        assert!(write(&path, "one").is_ok(), "its folder is made");
        let Err(Failed::Because(said)) = write(&path, "two") else { panic!("it was written over") };
        assert!(said.starts_with(&format!("cannot write `{}`: ", path.display())), "{said}");
        assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("one"));
    }
}
