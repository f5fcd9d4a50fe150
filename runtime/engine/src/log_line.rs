//! Lines of the access log, as a policy lays them out.

use std::fmt::{self, Write};

use tidegate_dsl::plan::{Insert, LogField, Piece, Template};

use crate::bounds::MAX_INSERTED_BYTES;
use crate::build_error::Invalid;
use crate::escape::escape;
use crate::exchange::Exchange;
use crate::template::{Output, Scope, Slots, TemplatePart};

/// The layout of a line, made ready.
#[derive(Debug)]
pub struct LogLine {
    parts: Box<[Element]>,
    needs_head: bool,
}

#[derive(Debug)]
enum Element {
    Text(Box<str>),
    Inserted {
        what: What,
        /// Whether no `"` stands around the insertion: a space would end its field.
        bare: bool,
    },
}

#[derive(Debug)]
enum What {
    /// A part of the request, and how the policy names it.
    Request(TemplatePart, Insert),
    /// A field of the line alone.
    Line(LogField),
}

/// The source of what a line says of a request that is over.
pub trait LogSource {
    /// Writes a field of the line; nothing if there is none.
    ///
    /// # Errors
    /// As `out` has it.
    fn field(&self, field: LogField, out: &mut dyn Write) -> fmt::Result;

    /// Writes what is known of a request that was refused before it became an exchange; nothing if that is nothing.
    ///
    /// # Errors
    /// As `out` has it.
    fn refused(&self, insert: &Insert, out: &mut dyn Write) -> fmt::Result;
}

impl LogLine {
    pub(crate) fn new(template: &Template) -> Result<Self, Invalid> {
        let mut quoted = false;
        let mut parts = Vec::with_capacity(template.0.len());
        for piece in &template.0 {
            parts.push(match piece {
                Piece::Text(text) => {
                    quoted ^= text.matches('"').count() % 2 == 1;
                    Element::Text(text.as_str().into())
                }
                Piece::Insert(Insert::Log(field)) => Element::Inserted { what: What::Line(*field), bare: !quoted },
                Piece::Insert(insert) => {
                    let part = TemplatePart::new(piece, &mut Slots::default())?;
                    Element::Inserted { what: What::Request(part, insert.clone()), bare: !quoted }
                }
            });
        }
        let head = |piece: &Piece| matches!(piece, Piece::Insert(Insert::Header(_) | Insert::Cookie(_)));
        Ok(Self { parts: parts.into(), needs_head: template.0.iter().any(head) })
    }

    /// Whether the line shows fields of the request's head, which has to be kept for that.
    pub(crate) const fn needs_head(&self) -> bool {
        self.needs_head
    }

    /// Writes the line, without its end. `exchange` is `None` for a request that was refused before it became one. What is
    /// inserted is cut where it would pass [`MAX_INSERTED_BYTES`], escaped, and `-` where it is empty.
    pub fn write(&self, exchange: Option<&Exchange>, rule: Option<&str>, source: &impl LogSource, out: &mut Vec<u8>) {
        let mut inserted = Output { text: String::new(), left: MAX_INSERTED_BYTES };
        for part in &self.parts {
            let (what, bare) = match part {
                Element::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Element::Inserted { what, bare } => (what, *bare),
            };
            inserted.text.clear();
            // Writing to a `String` does not fail.
            let _ = match (what, exchange) {
                (What::Line(field), _) => source.field(*field, &mut inserted),
                (What::Request(part, _), Some(exchange)) => {
                    part.write(Scope { exchange, rule: rule.unwrap_or_default(), captures: &[] }, &mut inserted);
                    Ok(())
                }
                (What::Request(_, insert), None) => source.refused(insert, &mut inserted),
            };
            escape(&inserted.text, bare, out);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::testing;

    struct Known;

    impl LogSource for Known {
        fn field(&self, field: LogField, out: &mut dyn Write) -> fmt::Result {
            match field {
                LogField::Status => out.write_str("200"),
                LogField::UserAgent => out.write_str("a \"b\"\n c"),
                _ => Ok(()),
            }
        }

        fn refused(&self, insert: &Insert, out: &mut dyn Write) -> fmt::Result {
            if *insert == Insert::Host { out.write_str("evil 200 rule=admin") } else { Ok(()) }
        }
    }

    fn line() -> LogLine {
        let text = |text: &str| Piece::Text(text.into());
        LogLine::new(&Template(vec![
            Piece::Insert(Insert::Host),
            text(" "),
            Piece::Insert(Insert::Log(LogField::Status)),
            text(" \""),
            Piece::Insert(Insert::Log(LogField::UserAgent)),
            text("\" "),
            Piece::Insert(Insert::Header("x-a".into())),
            text(" "),
            Piece::Insert(Insert::Log(LogField::Failure)),
        ]))
        .unwrap()
    }

    #[test]
    fn a_line_keeps_its_fields() {
        let mut exchange = testing::exchange("GET", "shop.example", "/");
        exchange.request.headers.append("x-a", HeaderValue::from_static("one two"));
        let mut out = Vec::new();
        line().write(Some(&exchange), Some("api"), &Known, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"shop.example 200 "a \"b\"\n c" one\x20two -"#);
        assert!(line().needs_head());
    }

    #[test]
    fn a_refused_request_has_a_line() {
        let mut out = Vec::new();
        line().write(None, None, &Known, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"evil\x20200\x20rule=admin 200 "a \"b\"\n c" - -"#);
    }
}
