//! Globs, of `like`, `include` and the origins of `cors`: `*` is any run of characters, dots and slashes too, and `?` is
//! one character.

/// A glob, cut at its stars.
///
/// A pattern of n pieces reads the text once: each middle piece is looked for where the one before ended, and the
/// leftmost place is always good enough, because a star takes whatever is left. So there is nothing to go back to.
#[derive(Debug, Clone)]
pub struct Glob {
    first: Segment,
    /// The glob behind its first star; `None` if there is no star.
    tail: Option<Tail>,
}

#[derive(Debug, Clone)]
struct Tail {
    middle: Box<[Segment]>,
    last: Segment,
}

/// A run of characters without a star.
#[derive(Debug, Clone)]
struct Segment {
    text: Box<str>,
    /// Whether `text` has a `?`; without one, searching is plain text search.
    wild: bool,
}

impl Glob {
    /// The glob of a pattern; every text is one.
    pub fn new(pattern: &str) -> Self {
        let mut segments = pattern.split('*').map(Segment::new);
        let first = segments.next().unwrap_or_else(|| Segment::new(""));
        let tail = segments
            .next_back()
            .map(|last| Tail { middle: segments.filter(|segment| !segment.text.is_empty()).collect(), last });
        Self { first, tail }
    }

    /// The texts that every match begins and ends with; `true` if the glob asks for no more.
    pub fn ends(&self) -> (&str, &str, bool) {
        let first = &*self.first.text;
        let begin = first.split('?').next().unwrap_or_default();
        match &self.tail {
            None => (begin, first.rsplit('?').next().unwrap_or_default(), !self.first.wild),
            Some(tail) => (begin, tail.last.text.rsplit('?').next().unwrap_or_default(), false),
        }
    }

    /// The longest text that everything has somewhere that meets the glob.
    pub fn longest_piece(&self) -> &str {
        let tail = self.tail.iter().flat_map(|tail| tail.middle.iter().chain([&tail.last]));
        let pieces = [&self.first].into_iter().chain(tail).flat_map(|segment| segment.text.split('?'));
        pieces.max_by_key(|piece| piece.len()).unwrap_or_default()
    }

    /// Whether the whole of `text` meets the glob.
    pub fn matches(&self, text: &str) -> bool {
        let Some(rest) = self.first.strip_prefix(text) else {
            return false;
        };
        let Some(tail) = &self.tail else {
            return rest.is_empty();
        };
        let Some(mut rest) = tail.last.strip_suffix(rest) else {
            return false;
        };
        for segment in &tail.middle {
            match segment.find(rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        true
    }
}

impl Segment {
    fn new(text: &str) -> Self {
        Self { text: text.into(), wild: text.contains('?') }
    }

    /// The rest of `text` behind the segment, if `text` begins with it.
    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.wild {
            return text.strip_prefix(&*self.text);
        }
        let mut rest = text.chars();
        for wanted in self.text.chars() {
            let found = rest.next()?;
            if wanted != '?' && wanted != found {
                return None;
            }
        }
        Some(rest.as_str())
    }

    /// The rest of `text` before the segment, if `text` ends with it.
    fn strip_suffix<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.wild {
            return text.strip_suffix(&*self.text);
        }
        let mut rest = text.chars();
        for wanted in self.text.chars().rev() {
            let found = rest.next_back()?;
            if wanted != '?' && wanted != found {
                return None;
            }
        }
        Some(rest.as_str())
    }

    /// The rest of `text` behind the leftmost place of the segment.
    fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.wild {
            let (_, after) = text.split_once(&*self.text)?;
            return Some(after);
        }
        let mut from = text.chars();
        loop {
            if let Some(after) = self.strip_prefix(from.as_str()) {
                return Some(after);
            }
            from.next()?;
        }
    }
}

/// Whether a text has wildcards.
pub(crate) fn wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*.shop.example", "api.shop.example", true),
            ("*.shop.example", "shop.example", false),
            ("/v?/*", "/v1/a/b", true),
            ("/v?/*", "/v12/a", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*b*", "abab", true),
            ("*b*b*", "ab", false),
            ("a**c", "abc", true),
            ("?", "\u{e9}", true),
            ("?", "", false),
            ("*?", "\u{e9}", true),
            ("*.js", "a.js.map", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    /// The definition, written down.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| naive(rest, &text[skipped..])),
            (['?', pattern @ ..], [_, text @ ..]) => naive(pattern, text),
            ([wanted, pattern @ ..], [found, text @ ..]) => wanted == found && naive(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab\u{e9}?*]{0,8}", text in "[ab\u{e9}]{0,12}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            let glob = Glob::new(&pattern);
            prop_assert_eq!(glob.matches(&text), naive(&p, &t), "{} {}", pattern, text);
            let (begin, end, whole) = glob.ends();
            let meets_ends = text.starts_with(begin) && text.ends_with(end) && (!whole || text == begin);
            prop_assert!(meets_ends || !glob.matches(&text), "{} {}", pattern, text);
            prop_assert_eq!(whole, !pattern.contains(['*', '?']));
        }
    }
}
