//! The finds of fuzzing, on every change: requests with policies, and every one that once broke something.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "inputs are files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/contexts.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod contexts;
#[path = "../../../fuzz/src/policy.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a library elsewhere, and the compiler's tests need more of it")]
mod policy;
#[path = "../../../fuzz/src/request.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod request;

#[test]
fn what_fuzzing_found_is_decided() {
    let seen = each("walk", |input| request::walk(&String::from_utf8_lossy(input)));
    assert!(seen > 100, "{seen} inputs");
}

#[test]
fn contexts_are_understood() {
    let seen = each("contexts", contexts::understood);
    assert!(seen > 5, "{seen} inputs");
}

/// Does this with every input of a target; how many there are.
fn each(target: &str, what: impl Fn(&[u8])) -> usize {
    let mut seen = 0;
    for folder in ["corpus", "crashes"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder).join(target);
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            // The name is shown if it panics.
            println!("{}", path.display());
            what(&fs::read(&path).unwrap());
            seen += 1;
        }
    }
    seen
}
