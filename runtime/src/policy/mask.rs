//! Values of the environment, kept out of what people are shown: passwords come that way.
//!
//! A plan does not know where its texts come from, and need not: whatever is written of it goes through here. A value that
//! means something by itself, such as a number, is hidden only where it stands as a text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tidegate_dsl::Diagnostic;

/// Values shorter than this, in bytes, are hidden only where they stand as a text of their own: nothing else would be left.
const SHORT: usize = 4;

/// Characters from which on a message cuts a quoted value off.
const CUT: usize = 60;

/// Values of the environment, and the names of their variables.
#[derive(Debug, Clone, Default)]
pub struct Mask(BTreeMap<String, String>);

impl Mask {
    /// Hides a value.
    pub fn hide(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(value.to_owned(), format!("<env {name}>"));
        }
    }

    /// A text with the name of the variable in place of each value.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut out = Cow::Borrowed(text);
        let mut values: Vec<_> = self.0.iter().collect();
        // One value may be a part of another.
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        for (value, shown) in values {
            let own = value.len() < SHORT || value.parse::<f64>().is_ok();
            for written in spellings(value) {
                if own {
                    for mark in ['"', '`'] {
                        let whole = format!("{mark}{written}{mark}");
                        replace(&mut out, &whole, &format!("{mark}{shown}{mark}"), |_, _| true);
                    }
                } else {
                    replace(&mut out, &written, shown, stands_alone);
                }
            }
        }
        out
    }

    /// Puts the name of the variable in place of each value in a diagnostic.
    pub fn diagnostic(&self, said: &mut Diagnostic) {
        let texts = [&mut said.message].into_iter().chain(&mut said.help);
        for text in texts.chain(said.labels.iter_mut().map(|label| &mut label.message)) {
            if let Cow::Owned(masked) = self.text(text) {
                *text = masked;
            }
        }
    }
}

/// The spellings of a value: as it is, as a text of a policy or of JSON, and that again where JSON holds JSON; in a
/// message, cut off.
fn spellings(value: &str) -> Vec<String> {
    let quoted = |text: &str| {
        let json = serde_json::Value::from(text).to_string();
        json.get(1..json.len() - 1).unwrap_or_default().to_owned()
    };
    let once = quoted(value);
    let mut all = vec![value.to_owned(), once.replace("${", "$${"), quoted(&once), once];
    if let Some((at, _)) = value.char_indices().nth(CUT) {
        all.push(format!("{}…", value.get(..at).unwrap_or_default()));
    }
    all.sort_by_key(|written| std::cmp::Reverse(written.len()));
    all.dedup();
    all
}

fn replace(text: &mut Cow<'_, str>, from: &str, to: &str, fits: impl Fn(&str, &str) -> bool) {
    let (mut out, mut rest, mut found) = (String::new(), &**text, false);
    while let Some((before, behind)) = rest.split_once(from) {
        let hides = fits(if before.is_empty() { &out } else { before }, behind);
        found |= hides;
        out.push_str(before);
        out.push_str(if hides { to } else { from });
        rest = behind;
    }
    if found {
        out.push_str(rest);
        *text = Cow::Owned(out);
    }
}

/// Whether a value between these two texts is no part of a longer word.
fn stands_alone(before: &str, behind: &str) -> bool {
    !before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_wherever_they_stand() {
        let mut mask = Mask::default();
        let long = "é".repeat(70);
        for (name, value) in [
            ("KEY", "hunter22"),
            ("ODD", "a\"b\\c${d}"),
            ("PORT", "8080"),
            ("ON", "on"),
            ("LONGER", "hunter22 and more"),
            ("LONG", &long),
            ("NONE", ""),
        ] {
            mask.hide(name, value);
        }
        let cut = format!("`{}…` is no number", "é".repeat(60));
        for (text, wanted) in [
            ("set-header \"k\" \"hunter22\"", "set-header \"k\" \"<env KEY>\""),
            ("  x-key: hunter22", "  x-key: <env KEY>"),
            ("hunter222 xhunter22", "hunter222 xhunter22"),
            ("hunter222 hunter22", "hunter222 <env KEY>"),
            ("hunter22 and more", "<env LONGER>"),
            ("\"a\\\"b\\\\c$${d}\"", "\"<env ODD>\""),
            (
                "{\"config\":\"{\\\"k\\\":\\\"a\\\\\\\"b\\\\\\\\c${d}\\\"}\"}",
                "{\"config\":\"{\\\"k\\\":\\\"<env ODD>\\\"}\"}",
            ),
            ("port 8080, \"8080\"", "port 8080, \"<env PORT>\""),
            ("`on` turned on", "`<env ON>` turned on"),
            (&cut, "`<env LONG>` is no number"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(mask.text(text), wanted, "{text}");
        }
    }
}
