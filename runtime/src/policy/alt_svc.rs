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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tls::tests::sound;

    /// A plan whose HTTPS listener has these words, and whose QUIC listener those; it has none without words.
    fn plan(https: &str, quic: &str) -> Plan {
        let fast = if quic.is_empty() { String::new() } else { format!("listener quic fast {{ {quic}; {SERVED} }}") };
        sound(&format!(
            r#"tidegate 1
            certificate shop {{ chain "shop.pem"; key "shop.key" }}
            listener https main {{ port 443; {SERVED}; {https} }}
            {fast}
            rules site {{ otherwise {{ respond 204 }} }}"#
        ))
    }

    const SERVED: &str = "certificate shop; rules site";

    fn told(alternatives: &Alternatives, listener: usize, now: Instant) -> Option<String> {
        Some(alternatives.value(ListenerId(listener), now)?.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_listener_tells_of_the_one_that_it_names_while_that_runs() {
        let now = Instant::now();
        for (https, quic, value) in [
            ("quic-upgrade fast", "port 8443", Some("h3=\":8443\"; ma=86400")),
            ("quic-upgrade fast port 443 max-age 1h", "port 8443", Some("h3=\":443\"; ma=3600")),
            ("quic-upgrade fast", "port 8443; state stopped", None),
            ("", "port 8443", None),
        ] {
            let alternatives = Alternatives::of(&plan(https, quic), None, now);
            assert_eq!(told(&alternatives, 0, now).as_deref(), value, "{https} {quic}");
            assert_eq!(told(&alternatives, 1, now), None, "the other tells of nothing");
        }
    }

    #[test]
    fn what_was_offered_is_taken_back_for_as_long_as_clients_may_remember_it() {
        let (offered, gone) = (plan("quic-upgrade fast max-age 1h", "port 8443"), plan("", ""));
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let clear = Some("clear".to_owned());
        for (https, quic) in [("", "port 8443"), ("quic-upgrade fast max-age 1h", "port 8443; state stopped"), ("", "")]
        {
            let first = Alternatives::of(&offered, None, start);
            let second_plan = plan(https, quic);
            let second = Alternatives::of(&second_plan, Some((&offered, &first)), start + minute);
            assert_eq!(told(&second, 0, start + minute), clear, "{https} {quic}");
            assert_eq!(
                told(&second, 0, start + 60 * minute),
                clear,
                "the last client was told a minute after the start"
            );
            assert_eq!(told(&second, 0, start + 61 * minute), None);
            // Reloads put nothing off.
            let third = Alternatives::of(&gone, Some((&second_plan, &second)), start + 30 * minute);
            assert_eq!(told(&third, 0, start + 60 * minute), clear);
            assert_eq!(told(&third, 0, start + 61 * minute), None);
            let late = Alternatives::of(&gone, Some((&second_plan, &second)), start + 61 * minute);
            assert!(matches!(late.0[..], [None]), "it is forgotten");
            let again = Alternatives::of(&offered, Some((&gone, &third)), start + 31 * minute);
            assert!(told(&again, 0, start + 31 * minute).unwrap().starts_with("h3="));
        }
    }

    #[test]
    fn a_listener_elsewhere_has_nothing_to_take_back() {
        let offered = plan("quic-upgrade fast", "port 8443");
        let now = Instant::now();
        let first = Alternatives::of(&offered, None, now);
        let mut moved = plan("", "port 8443");
        moved.listeners.swap(0, 1);
        let second = Alternatives::of(&moved, Some((&offered, &first)), now);
        assert_eq!((told(&second, 0, now), told(&second, 1, now)), (None, Some("clear".to_owned())));
        moved.listeners[1].bind = tidegate_dsl::plan::Bind::Port(444);
        let second = Alternatives::of(&moved, Some((&offered, &first)), now);
        assert_eq!(told(&second, 1, now), None);
    }
}
