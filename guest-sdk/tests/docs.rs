//! Every public item of the SDK has an example in its documentation.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::fs;
use std::path::Path;

const KINDS: [&str; 7] =
    ["pub fn ", "pub const fn ", "pub struct ", "pub enum ", "pub trait ", "pub type ", "macro_rules! "];

/// The items of a file, each with whether its documentation has an example.
fn items(text: &str) -> Vec<(String, bool)> {
    let (mut found, mut example, mut hidden, mut in_trait) = (Vec::new(), false, false, false);
    for line in text.lines() {
        let code = line.trim_start();
        if code.starts_with("///") {
            example |= code.starts_with("/// ```");
        } else if code.starts_with("#[") {
            hidden |= code.starts_with("#[doc(hidden)]");
        } else {
            in_trait = if line.starts_with("pub trait ") { true } else { in_trait && line != "}" };
            let is_hook = in_trait && line.starts_with("    fn ");
            if !hidden && (is_hook || KINDS.iter().any(|kind| code.starts_with(kind))) {
                found.push((code.to_owned(), example));
            }
            (example, hidden) = (false, false);
        }
    }
    found
}

fn walk(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().and_then(|name| name.to_str()) {
            // The host's functions, which are no part of the interface, and what is generated.
            Some("sys" | "bindings.rs") => {}
            _ if path.is_dir() => walk(&path, see),
            _ => see(&path),
        }
    }
}

#[test]
fn every_public_item_has_an_example() {
    let (mut seen, mut without) = (0, Vec::new());
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path| {
        // The glue of `export!` lies behind `__private`.
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("mod glue {").next().unwrap();
        for (item, example) in items(text) {
            seen += 1;
            if !example {
                without.push(format!("{}: {item}", path.display()));
            }
        }
    });
    assert!(seen > 100, "the test looks at {seen} items");
    assert!(without.is_empty(), "without an example:\n{}", without.join("\n"));
}
