//! Header values with inserts in braces.

use std::borrow::Cow;

use tidegate_guest::{Error, Request, Result};

/// A text with inserts, parsed once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    ClientIp,
    Peer,
    Listener,
    Method,
    Scheme,
    Authority,
    Path,
    /// The first value of a header.
    Header(String),
    /// The first entry of a header that is a list.
    First(String),
}

impl Template {
    /// Reads a template; `{{` and `}}` stand for one brace.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let Some((insert, after)) = after.split_once('}').filter(|_| brace == "{") else {
                return Err(Error::new(format!(
                    "a single `{brace}` in \"{text}\": write it twice if you mean the character"
                )));
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::parse(insert)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// The text; `None` if one of its inserts has no value.
    pub(crate) fn render(&self, request: &Request) -> Option<Cow<'_, [u8]>> {
        match self.0.as_slice() {
            [Piece::Text(text)] => Some(Cow::Borrowed(text.as_bytes())),
            [piece] => piece.value(request).map(Cow::Owned),
            pieces => {
                let mut out = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        insert => out.extend(insert.value(request)?),
                    }
                }
                Some(Cow::Owned(out))
            }
        }
    }
}

impl Piece {
    fn parse(insert: &str) -> Result<Self> {
        Ok(match insert.split_once('.') {
            None if insert == "client-ip" => Self::ClientIp,
            None if insert == "peer" => Self::Peer,
            None if insert == "listener" => Self::Listener,
            None if insert == "method" => Self::Method,
            None if insert == "scheme" => Self::Scheme,
            None if insert == "authority" => Self::Authority,
            None if insert == "path" => Self::Path,
            Some(("header", name)) if !name.is_empty() => Self::Header(name.to_ascii_lowercase()),
            Some(("first", name)) if !name.is_empty() => Self::First(name.to_ascii_lowercase()),
            _ => {
                return Err(Error::new(format!(
                    "unknown insert `{{{insert}}}`: use {{client-ip}}, {{peer}}, {{listener}}, {{method}}, {{scheme}}, \
                     {{authority}}, {{path}}, {{header.NAME}} or {{first.NAME}}"
                )));
            }
        })
    }

    fn value(&self, request: &Request) -> Option<Vec<u8>> {
        let connection = request.connection();
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::ClientIp => Some(connection.client_ip_text().into_bytes()),
            Self::Peer => Some(connection.peer_text().into_bytes()),
            Self::Listener => Some(connection.listener().into_bytes()),
            Self::Method => Some(request.method().into_bytes()),
            Self::Scheme => Some(request.scheme().into_bytes()),
            Self::Authority => Some(request.authority().into_bytes()),
            Self::Path => Some(request.path().into_bytes()),
            Self::Header(name) => request.header(name).map(tidegate_guest::Value::into_bytes),
            Self::First(name) => request.header(name).map(|value| {
                let mut value = value.into_bytes();
                let end = value.iter().position(|byte| *byte == b',').unwrap_or(value.len());
                value.truncate(end);
                value.truncate(value.trim_ascii_end().len());
                value
            }),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn braces_are_written_twice() {
        assert_eq!(Template::parse("{{a}}").unwrap(), Template(vec![Piece::Text("{a}".to_owned())]));
        assert!(Template::parse("a}").unwrap_err().to_string().starts_with("a single `}`"));
        assert!(Template::parse("{path").unwrap_err().to_string().starts_with("a single `{`"));
    }

    #[test]
    fn text_and_inserts_alternate() {
        let pieces = vec![Piece::Text("a ".to_owned()), Piece::Path, Piece::Text(" b".to_owned())];
        assert_eq!(Template::parse("a {path} b").unwrap(), Template(pieces));
    }
}
