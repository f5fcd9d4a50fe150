//! What an HTTPS listener tells its clients of the QUIC listener that it names (RFC 7838).

use std::time::{Duration, Instant};

use http::HeaderValue;
use tidegate_base::address::ListenerKey;
use tidegate_dsl::plan::{Listener, ListenerId, ListenerState, Plan};

/// `Alt-Svc` of each listener.
#[derive(Debug, Default)]
pub struct Alternatives(Vec<Option<Alternative>>);

#[derive(Debug, Clone)]
enum Alternative {
    /// HTTP/3 is spoken at a port, and a client may remember that for so long.
    Offered(HeaderValue, Duration),
    /// The other port was told, and clients may remember it until then.
    Withdrawn(Instant),
}

impl Alternatives {
    /// Of a plan that comes after another one. A QUIC listener that the plan has running accepts: its sockets were opened
    /// before the plan came into service.
    pub fn of(plan: &Plan, previous: Option<(&Plan, &Self)>, now: Instant) -> Self {
        let of = |listener: &Listener| {
            let upgrade = listener.quic_upgrade;
            let target = upgrade.and_then(|upgrade| Some((upgrade, plan.listeners.get(upgrade.listener.0)?)));
            if let Some((upgrade, target)) = target.filter(|(_, target)| target.state == ListenerState::Running) {
                let port = upgrade.port.unwrap_or(target.bind.port());
                let value = format!("h3=\":{port}\"; ma={}", upgrade.max_age.as_secs());
                return HeaderValue::try_from(value).ok().map(|value| Alternative::Offered(value, upgrade.max_age));
            }
            let (old, alternatives) = previous?;
            let at = old.listeners.iter().position(|other| ListenerKey::of(other) == ListenerKey::of(listener))?;
            match alternatives.0.get(at)?.as_ref()? {
                Alternative::Offered(_, memory) => Some(Alternative::Withdrawn(now + *memory)),
                Alternative::Withdrawn(until) => (*until > now).then_some(Alternative::Withdrawn(*until)),
            }
        };
        Self(plan.listeners.iter().map(of).collect())
    }

    /// The field's value in a listener's answers.
    pub fn value(&self, id: ListenerId, now: Instant) -> Option<HeaderValue> {
        match self.0.get(id.0)?.as_ref()? {
            Alternative::Offered(value, _) => Some(value.clone()),
            Alternative::Withdrawn(until) => (*until > now).then(|| HeaderValue::from_static("clear")),
        }
    }
}
