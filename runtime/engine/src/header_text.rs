//! Header values that come from a policy: any text made into one.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;
use tidegate_dsl::plan;

use crate::build_error::Invalid;
use crate::template::{Scope, Slots, Template};

/// A header value from a template.
#[derive(Debug)]
pub(crate) enum HeaderText {
    Fixed(HeaderValue),
    Made(Template),
}

impl HeaderText {
    pub(crate) fn new(template: &plan::Template, slots: &mut Slots) -> Result<Self, Invalid> {
        let template = Template::new(template, slots)?;
        Ok(match template.fixed() {
            Some(text) => Self::Fixed(header_value(Cow::Borrowed(text))),
            None => Self::Made(template),
        })
    }

    pub(crate) fn value(&self, scope: Scope<'_>) -> HeaderValue {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Made(template) => header_value(template.render(scope)),
        }
    }
}

/// A header value of any text: bytes that a value cannot have (RFC 9110, 5.5) are dropped, and so are spaces around it.
pub(crate) fn header_value(text: Cow<'_, str>) -> HeaderValue {
    let forbidden = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    let clean = text.trim_matches([' ', '\t']).len() == text.len() && !text.bytes().any(forbidden);
    let bytes = if clean {
        Bytes::from(text.into_owned())
    } else {
        let kept: Vec<u8> = text.bytes().filter(|byte| !forbidden(*byte)).collect();
        Bytes::copy_from_slice(kept.trim_ascii())
    };
    HeaderValue::from_maybe_shared(bytes).unwrap_or(const { HeaderValue::from_static("") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_values_are_made_safe() {
        for (raw, expected) in [
            ("plain", "plain"),
            ("a\r\nset-cookie: b", "aset-cookie: b"),
            ("\0\x07\x7fa\tb", "a\tb"),
            ("  a  ", "a"),
            ("\n a", "a"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("", ""),
        ] {
            assert_eq!(header_value(Cow::Borrowed(raw)).as_bytes(), expected.as_bytes(), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_value(raw in "[ -~\\x00-\\x1f\\x7f\u{e9}]{0,24}") {
            let value = header_value(Cow::Borrowed(&raw));
            let wanted: String = raw.chars().filter(|c| *c == '\t' || !c.is_ascii_control()).collect();
            prop_assert_eq!(value.as_bytes(), wanted.trim_matches([' ', '\t']).as_bytes());
        }
    }
}
