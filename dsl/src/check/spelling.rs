//! Texts of tests that are compared exactly: written as no request has them, they would never hold.

use super::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::source::Span;

/// Methods that are written in capitals (RFC 9110, 9, and RFC 5789).
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

impl Checker<'_, '_> {
    pub(super) fn check_host(&mut self, host: &str, span: Span) -> Option<()> {
        let bare = host.split_once("://").map_or(host, |(_, rest)| rest);
        let bare = bare.split('/').next().unwrap_or(bare);
        let bare = match bare.rsplit_once(':') {
            Some((name, port))
                if !port.is_empty() && !bare.ends_with(']') && port.bytes().all(|b| b.is_ascii_digit()) =>
            {
                name
            }
            _ => bare,
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '@');
        if !host.is_empty() && bare == host && !host.contains(odd) {
            if !host.contains('*') {
                return self.check_host_name(host, span);
            }
            self.report(
                Diagnostic::new(
                    codes::BAD_TEXT,
                    span,
                    format!("`is` compares exactly, and no host holds `*`: {}", quoted(host)),
                )
                .help("write `like` in place of `is`"),
            );
            return None;
        }
        let help = match bare {
            "" => "write a host, as `\"shop.example\"`".to_owned(),
            bare => format!("a host stands without scheme, port and path: write `\"{bare}\"`"),
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a host", quoted(host))).help(help));
        None
    }

    /// Hosts of requests are compared in ASCII (RFC 5890), and without a final dot.
    fn check_host_name(&mut self, host: &str, span: Span) -> Option<()> {
        let (message, help) = if let Some(without) = host.strip_suffix('.') {
            ("hosts are compared without their final dot", format!("write `\"{without}\"`"))
        } else if host.is_ascii() {
            return Some(());
        } else {
            ("no request has a host with such letters", "write it as DNS has it, with `xn--`".to_owned())
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, message).help(help));
        None
    }

    /// A glob of paths. Escapes that normalised paths still have are in upper case.
    pub(super) fn check_path_glob(&mut self, glob: &str, span: Span) -> Option<()> {
        let upper = escapes_in_upper_case(glob);
        if upper == glob {
            self.doubt_path_glob(glob, span);
            return Some(());
        }
        self.report(
            Diagnostic::new(codes::BAD_TEXT, span, "the escapes of paths are compared in upper case")
                .help(format!("write `\"{upper}\"`")),
        );
        None
    }

    pub(super) fn check_path(&mut self, path: &str, span: Span) -> Option<()> {
        if path == "*" || (path.starts_with('/') && !path.contains(['?', '#'])) {
            return Some(());
        }
        let help = if path.contains(['?', '#']) {
            "a path holds no query; test it with `query \"name\"`".to_owned()
        } else {
            format!("a path begins with `/`: write `\"/{path}\"`")
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a path", quoted(path))).help(help));
        None
    }

    /// SHA-256 in lower-case hexadecimal digits, since it is compared as text.
    pub(super) fn check_fingerprint(&mut self, written: &str, span: Span) -> Option<()> {
        let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        let plain = written.replace([':', ' '], "").to_ascii_lowercase();
        if is_hex(&plain, 64) && plain == written {
            return Some(());
        }
        let help = if is_hex(&plain, 64) {
            format!("write its digits alone, in lower case: `\"{plain}\"`")
        } else if is_hex(&plain, 40) {
            "this is SHA-1; `openssl x509 -noout -fingerprint -sha256` prints the right one".to_owned()
        } else {
            "a fingerprint is SHA-256: 64 hexadecimal digits in lower case".to_owned()
        };
        let message = format!("{} is not a fingerprint", quoted(written));
        self.report(Diagnostic::new(codes::BAD_TEXT, span, message).help(help));
        None
    }

    pub(crate) fn check_method(&mut self, method: &str, span: Span) -> Option<()> {
        let upper = method.to_ascii_uppercase();
        if METHODS.contains(&upper.as_str()) && upper != method {
            self.report(
                Diagnostic::new(
                    codes::BAD_TEXT,
                    span,
                    format!("methods are compared with their case: {}", quoted(method)),
                )
                .help(format!("write `{upper}`")),
            );
            return None;
        }
        if super::header::is_token(method) {
            return Some(());
        }
        self.report(
            Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a method", quoted(method)))
                .help("write a method, as `GET`"),
        );
        None
    }

    pub(super) fn check_choice(&mut self, word: &str, span: Span, what: &str, choices: &[&str]) -> Option<()> {
        if choices.contains(&word) {
            return Some(());
        }
        let help = format!("write {}", one_of(choices.iter().copied()));
        self.report(Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not {what}", quoted(word))).help(help));
        None
    }
}

/// `%2f` as `%2F`, wherever it stands.
fn escapes_in_upper_case(text: &str) -> String {
    let mut left = 0;
    let mut upper = |c: char| {
        if c == '%' {
            left = 2;
            return c;
        }
        let of_escape = left > 0 && c.is_ascii_hexdigit();
        left = if of_escape { left - 1 } else { 0 };
        if of_escape { c.to_ascii_uppercase() } else { c }
    };
    text.chars().map(&mut upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_escapes_are_put_into_upper_case() {
        for (text, upper) in [
            ("/a%2fb*", "/a%2Fb*"),
            ("/%c3%a9tage", "/%C3%A9tage"),
            ("/abc%", "/abc%"),
            ("/%zz%2", "/%zz%2"),
            ("%%2f", "%%2F"),
        ] {
            assert_eq!(escapes_in_upper_case(text), upper);
        }
    }
}
