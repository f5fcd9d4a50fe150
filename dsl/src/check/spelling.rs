//! Texts of tests that are compared exactly: written as no request has them, they would never hold.

use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::source::Span;

/// Methods that are written in capitals (RFC 9110, 9, RFC 5789 and RFC 10008).
const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

impl Checker<'_, '_> {
    pub(super) fn check_host(&mut self, host: &str, span: Span) -> Option<()> {
        if host.parse::<std::net::Ipv6Addr>().is_ok() {
            return self.check_host_reached(host, span);
        }
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
        let report = Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a host", quoted(host)));
        self.report(if bare.is_empty() || bare.contains(odd) || bare == host {
            report.help("write a host, as `\"shop.example\"`")
        } else {
            report
                .help(format!("a host stands without scheme, port and path: write `\"{bare}\"`"))
                .edit(span, format!("\"{bare}\""))
        });
        None
    }

    /// Hosts of requests are compared in ASCII (RFC 5890), and without a final dot.
    fn check_host_name(&mut self, host: &str, span: Span) -> Option<()> {
        let bad = |message: &str| Diagnostic::new(codes::BAD_TEXT, span, message);
        let report = if let Some(without) = host.strip_suffix('.').filter(|without| !without.is_empty()) {
            bad("hosts are compared without their final dot").write(&format!("\"{without}\""))
        } else if !host.is_ascii() {
            bad("no request has a host with such letters").help("write it as DNS has it, with `xn--`")
        } else {
            return self.check_host_reached(host, span);
        };
        self.report(report);
        None
    }

    /// A path that is compared by `is` or `under`, whose word stands at `test` if this is its only value.
    pub(super) fn check_path(&mut self, path: &str, span: Span, (word, test): (&str, Option<Span>)) -> Option<()> {
        if path == "*" {
            return Some(());
        }
        if path.starts_with('/') && !path.contains(['?', '#']) {
            return self.check_path_reached(path, span, word, test);
        }
        let report = Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a path", quoted(path)));
        self.report(if path.contains(['?', '#']) {
            report.help("a path holds no query; test it with `query \"name\"`")
        } else {
            report.help(format!("a path begins with `/`: write `\"/{path}\"`")).edit(span.part(1, 1), "/")
        });
        None
    }

    /// SHA-256 in lower-case hexadecimal digits, since it is compared as text.
    pub(super) fn check_fingerprint(&mut self, written: &str, span: Span) -> Option<()> {
        let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        let plain = written.replace([':', ' '], "").to_ascii_lowercase();
        if is_hex(&plain, 64) && plain == written {
            return Some(());
        }
        let report = Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a fingerprint", quoted(written)));
        self.report(if is_hex(&plain, 64) {
            report
                .help(format!("write its digits alone, in lower case: `\"{plain}\"`"))
                .edit(span, format!("\"{plain}\""))
        } else if is_hex(&plain, 40) {
            report.help("this is SHA-1; `openssl x509 -noout -fingerprint -sha256` prints the right one")
        } else {
            report.help("a fingerprint is SHA-256: 64 hexadecimal digits in lower case")
        });
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
                .write(&upper),
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

    /// A method that a rule can see.
    pub(super) fn check_tested_method(&mut self, method: &str, span: Span) -> Option<()> {
        self.check_method(method, span)?;
        let help = match method {
            "TRACE" => "it is refused before any rule: remove it",
            "CONNECT" => "a WebSocket of HTTP/2 or HTTP/3 is a `GET` here, and `upgrade is websocket`: remove it",
            _ => return Some(()),
        };
        let message = format!("no rule sees a request with the method {}", quoted(method));
        self.report(Diagnostic::new(codes::NEVER_MET, span, message).help(help));
        None
    }

    /// A protocol that a client can go on with: WebSocket, however it is spelt.
    pub(super) fn check_upgrade(&mut self, word: &str, span: Span) -> Option<()> {
        if word.eq_ignore_ascii_case("websocket") {
            return Some(());
        }
        let report =
            Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is no protocol that is upgraded to", quoted(word)));
        self.report(report.help("write `websocket`: no other one is carried"));
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
