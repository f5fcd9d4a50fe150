//! Finds the word that was meant.

/// The candidate nearest to what was written, if one is near enough to be meant. Of equals the first wins, so
/// callers put the likelier ones first.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written: Vec<char> = written.chars().take(MAX_CHARS + 1).map(|c| c.to_ascii_lowercase()).collect();
    if written.is_empty() || written.len() > MAX_CHARS {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let limit = best.map_or(allowed(written.len()), |(distance, _)| distance.saturating_sub(1));
        if candidate.len().abs_diff(written.len()) > limit + 1 {
            continue;
        }
        let distance = distance(&written, candidate);
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, word)| word)
}

/// The longest word, in characters, that suggestions are made for: longer ones are no misspelt words of the language.
const MAX_CHARS: usize = 50;

/// Edits that a word of this length may be away: a third, one at least, none for a single letter.
fn allowed(length: usize) -> usize {
    match length {
        0..=1 => 0,
        2 => 1,
        length => length / 3,
    }
}

/// Edits between two words: insert, remove, replace, or swap neighbours (optimal string alignment).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replace = last[j] + usize::from(x != y);
            let mut least = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let words = ["port", "rules", "request-timeout", "idle-timeout"];
        assert_eq!(nearest("prot", words), Some("port"));
        assert_eq!(nearest("request-timout", words), Some("request-timeout"));
        assert_eq!(nearest("Port", words), Some("port"));
        assert_eq!(nearest("zebra", words), None);
        assert_eq!(nearest("", words), None);
    }
}
