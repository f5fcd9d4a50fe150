//! What fuzzing found, on every change: its corpora, and every input that once broke something.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/h3_reader.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod h3_reader;
#[path = "../../../fuzz/src/http3.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod http3;
#[path = "../../../fuzz/src/packets.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod packets;
#[path = "../../../fuzz/src/proxy_protocol.rs"]
#[allow(unreachable_pub, reason = "it is a library elsewhere")]
mod proxy_protocol;

#[test]
fn what_fuzzing_found_holds() {
    for (target, holds) in [
        ("frames", http3::frames as fn(&[u8])),
        ("field_section", http3::field_section),
        ("connection_ids", packets::connection_ids),
        ("gquic", packets::gquic),
        ("proxy_protocol", proxy_protocol::parsed),
    ] {
        let mut seen = 0;
        for folder in ["corpus", "crashes"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder).join(target);
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                // The name is shown if it panics.
                println!("{}", path.display());
                holds(&fs::read(&path).unwrap());
                seen += 1;
            }
        }
        assert!(seen > 5, "{seen} inputs of {target}");
    }
}
