//! The finds of fuzzing, on every change: its corpora, and every input that once broke something.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "inputs are files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/policy.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod policy;

#[test]
fn what_fuzzing_found_is_answered() {
    let mut seen = 0;
    for folder in ["corpus", "crashes"] {
        for (target, holds) in
            [("parse", policy::parse as fn(&str)), ("compile", policy::compile), ("fmt", policy::fmt)]
        {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder).join(target);
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                // The name is shown if it panics.
                println!("{}", path.display());
                holds(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} inputs");
}
