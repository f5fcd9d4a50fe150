//! The vocabulary: every word of the language, once.
//!
//! The checker takes ranges, defaults and repetition from it, the suggestions their candidates, the printer its
//! defaults; the reference of the language, editors and their grammar are made from it.

mod example;
mod file;
mod listener;
mod place;
mod protocol;
mod rules;
mod servers;
mod table;
mod tls;
mod values;
mod word;

pub use place::Place;
pub use protocol::{Fit, fit};
pub use tls::DEFAULT_POLICY;
pub use word::{Role, Value, Word};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_word_stands_once_at_its_place_and_says_what_it_is_for() {
        for place in Place::ALL {
            let mut seen = HashSet::new();
            assert!(!place.words().is_empty(), "{place:?} has no words");
            for word in place.words() {
                assert!(seen.insert(word.name), "`{}` stands twice in {place:?}", word.name);
                assert!(!word.short.is_empty(), "`{}` says nothing", word.name);
                assert!(!word.short.ends_with('.'), "`{}` ends with a full stop", word.name);
                assert!(word.more.is_empty() || word.more.ends_with('.'), "`{}` has half a sentence", word.name);
            }
        }
    }

    #[test]
    fn defaults_lie_within_their_ranges() {
        for word in Place::ALL.iter().flat_map(|place| place.words()) {
            match word.value {
                Value::Duration { min, max, default: Some(default), .. } => {
                    assert!(min <= default && default <= max, "{}", word.name);
                }
                Value::Count { min, max, default: Some(default), .. }
                | Value::Size { min, max, default: Some(default), .. } => {
                    assert!(min <= default && default <= max, "{}", word.name);
                }
                _ => {}
            }
        }
    }
}
