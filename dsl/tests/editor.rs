//! Whatever a file holds and wherever the cursor stands, an editor is answered.

#![allow(clippy::disallowed_methods, reason = "policies are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tidegate_dsl::editor::{Expected, at, declarations, word_at};
use tidegate_dsl::reference;

fn policies() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "gate"));
    paths.sort();
    paths.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn check(text: &str, offset: usize) {
    for cursor in [at(text, offset), word_at(text, offset)] {
        assert!(cursor.start <= cursor.end && cursor.end <= text.len(), "{cursor:?}");
        assert!(text.is_char_boundary(cursor.start) && text.is_char_boundary(cursor.end), "{cursor:?}");
        assert!(text[cursor.start..].starts_with(cursor.written), "{cursor:?}");
        if let Some((place, word)) = cursor.word() {
            assert!(!reference::word(place, word).is_empty());
        }
    }
    for found in declarations(text) {
        assert_eq!(&text[found.span.0..found.span.1], found.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>(), offset in any::<usize>()) {
        check(&text, offset % (text.len() + 2));
    }

    #[test]
    fn any_marks_are_answered(text in "[a-z{}\\[\\],;\"# \n\t\\\\$:/0-9.%é-]{0,120}", offset in any::<usize>()) {
        check(&text, offset % (text.len() + 2));
    }

    /// A shipped policy with a piece cut out and another put in.
    #[test]
    fn mutated_policies_are_answered(
        which in any::<usize>(), from in any::<usize>(), length in 0..60_usize,
        piece in "[a-z{}\\[\\],;\"#$\n é]{0,8}", offset in any::<usize>(),
    ) {
        let all = policies();
        let text = &all[which % all.len()];
        let from = text.floor_char_boundary(from % (text.len() + 1));
        let to = text.floor_char_boundary(from + length);
        let text = format!("{}{piece}{}", &text[..from], &text[to..]);
        check(&text, offset % (text.len() + 2));
    }
}

/// The editor's idea of the language is the checker's: at every word of every shipped policy it expects what stands there.
#[test]
fn what_stands_in_a_good_policy_is_expected() {
    let mut words = 0;
    // What policies include.
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/shared/networks.gate");
    let shared = fs::read_to_string(shared).unwrap();
    for text in policies() {
        let here = declarations(&text).into_iter().chain(declarations(&shared));
        let names: Vec<String> = here.map(|found| found.name).collect();
        let mut begun = 0;
        while let Some(at) = text[begun..].find(|c: char| c.is_ascii_lowercase()) {
            let cursor = word_at(&text, begun + at);
            begun = cursor.end.max(begun + at + 1);
            if cursor.expected.is_empty() || cursor.written.is_empty() {
                continue;
            }
            let known = cursor.expected.iter().any(|expected| match expected {
                Expected::Word(_) => cursor.word().is_some(),
                Expected::Name(_) | Expected::Rule => names.iter().any(|name| name == cursor.written),
                Expected::Value(values) => values.contains(&cursor.written),
            });
            // A number, or a network in place of the name of a list, is no word.
            let number = cursor.written.starts_with(|c: char| c.is_ascii_digit());
            assert!(known || number, "{cursor:?} in:\n{text}");
            words += 1;
        }
    }
    assert!(words > 500, "{words}");
}
