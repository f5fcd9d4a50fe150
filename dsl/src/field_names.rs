//! The table of header fields that are not like all others: `fields.txt`, which lies beside the WIT, because guests are held to it, too.

use std::sync::LazyLock;

/// The table as it is written.
const TEXT: &str = include_str!("../../guest-sdk/wit/fields.txt");

/// The class of a field: what is special about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The field concerns one connection of HTTP/1 (RFC 9110, 7.6.1), and makes a message of HTTP/2 or
    /// HTTP/3 malformed.
    Connection,
    /// The field concerns one hop.
    Hop,
    /// The field says how a message is framed, or whom it is for.
    Frame,
    /// The field holds what the gateway says about a client.
    Gateway,
    /// The field says which way a message came.
    Way,
    /// The field means something in a head alone.
    Head,
}

impl Class {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "connection" => Self::Connection,
            "hop" => Self::Hop,
            "frame" => Self::Frame,
            "gateway" => Self::Gateway,
            "way" => Self::Way,
            "head" => Self::Head,
            _ => return None,
        })
    }

    /// Whether such a field ends at the gateway.
    pub const fn ends_here(self) -> bool {
        matches!(self, Self::Connection | Self::Hop)
    }

    /// Whether the gateway alone writes such a field, and neither a policy nor a guest does.
    pub const fn is_reserved(self) -> bool {
        matches!(self, Self::Connection | Self::Hop | Self::Frame)
    }
}

/// A field of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The class of the field.
    pub class: Class,
    /// Whether the name stands in the table as it was asked for, and not with other marks between its letters.
    pub exact: bool,
}

/// The field of the table that a name, in lower case, means or could be taken for. Servers that make variables of names, as CGI
/// does (RFC 3875, 4.1.18), do not tell `x-forwarded-for` from `x_forwarded_for`.
#[inline]
pub fn find(name: &str) -> Option<Known> {
    if may_be_known(name) { look_up(name) } else { None }
}

/// Whether a name of the table begins like this one and is as long, or a family begins like it. Most names of a request are told
/// by that alone, and every one of them is looked at.
#[inline]
fn may_be_known(name: &str) -> bool {
    let Some(first) = name.as_bytes().first() else { return false };
    let of_length = BEGINNINGS.get(name.len()).copied().unwrap_or_default();
    (of_length | FAMILIES) & beginning(*first) != 0
}

/// A bit for a first letter; none for what begins no name of the table.
const fn beginning(first: u8) -> u32 {
    if first.is_ascii_lowercase() { 1 << (first - b'a') } else { 0 }
}

/// The first letters of the names of each length.
const BEGINNINGS: [u32; LENGTHS] = beginnings().0;

/// The first letters of the families: of names of any length.
const FAMILIES: u32 = beginnings().1;

/// The number of lengths of names, from 0: more than the longest name of the table has bytes.
const LENGTHS: usize = 32;

/// [`BEGINNINGS`] and [`FAMILIES`], read from the table when this is compiled.
const fn beginnings() -> ([u32; LENGTHS], u32) {
    let (text, mut lengths, mut families) = (TEXT.as_bytes(), [0; LENGTHS], 0);
    let mut at = 0;
    while at < text.len() {
        let start = at;
        while at < text.len() && text[at] > b' ' {
            at += 1;
        }
        if at > start && text[start] != b'#' {
            if text[at - 1] == b'*' {
                families |= beginning(text[start]);
            } else {
                lengths[at - start] |= beginning(text[start]);
            }
        }
        while at < text.len() && text[at] != b'\n' {
            at += 1;
        }
        at += 1;
    }
    (lengths, families)
}

