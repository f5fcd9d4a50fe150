//! Ways round `client-ca`: clients that show no certificate, and reach what others are asked for one.

use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{ClientCa, Listener, ListenerAction, Plan, Protocol};
use crate::source::Span;

/// `quic-upgrade` beside `client-ca`: QUIC listeners ask for no certificate, and clients are told to go there.
pub(super) fn way_round(client_ca: ClientCa, upgrade: Span, client_ca_at: Span, target: &str) -> Diagnostic {
    let (code, message) = if client_ca.required {
        (
            codes::WAY_ROUND,
            format!("the QUIC listener {target} takes clients without a certificate, and this one does not"),
        )
    } else {
        (codes::WAY_BESIDE, format!("clients that come to the QUIC listener {target} show no certificate"))
    };
    Diagnostic::new(code, upgrade, message)
        .also(client_ca_at, "certificates are asked for here")
        .help("remove `quic-upgrade`, or ask for certificates on another listener")
}

impl Checker<'_, '_> {
    /// Warns of listeners that lead to the rules of one with `client-ca … required`, and ask for no certificate.
    pub(crate) fn check_ways_round(&mut self, plan: &Plan) {
        for (at, listener) in plan.listeners.iter().enumerate() {
            let ListenerAction::Rules(rules) = listener.action else { continue };
            if listener.protocol == Protocol::Https {
                continue;
            }
            let guards =
                |(_, other): &(usize, &Listener)| other.action == ListenerAction::Rules(rules) && requires(other);
            let Some((guarded_at, guarded)) = plan.listeners.iter().enumerate().find(guards) else { continue };
            let spot = |at: usize| self.gathered.spots.get(at);
            let span = spot(at).map(|spots| spots.name).unwrap_or_default();
            let name = plan.rule_sets.get(rules.0).map(|set| quoted(&set.name)).unwrap_or_default();
            let message = format!("clients without a certificate come to the rules {name} by this listener");
            let mut report =
                Diagnostic::new(codes::WAY_BESIDE, span, message).help("give it rules of its own, or remove it");
            if let Some(client_ca) = spot(guarded_at).and_then(|spots| spots.client_ca) {
                report = report.also(client_ca, format!("{} asks for one", quoted(&guarded.name)));
            }
            self.report(report);
        }
    }
}

fn requires(listener: &Listener) -> bool {
    listener.tls.as_ref().and_then(|tls| tls.client_ca).is_some_and(|client_ca| client_ca.required)
}
