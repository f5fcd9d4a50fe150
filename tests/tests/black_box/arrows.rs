//! The arrows inside of the crates: down the layers of ARCHITECTURE.md, and in no large circle.

use std::collections::BTreeMap;

use tidegate_tests::arrows::Arrows;
use tidegate_tests::workspace;

/// The layers of `tidegate`, from the top; those on a line stand side by side. What stands in one may use its own and those below.
const LAYERS: &[&[&str]] = &[
    &["cli", "lsp"],
    &["gateway"],
    &["admin"],
    &["worker"],
    &["downstream"],
    &["request"],
    &["policy"],
    &["telemetry"],
    &["tls", "quic"],
];

/// The layers of `tidegate-wasm-host`, from the top, as its `lib.rs` has them.
const HOST_LAYERS: &[&[&str]] = &[
    &["host", "pool"],
    &["extension"],
    &["abi"],
    &["functions"],
    &["guest"],
    &["module"],
    &["shared"],
    &["wit"],
    &["base"],
];

/// The most files of which each may reach each other. Two that call each other in turns are a pair, and a third may stand between
/// them; more are a knot.
const LARGEST_CIRCLE: usize = 3;

const CRATES: &[&str] = &[
    "dsl",
    "guest-sdk",
    "runtime",
    "runtime/base",
    "runtime/engine",
    "runtime/http3",
    "runtime/upstream",
    "runtime/wasm-host",
];

fn arrows(name: &str) -> Arrows {
    Arrows::of_crate(&workspace().join(name).join("src"))
}

fn planted(files: &[(&str, &str)]) -> Arrows {
    let files = files.iter().map(|(module, text)| ((*module).to_owned(), (*text).to_owned()));
    Arrows::of_files(&files.collect::<BTreeMap<_, _>>())
}

#[test]
fn arrows_run_down_the_layers() {
    for (name, order) in [("runtime", LAYERS), ("runtime/wasm-host", HOST_LAYERS)] {
        let arrows = arrows(name);
        let placed = |layer: &&str| order.iter().any(|side| side.contains(layer));
        let unplaced: Vec<&str> = arrows.layers().into_iter().filter(|layer| !placed(layer)).collect();
        assert!(
            unplaced.is_empty(),
            "{name}: {unplaced:?} have no place among the layers: say here where they stand, and in the docs"
        );
        let up = arrows.upward(order);
        assert!(
            up.is_empty(),
            "{name}: {up:#?}\nThese name a layer above their own: move what they need down, or them up."
        );
    }
}

#[test]
fn no_circle_is_large() {
    let mut large = Vec::new();
    for name in CRATES {
        let arrows = arrows(name);
        let circles = arrows.circles();
        println!("{name}: {} files in the largest circle", circles.first().map_or(0, |circle| circle.len()));
        large.extend(
            circles.iter().filter(|circle| circle.len() > LARGEST_CIRCLE).map(|circle| format!("{name}: {circle:?}")),
        );
    }
    assert!(large.is_empty(), "each of these files reaches each other: {large:#?}");
}

#[test]
fn a_planted_arrow_is_found() {
    for up in [
        "use crate::worker::Worker;",
        "use crate::{policy, worker::{self, Worker}};",
        "fn f() { crate::worker::start(); }",
        "use super::super::worker;",
    ] {
        let files = [("", ""), ("worker", ""), ("policy", ""), ("request", ""), ("request::body", up)];
        assert_eq!(planted(&files).upward(LAYERS), ["request::body -> worker"], "{up}");
    }
    for no_arrow in
        ["// use crate::worker::Worker;", "const A: &str = \"crate::worker::Worker\";", "use worker::Worker;"]
    {
        let files = [("worker", ""), ("request", ""), ("request::body", no_arrow)];
        assert!(planted(&files).upward(LAYERS).is_empty(), "{no_arrow}");
    }
}

#[test]
fn a_planted_circle_is_found() {
    let mut files = vec![("a", "use crate::b::B;"), ("b", "use super::c;"), ("c", "mod d;\nuse d::D;"), ("c::d", "")];
    assert!(planted(&files).circles().is_empty());
    files[3].1 = "fn f() -> crate::a::A {}";
    let arrows = planted(&files);
    let circles = arrows.circles();
    assert_eq!(circles.first().map(|circle| circle.len()), Some(4), "{circles:?}");
    files[3].1 = "#[cfg(test)]\nmod tests { use crate::a::A; }";
    assert!(planted(&files).circles().is_empty(), "tests may look at everything");
}
