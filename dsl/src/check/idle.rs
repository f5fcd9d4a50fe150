//! Warnings of what does nothing where it stands: values that stand twice, headers of responses on requests, variables
//! of other gateways, and the header by which one version of HTTP asks for WebSocket.

use std::collections::HashMap;

use super::args::Args;
use super::checker::Checker;
use super::template::{Moment, Scope};
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Predicate, Subject};
use crate::source::Span;
use crate::tree::List;

/// Lists in which a value that stands twice is an error, which is said by whoever reads them.
const READ_ONCE: [&str; 4] = ["compression", "versions", "groups", "ciphers"];

/// Headers that only responses have, and that people set on requests.
const RESPONSE_FIELDS: [&str; 17] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "content-security-policy",
    "location",
    "permissions-policy",
    "referrer-policy",
    "server",
    "set-cookie",
    "strict-transport-security",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
    "x-powered-by",
];

impl<'t> Checker<'_, 't> {
    /// Warns of a value that stands twice in a list.
    pub(super) fn doubt_repeated(&mut self, of: &str, list: &List<'t>) {
        if READ_ONCE.contains(&of) {
            return;
        }
        let mut first: HashMap<&str, Span> = HashMap::new();
        let mut before: Option<Span> = None;
        for element in &list.elements {
            let Some(span) = element.span() else { continue };
            let written = self.sources.slice(span);
            if let Some(first) = first.get(written) {
                let message = format!("{} stands twice in this list", quoted(written.trim_matches('"')));
                let report = Diagnostic::new(codes::REPEATED_VALUE, span, message)
                    .also(*first, "it stands here first")
                    .help("remove it, or write what was meant");
                let gone = Span { start: before.map_or(span.start, |before| before.end), ..span };
                // A comment in between would go, too.
                let plain = !self.sources.slice(gone).contains('#');
                self.report(if plain { report.edit(gone, "") } else { report });
            } else {
                first.insert(written, span);
            }
            before = Some(span);
        }
    }

    /// Warns of a header that only responses have, in a step that changes the request.
    pub(super) fn doubt_response_field(&mut self, name: &str, args: &Args<'_, 't>, response: bool) {
        if response || !RESPONSE_FIELDS.contains(&name) {
            return;
        }
        let message = format!("{} is a header of responses, and this step changes the request", quoted(name));
        self.report(
            Diagnostic::new(codes::RESPONSE_FIELD, args.span(), message)
                .help(format!("write `on-response {{ {} … }}`", args.of.name))
                .edit(args.head.part(0, 0), "on-response { ")
                .edit(args.last().after(), " }"),
        );
    }

    /// Warns of variables as nginx has them: `$host`.
    pub(super) fn doubt_variables(&mut self, raw: &str, span: Span, scope: Scope<'_>) {
        let mut rest = raw;
        while let Some(at) = rest.find('$') {
            let from = raw.len() - rest.len() + at;
            let name = rest.get(at + 1..).unwrap_or_default();
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            let name = name.get(..end).unwrap_or_default();
            rest = rest.get(at + 1 + end..).unwrap_or_default();
            if raw.get(..from).is_some_and(|before| before.ends_with('$')) {
                continue;
            }
            let Some(mend) = insertion(name, scope) else { continue };
            let place = span.part(from + 1, from + 2 + end);
            let message = format!("{} is no insertion, and stays as it is", quoted(&format!("${name}")));
            self.report(Diagnostic::new(codes::FOREIGN_VARIABLE, place, message).write(&mend));
        }
    }

    /// Warns of a test for WebSocket that knows HTTP/1.1 alone.
    pub(super) fn doubt_old_upgrade(&mut self, subject: &Subject, predicate: &Predicate, span: Span) {
        let Subject::Header(name) = subject else { return };
        let (Predicate::Is(texts) | Predicate::Like(texts) | Predicate::Matches(texts)) = predicate else { return };
        if name != "upgrade" || !texts.iter().any(|text| text.to_ascii_lowercase().contains("websocket")) {
            return;
        }
        let message = "this holds for WebSocket over HTTP/1.1 alone, and only where it is spelt so";
        self.report(Diagnostic::new(codes::ONE_VERSION, span, message).write("upgrade is websocket"));
    }
}

/// The insertion that says what a variable of nginx says.
fn insertion(name: &str, scope: Scope<'_>) -> Option<String> {
    let place = scope.place();
    let dashed = |name: &str| name.replace('_', "-");
    let word = match name {
        "http_host" | "host" | "server_name" => "host".to_owned(),
        "remote_addr" | "realip_remote_addr" | "binary_remote_addr" => "client-ip".to_owned(),
        "request_uri" => "original-uri".to_owned(),
        "document_uri" => "path".to_owned(),
        "args" | "query_string" => "query".to_owned(),
        "request_method" => "method".to_owned(),
        "server_port" => "port".to_owned(),
        "upstream_addr" => "server".to_owned(),
        "upstream_status" if scope.moment == Moment::Response => "status".to_owned(),
        name if name.bytes().all(|b| b.is_ascii_digit()) => {
            let index: usize = name.parse().ok()?;
            scope.matches.groups.filter(|groups| index <= *groups)?;
            format!("match.{index}")
        }
        name => match (name.strip_prefix("http_"), name.strip_prefix("arg_"), name.strip_prefix("cookie_")) {
            (Some(header), ..) if !header.is_empty() => format!("header.{}", dashed(header)),
            (_, Some(parameter), _) if !parameter.is_empty() => format!("query.{parameter}"),
            (_, _, Some(cookie)) if !cookie.is_empty() => format!("cookie.{cookie}"),
            _ => {
                let word = place.find(&dashed(name))?;
                if word.arguments.starts_with('.') {
                    return None;
                }
                word.name.to_owned()
            }
        },
    };
    Some(format!("${{{word}}}"))
}
