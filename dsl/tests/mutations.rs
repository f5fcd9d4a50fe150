//! Whatever a policy file holds, the compiler answers: no panic, no hang, and a formatter that keeps its promises.

#![allow(clippy::disallowed_methods, reason = "cases and policies are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use support::TestLoader;
use tidegate_dsl::{Compilation, compile, format, print, render};

/// Mutated files of one run.
const MUTATIONS: usize = 10_000;

/// The time that a file may take: far more than any small file needs, even unoptimised and on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

fn compile_text(text: &str) -> Compilation {
    let path = Path::new("mutated.gate");
    compile(path, &TestLoader::new(path, text))
}

/// Asserts what must hold for every text.
fn check(text: &str) {
    let begun = Instant::now();
    let compilation = compile_text(text);
    assert_eq!(compilation.plan.is_none(), compilation.has_errors(), "{text}");
    let (said, sources) = (&compilation.diagnostics, &compilation.sources);
    let human = render::human(said, sources, true);
    assert_eq!(human.is_empty(), said.is_empty());
    assert_eq!(render::json(said, sources).lines().count(), said.len());
    assert_eq!(render::github(said, sources).lines().count(), said.len());
    if let Ok(once) = format(text) {
        let again = format(&once).unwrap_or_else(|_| panic!("formatted text does not parse:\n{once}"));
        assert_eq!(again, once, "formatting again changes:\n{text}");
        let plan = compile_text(&once).plan;
        assert_eq!(plan, compilation.plan, "formatting changes the meaning:\n{text}");
    }
    if let Some(plan) = &compilation.plan {
        let printed = print::policy(plan);
        assert_eq!(compile_text(&printed).plan.as_ref(), Some(plan), "{text}\n{printed}");
        assert!(!print::plan(plan).is_empty());
    }
    assert!(begun.elapsed() < PATIENCE, "{:?} for:\n{text}", begun.elapsed());
}

/// A small generator of numbers: the run is the same everywhere (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

fn seeds() -> Vec<String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in ["../policies", "tests/cases"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        paths.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "gate"));
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Words and marks, as they stand.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(rest.len());
        let (token, after) = rest.split_at(word.max(if word == 0 { first.len_utf8() } else { word }));
        tokens.push(token);
        rest = after;
    }
    tokens
}

fn mutate(text: &str, random: &mut Random) -> String {
    const MARKS: [&str; 18] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ";",
        "\"",
        "#",
        "\n",
        "\\",
        "${",
        "$${",
        "\u{0}",
        "é",
        "/",
        "otherwise",
        "when",
        "env",
    ];
    let mut text = text.to_owned();
    for _ in 0..=random.below(3) {
        let mut parts: Vec<String> = if random.below(2) == 0 {
            tokens(&text).into_iter().map(str::to_owned).collect()
        } else {
            text.chars().map(String::from).collect()
        };
        if parts.is_empty() {
            break;
        }
        let (at, other) = (random.below(parts.len()), random.below(parts.len()));
        match random.below(5) {
            0 => _ = parts.remove(at),
            1 => parts.insert(at, MARKS[random.below(MARKS.len())].to_owned()),
            2 => parts.insert(at, parts[at].clone()),
            3 => parts.swap(at, other),
            _ => {
                let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 200));
                parts.drain(from..to);
            }
        }
        text = parts.concat();
    }
    text
}

#[test]
fn mutated_policies_are_answered() {
    let seeds = seeds();
    let mut random = Random(0x7469_6465_6761_7465);
    for round in 0..MUTATIONS {
        check(&mutate(&seeds[round % seeds.len()], &mut random));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_marks_are_answered(text in "[a-z{}\\[\\],;\"# \n\t\\\\$:/0-9.%-]{0,200}") {
        check(&text);
    }
}

/// Texts that punish a parser which looks back, ahead or down too far.
#[test]
fn large_and_deep_texts_are_answered_soon() {
    let deep = 10_000;
    for text in [
        "a {\n".repeat(deep),
        "a { ".repeat(deep),
        format!("tidegate 1\nrules a {{ rule b {{ when {}", "any {\n all {".repeat(deep)),
        "[".repeat(100_000),
        "a [".repeat(50_000),
        "a [b,\n".repeat(50_000),
        "}".repeat(100_000),
        "\"".repeat(100_001),
        format!("a \"{}", "}".repeat(200_000)),
        format!("a \"{}", "} ".repeat(100_000)),
        format!("a {}", " ".repeat(300_000)),
        format!("a [{}", "\n#\n ".repeat(100_000)),
        format!("a ,{}", "\n#".repeat(100_000)),
        "a,".repeat(100_000),
        "x y z\n".repeat(50_000),
        "#\n".repeat(200_000),
        format!("{}{}", " ".repeat(300_000), "a;".repeat(100_000)),
        format!("{}a {{ {}", " ".repeat(300_000), "}".repeat(100_000)),
        format!("tidegate 1\nrules r {{ otherwise {{ log \"{}\" }} }}", "${".repeat(50_000)),
        format!("tidegate 1\nrules r {{ otherwise {{ log \"{}\" }} }}", "${host}".repeat(20_000)),
        format!("tidegate 1\n{}", "server-grup a { server 1.1.1.1:1 }\n".repeat(20_000)),
    ] {
        let begun = Instant::now();
        let compilation = compile_text(&text);
        assert!(compilation.has_errors());
        assert!(render::human(&compilation.diagnostics, &compilation.sources, false).len() < 2_000_000);
        let _ = format(&text);
        let shown: String = text.chars().take(60).collect();
        assert!(begun.elapsed() < PATIENCE * 3, "{:?} for {shown:?}…", begun.elapsed());
    }
}

#[test]
fn too_large_a_file_is_an_error() {
    let compilation = compile_text(&"a".repeat(4 * 1024 * 1024 + 1));
    assert_eq!(compilation.diagnostics.iter().map(|said| said.code).collect::<Vec<_>>(), ["E0108"]);
}

#[test]
fn too_deep_a_file_is_one_error() {
    let compilation = compile_text(&format!("tidegate 1\n{}", "a {\n".repeat(10_000)));
    let too_deep = compilation.diagnostics.iter().filter(|said| said.code == "E0107").count();
    assert_eq!(too_deep, 1);
}

#[test]
fn more_mistakes_than_anybody_reads_are_cut_off() {
    let compilation = compile_text(&format!("tidegate 1\n{}", "nonsense\n".repeat(5000)));
    assert_eq!(compilation.diagnostics.len(), 501);
    assert_eq!(compilation.diagnostics.last().map(|said| said.code), Some("W0908"));
    assert!(compilation.has_errors());
}
