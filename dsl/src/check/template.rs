//! Texts: escapes, and insertions by `${…}`.

use super::args::Args;
use super::checker::Checker;
use super::regex::Matches;
use super::texts::Raw;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{ClientCertPart, Insert, LogField, Piece, Template};
use crate::source::Span;
use crate::vocabulary::Place;

/// The values that may be inserted at a place.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'m> {
    /// The moment when the text is made.
    pub(crate) moment: Moment,
    /// The finds of the rule's `matches`.
    pub(crate) matches: &'m Matches,
}

/// The moment when a text is made, by which more or less is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A request, and no response yet.
    Request,
    /// A response, beside its request.
    Response,
    /// Everything is over, and a line is written for the access log.
    Log,
}

impl Scope<'_> {
    /// The words that may be inserted.
    pub(crate) fn place(self) -> Place {
        match self.moment {
            Moment::Request => Place::Insert,
            Moment::Response => Place::ResponseInsert,
            Moment::Log => Place::LogInsert,
        }
    }
}

/// A part of a text, with its place between the quotes.
enum Part {
    Char(char),
    /// A backslash before something that is no escape.
    BadEscape {
        from: usize,
        to: usize,
        c: char,
    },
    /// `${…}`: what stands between the braces.
    Insert {
        from: usize,
        to: usize,
    },
    /// `${` without `}`.
    OpenInsert {
        from: usize,
    },
}

