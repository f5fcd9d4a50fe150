//! Ports: who may listen where beside whom.

use std::collections::HashMap;

use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Bind, Endpoints, Listener, Protocol};
use crate::source::Span;

/// Listeners of a policy: each holds a socket in every worker.
const MAX_LISTENERS: usize = 100;

/// The number of listeners above which their number is doubtful.
const MANY_LISTENERS: usize = 50;

impl Checker<'_, '_> {
    /// Checks of what only all listeners together show: ports, and how many there are. QUIC has ports of its own, those
    /// of UDP.
    pub(crate) fn check_listeners(&mut self, listeners: &[(Listener, Span)]) {
        let count = listeners.len();
        let Some((_, last)) = listeners.last() else { return };
        if count > MAX_LISTENERS {
            self.report(
                Diagnostic::new(codes::TOO_MANY_LISTENERS, *last, format!("there are {count} listeners"))
                    .help(format!("a policy has at most {MAX_LISTENERS}")),
            );
            return;
        }
        if count > MANY_LISTENERS {
            self.report(
                Diagnostic::new(codes::MANY_LISTENERS, *last, format!("there are {count} listeners"))
                    .help(format!("a policy has at most {MAX_LISTENERS}; a listener can serve many hosts")),
            );
        }
        let mut by_port: HashMap<(bool, u16), Vec<usize>> = HashMap::new();
        for (at, (listener, span)) in listeners.iter().enumerate() {
            let others = by_port.entry((listener.protocol == Protocol::Quic, listener.bind.port())).or_default();
            let clash = others
                .iter()
                .filter_map(|other| listeners.get(*other))
                .find(|(other, _)| clash(&listener.bind, &other.bind));
            if let Some((other, first)) = clash {
                let message = format!(
                    "port `{}` is already taken by the {} listener `{}`",
                    listener.bind.port(),
                    other.protocol.word(),
                    other.name
                );
                self.report(
                    Diagnostic::new(codes::PORT_CLASH, *span, message)
                        .also(*first, "it is taken here")
                        .help("choose another port, or let one listener do the work of both"),
                );
            }
            others.push(at);
        }
    }

    /// The admin API and the metrics take ports of TCP, too.
    pub(crate) fn check_watched_ports<'p>(
        &mut self,
        watched: impl Iterator<Item = (&'p Endpoints, Span, &'static str)>,
        listeners: &[(Listener, Span)],
    ) {
        let tcp = listeners.iter().filter(|(listener, _)| listener.protocol != Protocol::Quic);
        let of_listener = |(listener, span): &(Listener, Span)| {
            (listener.bind, *span, format!("the listener {}", quoted(&listener.name)))
        };
        let mut taken: Vec<_> = tcp.map(of_listener).collect();
        for (at, span, who) in watched {
            let Some(address) = at.listen else { continue };
            let bind = Bind::Address(address);
            if let Some((_, first, who)) = taken.iter().find(|(other, ..)| clash(&bind, other)) {
                let message = format!("port `{}` is already taken by {who}", address.port());
                self.report(
                    Diagnostic::new(codes::PORT_CLASH, span, message)
                        .also(*first, "it is taken here")
                        .help("choose another port, or `unix \"FILE\"`"),
                );
            }
            taken.push((bind, span, who.to_owned()));
        }
    }
}

/// Whether two addresses cannot be listened on at once.
fn clash(a: &Bind, b: &Bind) -> bool {
    match (a, b) {
        (Bind::Address(a), Bind::Address(b)) => {
            a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        }
        (a, b) => a.port() == b.port(),
    }
}
