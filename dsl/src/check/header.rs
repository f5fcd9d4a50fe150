//! Names of headers, cookies, query parameters and variables; and header values.

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::field_names::{self, Class};
use crate::plan::{Piece, Template};
use crate::source::Span;

/// Bytes of a name. Longer ones are a mistake, and cost every request that is compared with them.
const MAX_NAME: usize = 256;

/// Whether a text is a token (RFC 9110, 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

impl<'t> Checker<'_, 't> {
    /// The name of a header that is only looked at, in lower case.
    pub(crate) fn header_name(&mut self, args: &mut Args<'_, 't>) -> Option<(String, Span)> {
        let (name, span) = self.text(args, "the name of a header")?;
        self.check_header_name(&name, span)?;
        Some((name.to_ascii_lowercase(), span))
    }

    /// Reports a name that no header can have.
    pub(crate) fn check_header_name(&mut self, name: &str, span: Span) -> Option<()> {
        if is_token(name) && name.len() <= MAX_NAME {
            return Some(());
        }
        let report = Diagnostic::new(codes::HEADER, span, format!("{} is not the name of a header", quoted(name)));
        self.report(match name.strip_suffix(':') {
            // Of an insertion, the name stands without quotes.
            Some(name) if is_token(name) && self.sources.slice(span).starts_with('"') => {
                report.write(&format!("\"{name}\""))
            }
            _ => report.help("a header's name is made of letters, digits and `-`"),
        });
        None
    }

    /// The name of a header that is changed: not one of the gateway's own.
    pub(crate) fn writable_header(&mut self, args: &mut Args<'_, 't>, response: bool) -> Option<String> {
        let (name, span) = self.header_name(args)?;
        self.changeable_header(&name, span, response)?;
        Some(name)
    }

    /// Reports a header that is one of the gateway's own, and warns of one that servers confuse.
    pub(crate) fn changeable_header(&mut self, name: &str, span: Span, response: bool) -> Option<()> {
        let Some(class) = field_names::class(name).filter(|class| class.is_reserved()) else {
            if !response {
                self.doubt_header_name(name, span);
            }
            return Some(());
        };
        let help = match name {
            "host" if !response => "write `rewrite host \"…\"`",
            "host" => "`host` is a header of requests",
            name if name == "transfer-encoding" || class == Class::Frame => "the gateway writes it to fit the body",
            _ => "it concerns one connection only, and the gateway writes it for each",
        };
        self.report(
            Diagnostic::new(
                codes::RESERVED_HEADER,
                span,
                format!("a policy does not change the header {}", quoted(name)),
            )
            .help(help),
        );
        None
    }

    /// The name of a cookie, a query parameter or a variable.
    pub(crate) fn plain_name(&mut self, args: &mut Args<'_, 't>, of: &str) -> Option<String> {
        let (name, span) = self.text(args, &format!("the name of {of}"))?;
        self.check_plain_name(&name, span, of)?;
        Some(name)
    }

    /// Reports a name that is empty, too long, or holds what names do not hold.
    pub(crate) fn check_plain_name(&mut self, name: &str, span: Span, of: &str) -> Option<()> {
        let odd = |c: char| c.is_control() || matches!(c, '{' | '}') || (c == ' ' || c == ';' || c == '=');
        if !name.is_empty() && name.len() <= MAX_NAME && !name.contains(odd) {
            return Some(());
        }
        let message = match name {
            "" => format!("the name of {of} is not empty"),
            name => format!("{} is not the name of {of}", quoted(name)),
        };
        self.report(
            Diagnostic::new(codes::BAD_TEXT, span, message).help("a name holds no blanks, `;`, `=` and braces"),
        );
        None
    }

    /// Reports a value that no header can have (RFC 9110, 5.5).
    pub(crate) fn check_header_value(&mut self, value: &Template, span: Span) -> Option<()> {
        let odd = |c: char| c.is_control() && c != '\t';
        if !value.0.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains(odd))) {
            return Some(());
        }
        self.report(
            Diagnostic::new(codes::HEADER, span, "the value of a header is one line, without control characters")
                .help("remove `\\n` and `\\r`"),
        );
        None
    }

    /// Reports a text that is empty.
    pub(crate) fn not_empty(&mut self, text: String, span: Span) -> Option<String> {
        let message = match text.as_str() {
            "" => "this text is empty",
            text if text.contains('\0') => "this text holds a NUL",
            _ => return Some(text),
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, message));
        None
    }
}
