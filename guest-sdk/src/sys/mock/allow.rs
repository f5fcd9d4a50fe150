//! The permissions of an extension: the words of `allow`.

/// Every word of `allow`.
const WORDS: [&str; 15] = [
    "read-request",
    "write-request-headers",
    "rewrite",
    "read-response",
    "write-response-headers",
    "route",
    "respond",
    "body",
    "vars",
    "log",
    "clock",
    "random",
    "metrics",
    "store",
    "outbound",
];

/// The permissions of the extension, and the server groups that it may name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allow {
    /// `None` is every word.
    words: Option<Vec<String>>,
    /// The groups of `route` and of `outbound`; `None` is every group.
    route: Option<Vec<String>>,
    outbound: Option<Vec<String>>,
}

impl Allow {
    /// Reads the words as a policy has them: `[read-request, route [web, web-canary]]`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner =
            if text.starts_with('[') { text.get(1..text.len().saturating_sub(1)).unwrap_or_default() } else { text };
        let spaced = inner.replace('[', " [ ").replace(']', " ] ").replace(',', " ");
        let mut tokens = spaced.split_whitespace().peekable();
        let (mut words, mut route, mut outbound) = (Vec::new(), None, None);
        while let Some(word) = tokens.next() {
            if !WORDS.contains(&word) {
                return Err(format!("`{word}` is no word of `allow`: they are {}", WORDS.join(", ")));
            }
            if tokens.next_if_eq(&"[").is_some() {
                let listed = tokens.by_ref().take_while(|token| *token != "]");
                let groups: Vec<String> = listed.map(|name| name.trim_matches('"').to_owned()).collect();
                match word {
                    "route" => route = Some(groups),
                    "outbound" => outbound = Some(groups),
                    _ => return Err(format!("`{word}` takes no list of server groups")),
                }
            }
            words.push(word.to_owned());
        }
        Ok(Self { words: Some(words), route, outbound })
    }

    pub(crate) fn covers(&self, word: &str) -> bool {
        self.words.as_ref().is_none_or(|words| words.iter().any(|known| known == word))
    }

    pub(crate) fn may_route_to(&self, group: &str) -> bool {
        self.route.as_ref().is_none_or(|groups| groups.iter().any(|known| known == group))
    }

    pub(crate) fn may_call(&self, group: &str) -> bool {
        self.outbound.as_ref().is_none_or(|groups| groups.iter().any(|known| known == group))
    }
}

/// The words about a module that has what its policy does not allow.
pub(crate) fn refusal(interface: &str, word: &str) -> String {
    format!(
        "the module imports what it is not allowed: `tidegate:extension/{interface}@0.1.0` (allow it with `{word}`)"
    )
}
