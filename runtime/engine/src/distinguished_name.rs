//! Distinguished names as RFC 4514 writes them, read for the values of an attribute.

use std::borrow::Cow;

use crate::uri::hex;

/// Every value of an attribute of a name; `kind` is in capitals, and types are compared without their case. A value in
/// hexadecimal digits (`#0c02…`) is no text, and stays as it stands.
pub(crate) fn values<'n>(name: &'n str, kind: &str) -> impl Iterator<Item = Cow<'n, str>> {
    attributes(name).filter_map(move |attribute| {
        let (of, value) = attribute.split_once('=')?;
        of.trim().eq_ignore_ascii_case(kind).then(|| unescaped(value))
    })
}

/// The attributes of a name: what stands between its bare commas and plus signs.
fn attributes(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut escaped = false;
        let end = text.bytes().position(|byte| {
            let ends = !escaped && matches!(byte, b',' | b'+');
            escaped = !escaped && byte == b'\\';
            ends
        });
        let (attribute, after) = match end {
            Some(end) => (text.get(..end), text.get(end + 1..)),
            None => (Some(text), None),
        };
        rest = after;
        attribute
    })
}

/// A value without its escapes: a backslash before two hexadecimal digits is that byte, before anything else that character.
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'\\', [high, low, after @ ..]) if let (Some(high), Some(low)) = (hex(*high), hex(*low)) => {
                bytes.push(high << 4 | low);
                after
            }
            (b'\\', [escaped, after @ ..]) => {
                bytes.push(*escaped);
                after
            }
            _ => {
                bytes.push(*byte);
                after
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_found_by_their_names_alone() {
        for (name, kind, expected) in [
            ("CN=till,O=Acme,C=DE", "O", "Acme"),
            ("CN=till,O=Acme,C=DE", "CN", "till"),
            ("CN=O\\=Acme,O=Other", "O", "Other"),
            ("CN=O\\=Acme", "O", ""),
            ("CN=O\\=Acme", "CN", "O=Acme"),
            ("CN=a\\,O=Acme", "O", ""),
            ("CN=a\\,O=Acme", "CN", "a,O=Acme"),
            ("CN=a\\\\,O=Acme", "O", "Acme"),
            ("CN=a\\+O=Acme", "O", ""),
            ("CN=a+O=Acme", "O", "Acme"),
            ("O=AcmeEvil", "O", "AcmeEvil"),
            ("O=One,O=Two", "O", "One|Two"),
            ("o=Acme", "O", "Acme"),
            ("OU=Sales,DC=shop,DC=example", "DC", "shop|example"),
            ("CN=J\\c3\\bcrgen", "CN", "J\u{fc}rgen"),
            ("CN=a\\0d\\0ab", "CN", "a\r\nb"),
            ("CN=\\ a\\ ", "CN", " a "),
            ("2.5.4.10=#0c0441636d65", "O", ""),
            ("O=", "O", ""),
            ("", "O", ""),
            ("O", "O", ""),
            ("CN=a\\", "CN", "a\\"),
        ] {
            assert_eq!(values(name, kind).collect::<Vec<_>>().join("|"), expected, "{name} {kind}");
        }
    }

    proptest! {
        /// Whatever an attribute holds, escaped as RFC 4514 wants it: no other attribute comes of it.
        #[test]
        fn values_stay_in_their_attribute(value in "[a-z,+=\\\\\"#; \u{fc}]{0,16}") {
            let mut escaped = String::new();
            for c in value.chars() {
                if ",+=\\\"#; ".contains(c) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            let name = format!("CN={escaped},OU=unit");
            prop_assert_eq!(values(&name, "CN").collect::<Vec<_>>(), [value]);
            prop_assert_eq!(values(&name, "OU").collect::<Vec<_>>(), ["unit"]);
            prop_assert_eq!(values(&name, "O").count(), 0);
        }

        #[test]
        fn any_text_is_taken(name in "\\PC{0,32}") {
            values(&name, "O").for_each(drop);
        }
    }
}
