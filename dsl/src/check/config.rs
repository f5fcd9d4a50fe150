//! The configuration of an extension: a free tree of words, turned into JSON.
//!
//! | written | JSON |
//! | --- | --- |
//! | `word 5`, `word 1.5` | a number |
//! | `word on`, `word off` | a boolean |
//! | `word "text"`, `word bare`, `word 5ms` | a string, as written |
//! | `word [a, b]` | an array |
//! | `word a b` | an array of the arguments |
//! | `word { … }` | an object |
//! | `word "a" { … }` | an array of the arguments and the object |
//! | `word` alone | `true` |
//! | the same word again | an array of what each has |
//!
//! A key that is not a word stands in quotes. Keys keep the order in which they are written.

use super::args::{Args, inner};
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::tree::{Block, Item, ItemKind, List, Node};
use crate::vocabulary::Place;

/// A JSON value whose objects keep their order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// A number, `true` or `false`, as JSON writes it.
    Plain(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Text(text) => f.write_str(&json_text(text)),
            Self::Array(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
            Self::Object(entries) => {
                f.write_str("{")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{value}", json_text(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Json {
    /// The tree that a text of JSON would be written as; `None` where none makes exactly this text.
    pub(crate) fn parse_tree(text: &str) -> Option<Self> {
        let json: Self = serde_json::from_str(text).ok()?;
        let writable =
            |json: &Self| matches!(json, Self::Object(entries) if entries.iter().all(|(_, value)| value.is_entry()));
        // Blanks and the ways to write a number are lost in reading; then only the text itself is right.
        (writable(&json) && json.to_string() == text).then_some(json)
    }

    /// Whether a line can hold the value: objects stand in blocks only, lists hold no lists.
    fn is_entry(&self) -> bool {
        match self {
            Self::Plain(text) => is_number(text) || matches!(text.as_str(), "true" | "false"),
            Self::Text(_) => true,
            Self::Array(values) => {
                values.iter().all(|value| !matches!(value, Self::Array(_) | Self::Object(_)) && value.is_entry())
            }
            Self::Object(entries) => entries.iter().all(|(_, value)| value.is_entry()),
        }
    }
}

/// Whether a key can stand without quotes.
pub(crate) fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// Reads JSON; `null` has no form in a tree and is refused.
struct JsonVisitor;

impl<'de> serde::de::Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value that a tree can hold")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'t> Checker<'_, 't> {
    /// The object that a block makes.
    pub(crate) fn config(&mut self, block: &Block<'t>) -> Option<Json> {
        // A key is looked up once for each node: large configurations stay linear.
        let mut order: Vec<(String, Vec<Json>)> = Vec::new();
        let mut index = std::collections::HashMap::new();
        let mut right = !block.broken;
        for node in block.nodes.iter().filter(|node| !node.broken) {
            let Some((key, value)) = self.config_node(node) else {
                right = false;
                continue;
            };
            let at = *index.entry(key.clone()).or_insert(order.len());
            match order.get_mut(at) {
                Some((_, values)) => values.push(value),
                None => order.push((key, vec![value])),
            }
        }
        let entries = order.into_iter().map(|(key, mut values)| {
            let only = if values.len() == 1 { values.pop() } else { None };
            (key, only.unwrap_or(Json::Array(values)))
        });
        right.then(|| Json::Object(entries.collect()))
    }

    fn config_node(&mut self, node: &Node<'t>) -> Option<(String, Json)> {
        let (first, rest) = node.items.split_first()?;
        let key = match &first.kind {
            ItemKind::Word(word) => (*word).to_owned(),
            ItemKind::Text(raw) => self.unescape(inner(raw), first.span, false)?,
            _ => {
                self.report(
                    Diagnostic::new(codes::NO_WORD, first.span, "a line of `config` begins with a key")
                        .help("write a word or a text, then its value"),
                );
                return None;
            }
        };
        let mut values = self.config_values(rest)?;
        if let Some(block) = &node.block {
            values.push(self.config(block)?);
        }
        let value = match values.len() {
            0 => Json::Plain("true".to_owned()),
            1 => values.pop()?,
            _ => Json::Array(values),
        };
        Some((key, value))
    }

    fn config_values(&mut self, mut items: &[Item<'t>]) -> Option<Vec<Json>> {
        let mut values = Vec::new();
        while let Some(first) = items.first() {
            let (value, used) = self.config_value(first, items)?;
            values.push(value);
            items = items.get(used..).unwrap_or_default();
        }
        Some(values)
    }

    /// A value, and how many items it takes.
    fn config_value(&mut self, first: &Item<'t>, items: &[Item<'t>]) -> Option<(Json, usize)> {
        Some(match &first.kind {
            ItemKind::Word("env") if matches!(items.get(1), Some(Item { kind: ItemKind::Text(_), .. })) => {
                let mut args = Args::values(Place::Extension.find("config")?, items, first.span);
                let (text, _) = self.text(&mut args, "a text")?;
                (Json::Text(text), items.len() - args.rest().len())
            }
            ItemKind::Word(word) => (bare(word), 1),
            ItemKind::Text(raw) => (Json::Text(self.unescape(inner(raw), first.span, false)?), 1),
            ItemKind::List(list) => (self.config_list(list)?, 1),
            ItemKind::Comma(_) | ItemKind::Broken(_) => {
                let shown = quoted(self.sources.slice(first.span));
                self.report(
                    Diagnostic::new(codes::COMMA, first.span, format!("{shown} stands between two values"))
                        .help("remove the comma; values in `[…]` are separated by commas"),
                );
                return None;
            }
        })
    }

    fn config_list(&mut self, list: &List<'t>) -> Option<Json> {
        let mut values = Vec::new();
        for element in &list.elements {
            let mut found = self.config_values(&element.items)?;
            if found.len() > 1 {
                let second = element.items.get(1)?;
                let shown = quoted(self.sources.slice(second.span));
                self.report(
                    Diagnostic::new(codes::COMMA, second.span, format!("no comma stands before {shown}"))
                        .help("write a comma between the values of a list"),
                );
                return None;
            }
            values.extend(found.pop());
        }
        Some(Json::Array(values))
    }
}

/// A bare word: a number if JSON reads it as one, a switch, or a string.
fn bare(word: &str) -> Json {
    match word {
        "on" => Json::Plain("true".to_owned()),
        "off" => Json::Plain("false".to_owned()),
        word if is_number(word) => Json::Plain(word.to_owned()),
        word => Json::Text(word.to_owned()),
    }
}

/// Whether a word is a number of JSON (RFC 8259, 6) without an exponent: any longer one stays a string.
fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (whole, fraction) =
        unsigned.split_once('.').map_or((unsigned, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    unsigned.len() <= 18 && digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}
