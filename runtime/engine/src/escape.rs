//! Texts of peers in lines of a log: they end no line, begin no field, and show what they are.
//!
//! What a terminal obeys is escaped: control characters (C0, DEL and C1, which is one byte behind `0xc2` in UTF-8), those
//! that reorder what is read (Unicode's bidirectional controls), and the separators of lines and paragraphs.

/// Whether a character must not stand in a log as it is.
pub const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Writes a text as part of a line. `\` and `"` are escaped, too, and where `spaces` says so, a space: the field does not
/// end there then. An empty text is `-`.
pub fn escape(text: &str, spaces: bool, out: &mut Vec<u8>) {
    if text.is_empty() {
        out.push(b'-');
        return;
    }
    let special = |c: char| is_hidden(c) || matches!(c, '\\' | '"') || spaces && c == ' ';
    let mut rest = text;
    while let Some(at) = rest.find(special) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let mut chars = from.chars();
        if let Some(c) = chars.next() {
            escape_char(c, out);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn escape_char(c: char, out: &mut Vec<u8>) {
    match c {
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\\' => out.extend_from_slice(b"\\\\"),
        '"' => out.extend_from_slice(b"\\\""),
        c if c.is_ascii() => out.extend_from_slice(format!("\\x{:02x}", u32::from(c)).as_bytes()),
        c => out.extend_from_slice(format!("\\u{{{:x}}}", u32::from(c)).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str, spaces: bool) -> String {
        let mut out = Vec::new();
        escape(text, spaces, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        for (text, expected) in [
            ("", "-"),
            ("plain/caf\u{e9}?a=b", "plain/caf\u{e9}?a=b"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[2J\x7f", "\\x1b[2J\\x7f"),
            ("\u{9b}2J\u{85}", "\\u{9b}2J\\u{85}"),
            ("abc\u{202e}fdp.exe", "abc\\u{202e}fdp.exe"),
            ("\u{2066}\u{2069}\u{200f}\u{61c}\u{2028}", "\\u{2066}\\u{2069}\\u{200f}\\u{61c}\\u{2028}"),
            ("say \"\\\"", "say \\\"\\\\\\\""),
        ] {
            assert_eq!(escaped(text, false), expected, "{text:?}");
        }
        assert_eq!(escaped("evil 200 rule=admin", true), "evil\\x20200\\x20rule=admin");
    }

    proptest! {
        #[test]
        fn any_text_is_one_field(text in any::<String>()) {
            let escaped = escaped(&text, true);
            prop_assert!(!escaped.is_empty() && !escaped.contains(|c: char| is_hidden(c) || c == ' '));
            // A quote is never bare: an odd number of backslashes stands before it.
            let mut backslashes = 0;
            for c in escaped.chars() {
                prop_assert!(c != '"' || backslashes % 2 == 1);
                backslashes = if c == '\\' { backslashes + 1 } else { 0 };
            }
        }
    }
}
