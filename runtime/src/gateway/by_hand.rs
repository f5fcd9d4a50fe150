//! What operators change by hand: their orders come through the admin API, and are carried out by the thread `policy`, one
//! after another.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidegate_base::secret::Purpose;
use tidegate_dsl::diff::diff;
use tidegate_dsl::plan::ListenerState;
use tidegate_engine::Engine;
use tidegate_engine::affinity::CookieKeys;
use tracing::info;

use super::reload::Reloader;
use crate::admin::facts::Outcome;
use crate::admin::orders::{Asked, Done, Order, Refusal};
use crate::policy::overrides::{Overrides, ServerState};
use crate::policy::snapshot::Snapshot;

impl Reloader {
    /// Carries out an order, and says what came of it.
    pub(super) fn obey(&mut self, asked: Asked) {
        let outcome = self.carry_out(&asked.order);
        if let Err(refusal) = &outcome {
            info!(order = words(&asked.order), ?refusal, "not done");
        }
        // Whoever asked may have left.
        let _ = asked.reply.send(outcome);
    }

    fn carry_out(&mut self, order: &Order) -> Result<Done, Refusal> {
        let begun = Instant::now();
        if self.signs.ending.load(Ordering::Acquire) {
            return Err(Refusal::Cannot("the gateway ends: nothing is changed any more".to_owned()));
        }
        let overrides = self.overridden(order)?;
        let mut plan = self.written.clone();
        overrides.apply(&mut plan);
        let old = self.shared.snapshot();
        if plan == *old.plan() {
            self.keep(overrides);
            return Ok(Done { changed: false, generation: old.generation });
        }
        let cookies = CookieKeys::new(old.tls.certificates.secrets.keys_or_own(Purpose::Cookies));
        let snapshot = Engine::build_keyed(Arc::new(plan), Some(&old.engine), cookies)
            .map_err(|error| error.to_string())
            .and_then(|engine| {
                let (extensions, certificates) = (old.extensions.clone(), old.tls.certificates.clone());
                Snapshot::build(Arc::new(engine), extensions, certificates, Some(&old))
            })
            .map_err(Refusal::Cannot)?;
        let ready = self.open(&snapshot).map_err(Refusal::Cannot)?;
        let drain = match order {
            Order::Stop { drain: false, .. } => Duration::ZERO,
            _ => snapshot.plan().gateway.drain,
        };
        self.keep(overrides);
        let snapshot = Arc::new(snapshot);
        self.shared.commit(Arc::clone(&snapshot));
        self.serve(&snapshot, ready, drain);
        let generation = snapshot.generation;
        self.note(&words(order), begun, Outcome::InService(diff(old.plan(), snapshot.plan())));
        info!(generation, order = words(order), "changed by hand");
        Ok(Done { changed: true, generation })
    }

    /// The changes by hand with one more.
    fn overridden(&self, order: &Order) -> Result<Overrides, Refusal> {
        let mut overrides = self.overrides.clone();
        let (set, missing) = match order {
            Order::Start { listener } | Order::Stop { listener, .. } => {
                let start = matches!(order, Order::Start { .. });
                let state = if start { ListenerState::Running } else { ListenerState::Stopped };
                let set = overrides.set_listener(&self.written, listener, state);
                (set, format!("the policy has no listener `{listener}`"))
            }
            Order::Server { group, server, change } => {
                let set = overrides.set_server(&self.written, group, server, *change);
                (set, format!("the policy has no server `{server}` in a group `{group}`"))
            }
        };
        set.map(|()| overrides).map_err(|_| Refusal::Unknown(missing))
    }

    fn keep(&mut self, overrides: Overrides) {
        self.facts.set_policy(overrides.clone(), None);
        self.overrides = overrides;
    }
}

/// An order in words.
fn words(order: &Order) -> String {
    match order {
        Order::Start { listener } => format!("listener `{listener}` was started by hand"),
        Order::Stop { listener, drain: true } => format!("listener `{listener}` was stopped by hand, drained"),
        Order::Stop { listener, drain: false } => format!("listener `{listener}` was stopped by hand"),
        Order::Server { group, server, change } => {
            let state = match change.state {
                ServerState::Running => "runs",
                ServerState::Draining => "drains",
                ServerState::Stopped => "is stopped",
            };
            let weight = change.weight.map(|weight| format!(" with weight {weight}")).unwrap_or_default();
            format!("server `{server}` of `{group}` {state}{weight} by hand")
        }
    }
}

#[cfg(test)]
mod tests;
