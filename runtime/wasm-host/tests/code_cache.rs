//! Compiled code that is kept for the next start.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{exchange, hostile};
use tidegate_engine::hook::Hook;
use tidegate_wasm_host::{Host, HostOptions, Pool};

/// A way to break a file.
type Break = fn(&[u8]) -> Vec<u8>;

/// Every file that holds code; the others hold statistics.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(entries(&path));
        } else if path.extension().is_none() {
            found.push(path);
        }
    }
    found
}

/// Loads a guest in a host of its own, and calls it; how long loading took.
fn load(folder: &Path) -> Duration {
    let host = Host::new(HostOptions { code: Some(folder.to_owned()), ..HostOptions::new(Arc::new(|_| {})) }).unwrap();
    let started = Instant::now();
    let extension = host.load(&hostile()).unwrap();
    let took = started.elapsed();
    let (exchange, verdict) = Pool::new(extension).call(Hook::Request, exchange(&[]));
    assert!(verdict.is_ok() && exchange.request.headers["x-calls"] == "1");
    took
}

#[test]
fn the_next_start_takes_the_code_that_is_there_and_none_that_is_broken() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("code-cache-{}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let first = load(&folder);
    let written = entries(&folder);
    assert!(!written.is_empty());
    let second = load(&folder);
    eprintln!("loading took {first:?}, and {second:?} with the code there");
    assert!(second < first, "{first:?} {second:?}");
    assert_eq!(entries(&folder), written, "nothing was compiled again");
    let whole: Vec<Vec<u8>> = written.iter().map(|path| fs::read(path).unwrap()).collect();
    let breaks: [Break; 3] = [|code| code[..code.len() / 2].to_vec(), |code| vec![0x5a; code.len()], |_| Vec::new()];
    for broken in breaks {
        for (path, code) in written.iter().zip(&whole) {
            fs::write(path, broken(code)).unwrap();
        }
        load(&folder);
    }
    fs::remove_dir_all(&folder).unwrap();
}