fn look_up(name: &str) -> Option<Known> {
    let table = &*TABLE;
    let rows = table.slots.get(slot(name))?;
    // Nearly every name is spelt as it stands there, or is none of these: comparing letters is for the rest.
    if let Some(row) = rows.iter().find(|row| row.name == name) {
        return Some(Known { class: row.class, exact: true });
    }
    if let Some(row) = rows.iter().find(|row| is_alike(row.name, name)) {
        return Some(Known { class: row.class, exact: false });
    }
    let family = table.families.iter().find(|family| {
        name.len() > family.name.len()
            && name.as_bytes().first() == family.name.as_bytes().first()
            && name.get(..family.name.len()).is_some_and(|start| is_alike(family.name, start))
    })?;
    Some(Known { class: family.class, exact: name.starts_with(family.name) })
}

/// The class of the field with exactly this name, in lower case.
pub fn class(name: &str) -> Option<Class> {
    find(name).filter(|known| known.exact).map(|known| known.class)
}

/// Whether two names differ in nothing but the marks between their letters.
pub fn is_alike(one: &str, other: &str) -> bool {
    let mark = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(|(one, other)| mark(one) == mark(other))
}

/// The names of a class, in the order of the table; a family with its `*`.
pub fn names(of: Class) -> impl Iterator<Item = &'static str> {
    lines().filter(move |(_, class)| Class::of(class) == Some(of)).map(|(name, _)| name)
}

struct Row {
    name: &'static str,
    class: Class,
}

/// The table, made ready: a look at a name that is not in it is one look at an empty slot, most often.
struct Table {
    slots: Vec<Vec<Row>>,
    /// Names that end with `*`, without it.
    families: Vec<Row>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { slots: Vec::new(), families: Vec::new() };
    table.slots.resize_with(SLOTS, Vec::new);
    for (name, class) in lines() {
        let Some(class) = Class::of(class) else { continue };
        match name.strip_suffix('*') {
            Some(name) => table.families.push(Row { name, class }),
            None => {
                if let Some(rows) = table.slots.get_mut(slot(name)) {
                    rows.push(Row { name, class });
                }
            }
        }
    }
    table
});

/// The number of slots: a power of two, some times the number of names.
const SLOTS: usize = 256;

/// The place of a name: by what marks cannot change, for names begin and end with a letter.
fn slot(name: &str) -> usize {
    let bytes = name.as_bytes();
    let (first, last) = (bytes.first().copied().unwrap_or_default(), bytes.last().copied().unwrap_or_default());
    (bytes.len() * 41 + usize::from(first) * 7 + usize::from(last) * 3) % SLOTS
}

/// The names and the words of the table.
fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = TEXT.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, class)| (name, class.trim()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_whole() {
        let mut seen = HashSet::new();
        for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let (name, class) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            assert!(words.next().is_none(), "{line}");
            assert!(Class::of(class).is_some(), "{line}");
            assert!(seen.insert(name), "{line} stands twice");
            let text = name.trim_end_matches('*');
            assert!(
                text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{line}"
            );
            assert!(text.len() < name.len() || !text.ends_with('-') && !text.starts_with('-'), "{line}");
        }
        assert!(seen.len() > 30);
        assert!(seen.len() < SLOTS / 4);
    }

    #[test]
    fn every_name_is_found_in_every_spelling() {
        for (name, word) in lines() {
            let name = name.replace('*', "new");
            let class = Class::of(word);
            assert_eq!(super::class(&name), class, "{name}");
            for mark in ["_", ".", "!"] {
                let other = name.replace('-', mark);
                let known = find(&other);
                assert_eq!(known.map(|known| known.class), class, "{other}");
                assert_eq!(known.map(|known| known.exact), Some(other == name), "{other}");
            }
        }
    }

    #[test]
    fn other_names_are_not_found() {
        for name in [
            "",
            "x",
            "x-a",
            "accept",
            "x-forwarded",
            "x-forwarded-",
            "x-forwardedxfor",
            "user-agent",
            "hosts",
            "hos",
            "ost",
        ] {
            assert_eq!(find(name), None, "{name}");
        }
        assert_eq!(class("x_forwarded_proto"), None);
        assert_eq!(class("x-forwarded-for"), Some(Class::Way));
        assert_eq!(names(Class::Gateway).collect::<Vec<_>>(), ["x-forwarded-*"]);
    }
}
