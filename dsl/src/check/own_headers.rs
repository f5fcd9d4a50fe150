//! Steps that change a header which the gateway writes itself, behind all steps: they do nothing.

use super::checker::Checker;
use super::gathered::OwnHeader;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Forwarded, ForwardedFor, ListenerAction, Plan};
use crate::source::Span;

/// The beginning of the headers that tell servers about the certificate of the client.
const CLIENT_CERT: &str = "x-forwarded-clientcert-";

impl Checker<'_, '_> {
    /// Keeps a step for when the listeners are known.
    pub(super) fn take_own_header(&mut self, step: &'static str, name: &str, span: Span) {
        if name.starts_with("x-forwarded-") {
            let rules = self.rule_spans.len().saturating_sub(1);
            self.gathered.own_headers.push(OwnHeader { rules, step, name: name.to_owned(), span });
        }
    }

    /// Warns of steps that do nothing at any listener.
    pub(super) fn doubt_own_headers(&mut self, plan: &Plan) {
        for own in std::mem::take(&mut self.gathered.own_headers) {
            let mut listeners = plan
                .listeners
                .iter()
                .filter(|listener| matches!(listener.action, ListenerAction::Rules(id) if id.0 == own.rules))
                .peekable();
            let Some(first) = listeners.peek().map(|listener| quoted(&listener.name)) else { continue };
            let Some(word) =
                listeners.map(|listener| written_by(&listener.forwarded, &own)).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let word = word.first().copied().unwrap_or_default();
            let help = match (own.step, word) {
                ("remove-header", "for") => format!("write `forwarded-for remove` in the listener {first}"),
                (_, "for") => format!("leave `for` out of `forwarded` in the listener {first}"),
                ("remove-header", word) => format!("leave `{word}` out of `forwarded` in the listener {first}"),
                (_, word) => format!("leave `{word}` out of `forwarded` in the listener {first}, or remove this step"),
            };
            let message = format!("the gateway writes {} itself, behind this step", quoted(&own.name));
            self.report(Diagnostic::new(codes::OWN_HEADER, own.span, message).help(help));
        }
    }
}

/// The word of `forwarded` by which a listener overwrites what the step does.
fn written_by(forwarded: &Forwarded, own: &OwnHeader) -> Option<&'static str> {
    let written = |on: bool, word| on.then_some(word);
    match own.name.as_str() {
        "x-forwarded-for" => match forwarded.forwarded_for? {
            // What a step has put there is added to.
            ForwardedFor::Append => written(own.step == "remove-header", "for"),
            ForwardedFor::Replace => Some("for"),
            ForwardedFor::Remove => written(own.step != "remove-header", "for"),
        },
        "x-forwarded-proto" => written(forwarded.proto, "proto"),
        "x-forwarded-port" => written(forwarded.port, "port"),
        "x-forwarded-client-srcport" => written(forwarded.client_port, "client-port"),
        "x-forwarded-host" => written(forwarded.host, "host"),
        "x-forwarded-listener" => written(forwarded.listener_id, "listener-id"),
        name if name.starts_with(CLIENT_CERT) => written(forwarded.client_cert, "client-cert"),
        _ => None,
    }
}
