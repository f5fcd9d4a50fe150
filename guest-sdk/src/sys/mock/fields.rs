//! Header fields: names and values that a guest may write, and lists of them.

use super::call;
use super::stop::{Fault, shown, stop};

pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// The longest name of a field, in bytes.
const NAME_BYTES: usize = 65_535;

/// The table of field names that hosts go by.
const FIELDS: &str = include_str!("../../../wit/fields.txt");

pub(crate) fn get(headers: &Headers, name: &str) -> Option<Vec<u8>> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}

pub(crate) fn get_all(headers: &Headers, name: &str) -> Vec<Vec<u8>> {
    headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
}

/// A change to one field, checked before it is known whether the message may still be changed.
pub(crate) enum Change {
    Set(String, Vec<u8>),
    Add(String, Vec<u8>),
    Remove(String),
}

impl Change {
    pub(crate) fn set(name: &str, value: &[u8]) -> Self {
        let (name, value) = checked(name, value);
        Self::Set(name, value)
    }

    pub(crate) fn add(name: &str, value: &[u8]) -> Self {
        let (name, value) = checked(name, value);
        Self::Add(name, value)
    }

    pub(crate) fn remove(name: &str) -> Self {
        Self::Remove(checked_name(name))
    }

    /// The field's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Add(name, _) | Self::Remove(name) => name,
        }
    }

    pub(crate) fn apply(self, headers: &mut Headers) {
        match self {
            Self::Set(name, value) => {
                headers.retain(|(key, _)| *key != name);
                headers.push((name, value));
            }
            Self::Add(name, value) => headers.push((name, value)),
            Self::Remove(name) => headers.retain(|(key, _)| *key != name),
        }
    }
}

/// Fields of a reply or of a call: each is counted, then checked.
pub(crate) fn checked_all(headers: &Headers) -> Headers {
    let field = |(name, value): &(String, Vec<u8>)| {
        call::count_header(name.len() + value.len());
        let name = checked_name(name);
        check_value(&name, value);
        (name, value.clone())
    };
    headers.iter().map(field).collect()
}

/// Name and value, checked and counted.
fn checked(name: &str, value: &[u8]) -> (String, Vec<u8>) {
    call::transfer([name.len(), value.len()]);
    let name = checked_name(name);
    check_value(&name, value);
    call::count_header(name.len() + value.len());
    (name, value.to_vec())
}

/// A name that a guest may write: a token (RFC 9110, 5.6.2), in lower case, that is not the gateway's.
fn checked_name(name: &str) -> String {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(token) {
        stop(Fault::BadValue, format!("`{}` is no header name", shown(name)));
    }
    let name = name.to_ascii_lowercase();
    if is_hosts(&name) {
        stop(Fault::NotAllowed, format!("header `{name}` belongs to the gateway: a guest cannot write it"));
    }
    name
}

/// A value holds no control character but the tab (RFC 9110, 5.5).
fn check_value(name: &str, value: &[u8]) {
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        let what = "a line break, NUL or another control character";
        stop(Fault::BadValue, format!("the value of header `{name}` holds {what}"));
    }
}

/// Whether a field belongs to the gateway: what concerns a connection or a hop, framing, and `host`.
fn is_hosts(name: &str) -> bool {
    let rows = FIELDS.lines().filter_map(|line| line.split_once(' '));
    let mut hosts = rows.filter(|(_, class)| matches!(class.trim(), "connection" | "hop" | "frame"));
    hosts.any(|(field, _)| name == field)
}
