//! The finds of fuzzing, on every change: requests with policies, and every one that once broke something.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "inputs are files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/policy.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a library elsewhere, and the compiler's tests need more of it")]
mod policy;
#[path = "../../../fuzz/src/request.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod request;

#[test]
fn what_fuzzing_found_is_decided() {
    let mut seen = 0;
    for folder in ["corpus/walk", "crashes/walk"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder);
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            // The name is shown if it panics.
            println!("{}", path.display());
            request::walk(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen} inputs");
}