impl<'t> Checker<'_, 't> {
    /// A text as it is meant. `lenient` keeps a backslash that begins no escape, as regular expressions have them.
    pub(crate) fn unescape(&mut self, raw: &str, span: Span, lenient: bool) -> Option<String> {
        let mut out = String::new();
        for part in (Parts { raw, at: 0, templates: false }) {
            match part {
                Part::Char(c) => out.push(c),
                Part::BadEscape { c, .. } if lenient => {
                    out.push('\\');
                    out.push(c);
                }
                Part::BadEscape { from, to, c } => return self.bad_escape(span, from, to, c),
                Part::Insert { .. } | Part::OpenInsert { .. } => {}
            }
        }
        Some(out)
    }

    fn bad_escape<T>(&mut self, span: Span, from: usize, to: usize, c: char) -> Option<T> {
        let shown = quoted(&format!("\\{c}"));
        self.report(
            Diagnostic::new(codes::ESCAPE, span.part(from + 1, to + 1), format!("{shown} is not an escape"))
                .help("the escapes are `\\n`, `\\r`, `\\t`, `\\\"` and `\\\\`; write `\\\\` for a backslash"),
        );
        None
    }

    /// The next argument as a text with insertions.
    pub(crate) fn template(
        &mut self,
        args: &mut Args<'_, 't>,
        what: &str,
        scope: Scope<'_>,
    ) -> Option<(Template, Span)> {
        let (raw, span) = self.raw_text(args, what)?;
        let template = match raw {
            // What the environment holds is taken as it is.
            Raw::Env(value) if value.is_empty() => Template::default(),
            Raw::Env(value) => Template(vec![Piece::Text(value)]),
            Raw::Literal(raw) => self.read_template(raw, span, scope)?,
        };
        Some((template, span))
    }

    fn read_template(&mut self, raw: &str, span: Span, scope: Scope<'_>) -> Option<Template> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut right = true;
        for part in (Parts { raw, at: 0, templates: true }) {
            match part {
                Part::Char(c) => text.push(c),
                Part::BadEscape { from, to, c } => return self.bad_escape(span, from, to, c),
                Part::Insert { from, to } => {
                    let name = raw.get(from..to).unwrap_or_default();
                    let Some(insert) = self.insert(name, span.part(from + 1, to + 1), scope) else {
                        right = false;
                        continue;
                    };
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Insert(insert));
                }
                Part::OpenInsert { from } => {
                    self.report(
                        Diagnostic::new(codes::INSERTION, span.part(from + 1, from + 3), "this `${` has no `}`")
                            .help("write `}` behind the name; for a literal `${` write `$${`"),
                    );
                    return None;
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        self.doubt_variables(raw, span, scope);
        right.then_some(Template(pieces))
    }

    /// The insertion that the text between `${` and `}` names.
    fn insert(&mut self, written: &str, span: Span, scope: Scope<'_>) -> Option<Insert> {
        let (word, name) = match written.split_once('.') {
            Some((word, name)) => (word, Some(name)),
            None => (written, None),
        };
        if scope.moment == Moment::Request && matches!(word, "status" | "response-header") {
            self.report(
                Diagnostic::new(
                    codes::INSERTION,
                    span,
                    format!("there is no response yet to take {} from", quoted(word)),
                )
                .help("it may be inserted in `on-response`"),
            );
            return None;
        }
        if scope.moment != Moment::Log && word != "status" && LogField::of_word(word).is_some() {
            let message = format!("{} is not known before the access log is written", quoted(word));
            self.report(
                Diagnostic::new(codes::INSERTION, span, message)
                    .help("it may be inserted in `access-log { format template \"…\" }`"),
            );
            return None;
        }
        if scope.moment == Moment::Log && word == "match" {
            self.report(
                Diagnostic::new(
                    codes::INSERTION,
                    span,
                    "what a rule's `matches` found is gone when the line is written",
                )
                .help("keep it: `set-var \"NAME\" \"${match.1}\"` in the rule, and insert `${var.NAME}` here"),
            );
            return None;
        }
        let place = scope.place();
        // The fields of a JSON line are spelt with `_`.
        let dashed = word.replace('_', "-");
        let spelt = if scope.moment == Moment::Log && place.find(&dashed).is_some() { dashed.as_str() } else { word };
        let word = self.find_word(spelt, span.part(0, word.len()), place)?;
        let named = |cx: &mut Self| {
            let lacking = quoted(word.name);
            cx.report(
                Diagnostic::new(codes::INSERTION, span, format!("{lacking} lacks a name"))
                    .help(format!("write `${{{}.NAME}}`", word.name)),
            );
            None
        };
        let Some(name) = name else {
            let known = if scope.moment == Moment::Log { LogField::of_word(word.name) } else { None };
            return match known.map(Insert::Log).or_else(|| plain_insert(word.name)) {
                Some(insert) => Some(insert),
                None => named(self),
            };
        };
        let name_span = span.part(word.name.len() + 1, written.len());
        match word.name {
            "header" | "response-header" => {
                self.check_header_name(name, name_span)?;
                let name = name.to_ascii_lowercase();
                Some(if word.name == "header" { Insert::Header(name) } else { Insert::ResponseHeader(name) })
            }
            "query" | "cookie" | "var" => {
                self.check_plain_name(name, name_span, "something to insert")?;
                Some(match word.name {
                    "query" => Insert::QueryParam(name.to_owned()),
                    "cookie" => Insert::Cookie(name.to_owned()),
                    _ => Insert::Var(name.to_owned()),
                })
            }
            "client-cert" => self.client_cert_part(name, name_span).map(Insert::ClientCert),
            "match" => self.match_insert(name, span, scope.matches),
            other => {
                self.report(
                    Diagnostic::new(codes::INSERTION, span, format!("{} has no parts", quoted(other)))
                        .help(format!("write `${{{other}}}`"))
                        .edit(span, other),
                );
                None
            }
        }
    }

    /// `${client-cert.PART}`.
    fn client_cert_part(&mut self, name: &str, span: Span) -> Option<ClientCertPart> {
        let part = ClientCertPart::of_word(name);
        if part.is_none() {
            let parts: Vec<&str> = ClientCertPart::ALL.iter().map(|part| part.word()).collect();
            self.check_choice(name, span, "a part of a client's certificate", &parts)?;
        }
        part
    }

    /// `${match.N}` and `${match.NAME}`.
    fn match_insert(&mut self, name: &str, span: Span, matches: &Matches) -> Option<Insert> {
        let (message, help) = if name.is_empty() || !name.bytes().all(|b| b.is_ascii_digit()) {
            if matches.names.contains(name) {
                return Some(Insert::MatchName(name.to_owned()));
            }
            let help = format!("name a group of a `matches` of this rule: `(?<{name}>…)`");
            (format!("no `matches` of this rule has a group named {}", quoted(name)), help)
        } else if matches.count == 0 {
            let help = "add a condition `when path matches \"…\"`, not an `unless`".to_owned();
            ("this rule has no `matches` to take a group from".to_owned(), help)
        } else {
            match (matches.groups, name.parse::<usize>()) {
                (Some(groups), Ok(index)) if index <= groups => return Some(Insert::MatchIndex(index)),
                (Some(groups), _) => {
                    let counted = match groups {
                        0 => "no groups".to_owned(),
                        1 => "one group".to_owned(),
                        groups => format!("{groups} groups"),
                    };
                    (
                        format!("the regular expression has {counted}"),
                        format!(
                            "write `${{match.0}}` for the whole match{}, or put `(…)` around what is meant",
                            match groups {
                                0 => String::new(),
                                groups => format!(", up to `${{match.{groups}}}`"),
                            }
                        ),
                    )
                }
                (None, _) => (
                    "groups are numbered only where a rule has exactly one `matches` with one text, outside `any`"
                        .to_owned(),
                    "name the group, `(?<name>…)`, and write `${match.name}`".to_owned(),
                ),
            }
        };
        self.report(Diagnostic::new(codes::MATCH, span, message).help(help));
        None
    }
}

/// The insertions that are a word alone.
fn plain_insert(word: &str) -> Option<Insert> {
    Some(match word {
        "host" => Insert::Host,
        "port" => Insert::Port,
        "path" => Insert::Path,
        "query" => Insert::Query,
        "uri" => Insert::Uri,
        "original-uri" => Insert::OriginalUri,
        "scheme" => Insert::Scheme,
        "method" => Insert::Method,
        "client-ip" => Insert::ClientIp,
        "peer-ip" => Insert::PeerIp,
        "listener" => Insert::Listener,
        "rule" => Insert::Rule,
        "group" => Insert::Group,
        "server" => Insert::Server,
        "request-id" => Insert::RequestId,
        "trace-id" => Insert::TraceId,
        "tls-version" => Insert::TlsVersion,
        "tls-cipher" => Insert::TlsCipher,
        "tls-group" => Insert::TlsGroup,
        "sni" => Insert::Sni,
        "protocol" => Insert::Protocol,
        "client-port" => Insert::ClientPort,
        "status" => Insert::Status,
        _ => return None,
    })
}

/// The parts of a text, in order.
struct Parts<'r> {
    raw: &'r str,
    at: usize,
    templates: bool,
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let rest = self.raw.get(self.at..)?;
        let from = self.at;
        let mut chars = rest.chars();
        let c = chars.next()?;
        self.at += c.len_utf8();
        if c == '\\' {
            let Some(escaped) = chars.next() else { return Some(Part::BadEscape { from, to: from + 1, c: ' ' }) };
            self.at += escaped.len_utf8();
            return Some(match escaped {
                'n' => Part::Char('\n'),
                'r' => Part::Char('\r'),
                't' => Part::Char('\t'),
                '"' | '\\' => Part::Char(escaped),
                c => Part::BadEscape { from, to: self.at, c },
            });
        }
        if self.templates && rest.starts_with("$${") {
            // `$${` is a literal `${`: the first `$` now, and the rest as plain characters.
            self.at = from + 2;
            return Some(Part::Char('$'));
        }
        if self.templates && rest.starts_with("${") {
            let inside = from + 2;
            return Some(match rest.find('}') {
                Some(close) => {
                    self.at = from + close + 1;
                    Part::Insert { from: inside, to: from + close }
                }
                None => {
                    self.at = self.raw.len();
                    Part::OpenInsert { from }
                }
            });
        }
        Some(Part::Char(c))
    }
}
