//! What an HTTPS listener tells its clients of the QUIC listener that it names (RFC 7838).

use std::time::{Duration, Instant};

use http::HeaderValue;
use tidegate_dsl::plan::{Listener, ListenerId, ListenerState, Plan};

use super::snapshot::Place;

/// How long a client may remember what it was told, and so how long it has to be told that it no longer holds.
const MEMORY: Duration = Duration::from_secs(86_400);

/// `Alt-Svc` of each listener.
#[derive(Debug, Default)]
pub struct Alternatives(Vec<Option<Alternative>>);

#[derive(Debug, Clone)]
enum Alternative {
    /// HTTP/3 is spoken at a port.
    Offered(HeaderValue),
    /// It was, and clients may remember it until then.
    Withdrawn(Instant),
}

impl Alternatives {
    /// Of a plan that comes after another one. A QUIC listener that the plan has running accepts: its sockets were opened
    /// before the plan came into service.
    pub fn of(plan: &Plan, previous: Option<(&Plan, &Self)>, now: Instant) -> Self {
        let of = |listener: &Listener| {
            let target = listener.quic_upgrade.and_then(|id| plan.listeners.get(id.0));
            if let Some(target) = target.filter(|target| target.state == ListenerState::Running) {
                let value = format!("h3=\":{}\"; ma={}", target.bind.port(), MEMORY.as_secs());
                return HeaderValue::try_from(value).ok().map(Alternative::Offered);
            }
            let (old, alternatives) = previous?;
            let at = old.listeners.iter().position(|other| Place::of(other) == Place::of(listener))?;
            match alternatives.0.get(at)?.as_ref()? {
                Alternative::Offered(_) => Some(Alternative::Withdrawn(now + MEMORY)),
                Alternative::Withdrawn(until) => (*until > now).then_some(Alternative::Withdrawn(*until)),
            }
        };
        Self(plan.listeners.iter().map(of).collect())
    }

    /// The field's value in a listener's answers.
    pub fn value(&self, id: ListenerId, now: Instant) -> Option<HeaderValue> {
        match self.0.get(id.0)?.as_ref()? {
            Alternative::Offered(value) => Some(value.clone()),
            Alternative::Withdrawn(until) => (*until > now).then(|| HeaderValue::from_static("clear")),
        }
    }
}
