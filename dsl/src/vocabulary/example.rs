//! Examples: a line of a policy for every word, and what the word takes, in words.

use super::place::Place;
use super::word::{Value, Word};
use crate::value::{show_duration, show_size};

impl Place {
    /// A line of a policy that uses a word of this place: the word's own example, or one made of the bare word. It stands in
    /// the block of the place; the line of an argument, in the block of the word that takes it. Empty if there is none.
    pub fn example(self, word: &Word) -> String {
        let name = word.name;
        if !word.example.is_empty() {
            // What both may insert has the example of the header.
            let of_log = word.example.replace("set-header \"x-info\"", "format template");
            return if self == Self::LogInsert { of_log } else { word.example.to_owned() };
        }
        match self {
            Self::LogTarget => format!("to {name}"),
            Self::LogFormat => format!("format {name}"),
            Self::ClientIp => format!("client-ip {name}"),
            Self::Forwarded => format!("forwarded [{name}]"),
            Self::ForwardedFor => format!("forwarded-for {name}"),
            Self::Paths => format!("paths {name}"),
            Self::PredefinedPolicy => format!("tls-policy {name}"),
            Self::State => format!("state {name}"),
            Self::Balance => format!("balance {name}"),
            Self::GroupProtocol => format!("protocol {name}"),
            Self::Instance => format!("instance {name}"),
            Self::OnError => format!("on-error {name}"),
            Self::OnPause => format!("on-pause {name}"),
            Self::Abi => format!("abi {name}"),
            Self::Allow => format!("allow [{name}]"),
            Self::ClientCertField => format!("when client-cert {name} present"),
            Self::LimitKey => format!("limit 10/s per {name}"),
            Self::LogInsert => format!("format template \"${{{name}}}\""),
            Self::Insert | Self::ResponseInsert => format!("set-header \"x-info\" \"${{{name}}}\""),
            Self::Expect => format!("expect {name}"),
            // A word that takes nothing is a line by itself.
            _ if word.arguments.is_empty() => name.to_owned(),
            _ => String::new(),
        }
    }
}

impl Word {
    /// The word with what follows it: `request-timeout D`.
    pub fn usage(&self) -> String {
        match self.arguments {
            "" => self.name.to_owned(),
            // Parts of a name: `header.NAME`.
            arguments if arguments.starts_with('.') => format!("{}{arguments}", self.name),
            arguments => format!("{} {arguments}", self.name),
        }
    }

    /// The values that the word takes, where they are a range: `1s to 1h`, `1 to 65535, or off`.
    pub fn range(&self) -> Option<String> {
        let or_off = |off: bool| if off { ", or off" } else { "" };
        match self.value {
            Value::Duration { min, max, off, .. } => {
                Some(format!("{} to {}{}", show_duration(min), show_duration(max), or_off(off)))
            }
            Value::Percent { min, max, .. } => Some(format!("{min}% to {max}%")),
            Value::Count { min, max, off, .. } => Some(format!("{min} to {max}{}", or_off(off))),
            Value::Size { min, max, off, .. } => {
                Some(format!("{} to {}{}", show_size(min), show_size(max), or_off(off)))
            }
            Value::Special | Value::Switch { .. } | Value::OneOf(_) => None,
        }
    }

    /// The default of the word, if it has one.
    pub fn default_text(&self) -> Option<String> {
        match (self.default, self.value) {
            (Some(words), _) => Some(words.to_owned()),
            (None, Value::Duration { default: Some(default), .. }) => Some(show_duration(default)),
            (None, Value::Count { default: Some(default), .. }) => Some(default.to_string()),
            (None, Value::Size { default: Some(default), .. }) => Some(show_size(default)),
            (None, Value::Percent { default: Some(default), .. }) => Some(format!("{default}%")),
            (None, Value::Duration { off: true, .. }) => Some("off".to_owned()),
            (None, Value::Count { off: true, .. } | Value::Size { off: true, .. }) => Some("off".to_owned()),
            (None, Value::Switch { default }) => Some(if default { "on" } else { "off" }.to_owned()),
            (None, _) => None,
        }
    }
}
