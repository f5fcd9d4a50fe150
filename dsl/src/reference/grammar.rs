//! The grammar that editors colour a policy by, in TextMate's form, with the words of the vocabulary.

use serde_json::{Value, json};

use crate::vocabulary::{Place, Role, Word};

/// The file `editors/tidegate.tmLanguage.json`.
///
/// A word is coloured by what it is for where it is used most: a grammar of regular expressions does not know the block.
pub fn grammar() -> String {
    let grammar = json!({
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "Tidegate",
        "scopeName": "source.tidegate",
        "fileTypes": ["gate"],
        "patterns": [
            { "include": "#comment" },
            { "include": "#text" },
            { "include": "#declaration" },
            { "include": "#line" },
            { "include": "#number" },
            { "include": "#argument" },
        ],
        "repository": {
            "comment": { "name": "comment.line.number-sign.tidegate", "match": "#.*$" },
            "text": text(),
            "declaration": {
                "match": format!("^\\s*({})(?:\\s+({}))?\\s+([a-z][a-z0-9_-]*)(?=\\s*(?:[{{\\[]|$))",
                    alternatives(declarations()), alternatives(names(&[Place::ListenerProtocol]))),
                "captures": {
                    "1": { "name": "keyword.declaration.tidegate" },
                    "2": { "name": "storage.modifier.tidegate" },
                    "3": { "name": "entity.name.type.tidegate" },
                },
            },
            "line": { "patterns": [
                begins("keyword.control.conditional.tidegate", of_role(Role::Condition)),
                begins("keyword.control.outcome.tidegate", of_role(Role::Outcome)),
                begins("support.function.step.tidegate", of_role(Role::Step).chain(of_role(Role::WayBack))),
                begins("keyword.other.tidegate", blocks().filter(|(_, word)| word.role == Role::Plain).map(|(_, word)| word.name)),
            ] },
            "number": { "patterns": [
                { "name": "constant.numeric.address.tidegate",
                  "match": "(?<![\\w.-])(?:\\d{1,3}(?:\\.\\d{1,3}){3}|\\[[0-9A-Fa-f:.]+\\](?=:)|[0-9A-Fa-f]*::[0-9A-Fa-f:]*)(?:/\\d+)?(?::\\d+)?" },
                { "name": "constant.numeric.tidegate",
                  "match": "(?<![\\w.-])\\d+(?:\\.\\.\\d+|ms|xx|[smhd]|KiB|MiB|GiB|B|/[smh]|%)?(?![\\w.-])" },
            ] },
            "argument": { "patterns": [
                stands("keyword.operator.test.tidegate", names(&[Place::Predicate])),
                stands("variable.language.tidegate", names(&[Place::Subject, Place::ResponseSubject])),
                stands("constant.language.tidegate", ["on", "off"].into_iter().chain(arguments())),
            ] },
        },
    });
    // Reads as what it is: a file that is made.
    serde_json::to_string_pretty(&grammar).unwrap_or_default() + "\n"
}

fn text() -> Value {
    json!({
        "name": "string.quoted.double.tidegate",
        "begin": "\"",
        "end": "\"|$",
        "patterns": [
            { "name": "constant.character.escape.tidegate", "match": "\\\\.|\\$\\$\\{" },
            {
                "match": format!("(\\$\\{{)({})((?:\\.[^}}\"]*)?)(\\}})", alternatives(names(&[Place::Insert, Place::ResponseInsert]))),
                "captures": {
                    "1": { "name": "punctuation.section.embedded.begin.tidegate" },
                    "2": { "name": "variable.language.insertion.tidegate" },
                    "3": { "name": "variable.other.tidegate" },
                    "4": { "name": "punctuation.section.embedded.end.tidegate" },
                },
            },
        ],
    })
}

/// Words where a line begins.
fn begins<'w>(name: &str, words: impl Iterator<Item = &'w str>) -> Value {
    json!({ "match": format!("(?:^|(?<=[{{;]))\\s*({})(?![\\w-])", alternatives(words)), "captures": { "1": { "name": name } } })
}

/// Words anywhere.
fn stands<'w>(name: &str, words: impl Iterator<Item = &'w str>) -> Value {
    json!({ "name": name, "match": format!("(?<![\\w.-])(?:{})(?![\\w.-])", alternatives(words)) })
}

/// `a|b|c`: longer words first, since the first that fits counts; each once.
fn alternatives<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let mut words: Vec<&str> = words.collect();
    words.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    words.dedup();
    words.join("|")
}

fn names(places: &[Place]) -> impl Iterator<Item = &'static str> {
    places.iter().flat_map(|place| place.words()).map(|word| word.name)
}

/// Words whose line declares a name.
fn declarations() -> impl Iterator<Item = &'static str> {
    let declares = |word: &&Word| word.arguments.contains("NAME") && !word.arguments.contains("\"NAME");
    [Place::File, Place::Rules]
        .into_iter()
        .flat_map(move |place| place.words().iter().filter(declares))
        .map(|word| word.name)
}

/// Words of blocks: those that a line begins with.
fn blocks() -> impl Iterator<Item = (Place, &'static Word)> {
    let places = Place::ALL.into_iter().filter(|place| place.is_block());
    places.flat_map(|place| place.words().iter().map(move |word| (place, word)))
}

fn of_role(role: Role) -> impl Iterator<Item = &'static str> {
    blocks().filter(move |(_, word)| word.role == role).map(|(_, word)| word.name)
}

/// Words that stand as arguments, but for those of tests and insertions, which have colours of their own.
fn arguments() -> impl Iterator<Item = &'static str> {
    let own = [Place::Predicate, Place::Subject, Place::ResponseSubject, Place::Insert, Place::ResponseInsert];
    let places = Place::ALL.into_iter().filter(move |place| !place.is_block() && !own.contains(place));
    places.flat_map(|place| place.words()).map(|word| word.name)
}
