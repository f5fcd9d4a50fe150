//! The texts that are made from the vocabulary for people and editors. Here, the reference of the language: chapters of
//! prose, which stand in `language.md` beside this file, and every word of the vocabulary in its chapter.

mod grammar;

use std::fmt::Write as _;

pub use grammar::grammar;

use crate::plan::CipherSuite;
use crate::vocabulary::{Place, Role, Word};

/// The prose. A line `<!-- words: PLACE … -->` stands for the words of those places; `PLACE:ROLE`, for those of one role.
const CHAPTERS: &str = include_str!("language.md");

/// The page `docs/language.md`.
pub fn language() -> String {
    let mut page = String::new();
    for line in CHAPTERS.lines() {
        match words_of(line) {
            Some(words) => table(&words, &mut page),
            None if line == "<!-- suites -->" => suites(&mut page),
            None => {
                page.push_str(line);
                page.push('\n');
            }
        }
    }
    page
}

/// A word at its place, in Markdown: what an editor shows of it.
pub fn word(place: Place, word: &Word) -> String {
    let mut page = format!("`{}` — {}\n\n{}", word.usage(), place.title(), sense(word));
    let example = place.example(word);
    if !example.is_empty() {
        let _ = write!(page, "\n\n```tidegate\n{example}\n```");
    }
    page
}

/// A word wherever it stands, as text for people: what `tidegate help WORD` says. `None` if it is no word of the language.
pub fn words_named(name: &str) -> Option<String> {
    let mut pages: Vec<String> = Vec::new();
    for place in Place::ALL {
        let Some(word) = place.find(name) else { continue };
        let example = place.example(word).replace('\n', "\n    ");
        let page = format!("{}\n{}:\n\n{}\n\n    {example}\n", word.usage(), place.title(), sense(word));
        if !pages.contains(&page) {
            pages.push(page);
        }
    }
    (!pages.is_empty()).then(|| pages.join("\n"))
}

/// The sentences about what a word means, and what it takes.
fn sense(word: &Word) -> String {
    let mut text = format!("{}.", word.short);
    if !word.more.is_empty() {
        let _ = write!(text, " {}", without_links(word.more));
    }
    let range = word.range().map(|range| format!("Range: {range}."));
    let default = word.default_text().map(|default| format!("Default: `{default}`."));
    let facts: Vec<String> = range.into_iter().chain(default).collect();
    if !facts.is_empty() {
        let _ = write!(text, "\n\n{}", facts.join(" "));
    }
    text
}

/// A sentence without its links into the reference, which lead nowhere in an editor.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("](#") {
        let label = before.rfind('[').unwrap_or(0);
        out.push_str(&before[..label]);
        out.push_str(before[label..].trim_start_matches('['));
        rest = link.split_once(')').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// The words that a line stands for, if it is such a line.
fn words_of(line: &str) -> Option<Vec<(Place, &'static Word)>> {
    let names = line.strip_prefix("<!-- words: ")?.strip_suffix(" -->")?;
    let of = |name: &str| {
        let (place, role) = name.split_once(':').map_or((name, None), |(place, role)| (place, Some(role.to_owned())));
        let place = Place::ALL.into_iter().find(|other| format!("{other:?}") == place);
        let words = place.into_iter().flat_map(|place| place.words().iter().map(move |word| (place, word)));
        words.filter(move |(_, word)| role.as_ref().is_none_or(|role| format!("{:?}", word.role) == *role))
    };
    Some(names.split(' ').flat_map(of).collect())
}

/// A column of a table: its title, and what stands in it.
type Column = (&'static str, fn(Place, &Word) -> String);

const COLUMNS: [Column; 5] = [
    ("word", |_, word| code(&word.usage())),
    ("what it is for", |place, word| purpose(place, word)),
    ("range", |_, word| word.range().unwrap_or_default()),
    ("default", |_, word| word.default_text().unwrap_or_default()),
    ("example", |place, word| code(&place.example(word))),
];

/// A table of words, each once. A column that would be empty is left out.
fn table(all: &[(Place, &Word)], page: &mut String) {
    let mut words: Vec<(Place, &Word)> = Vec::new();
    for (place, word) in all {
        // What stands in two places of one table, such as `host` in tests of a request and of a response.
        if !words.iter().any(|(_, other)| other == word) {
            words.push((*place, word));
        }
    }
    let mut rows: Vec<Vec<String>> = vec![Vec::new(); words.len() + 2];
    for (title, cell) in COLUMNS {
        let cells: Vec<String> = words.iter().map(|(place, word)| cell(*place, word)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            let column = [title.to_owned(), "---".to_owned()].into_iter().chain(cells);
            rows.iter_mut().zip(column).for_each(|(row, cell)| row.push(cell));
        }
    }
    for row in rows {
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
}

fn purpose(place: Place, word: &Word) -> String {
    let mut text = word.short.to_owned();
    // Arguments and subjects stand once in their line; a rule has one outcome.
    let once = matches!(word.role, Role::Outcome | Role::WayBack);
    if word.repeats && !once && Place::BLOCKS.contains(&place) {
        text.push_str("; repeatable");
    }
    if !word.more.is_empty() {
        let _ = write!(text, ". {}", word.more.trim_end_matches('.'));
    }
    text.replace('|', "\\|")
}

/// A text as code, in a cell of a table.
fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

/// The rows of the table of cipher suites.
fn suites(page: &mut String) {
    for suite in CipherSuite::ALL {
        let openssl = suite.openssl_name().unwrap_or(suite.name());
        let _ = writeln!(page, "| {} | `{}` | `{openssl}` |", suite.version().word(), suite.name());
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_shown_with_all_that_the_table_holds() {
        let timeout = Place::Listener.find("request-timeout").expect("a word");
        assert_eq!(
            word(Place::Listener, timeout),
            "`request-timeout D` — in a `listener`\n\nhow long a peer may stay silent within a request. See Timeouts.\n\n\
             Range: 1s to 1h. Default: `1m`.\n\n```tidegate\nrequest-timeout 2m\n```"
        );
    }

    #[test]
    fn every_word_has_its_chapter() {
        let told: Vec<_> = CHAPTERS.lines().filter_map(words_of).flatten().collect();
        for place in Place::ALL {
            for word in place.words() {
                let count = told.iter().filter(|(other, told)| *other == place && told.name == word.name).count();
                assert_eq!(count, 1, "`{}` of {place:?} stands in `language.md` {count} times", word.name);
            }
        }
    }
}
