//! Session tickets whose keys are derived from the secrets of the policy: every gateway that has them takes them, also after
//! a start.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use tidegate_base::limits;
use tidegate_base::seal::SealKey;
use tidegate_base::secret::KEY;

/// Bytes of chance in a ticket: each has a key of its own, so that no nonce comes twice.
const SALT: usize = 16;

/// Bytes of the number of the time in which a ticket was made.
const PERIOD: usize = 8;

/// Makes and reads the tickets of a listener.
pub struct Tickets {
    /// The first makes, all are accepted.
    keys: Vec<[u8; KEY]>,
    /// The scope of the tickets: the listener, and whom it trusts.
    scope: Vec<u8>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tickets by {} keys", self.keys.len())
    }
}

impl Tickets {
    /// Tickets by these keys, of which there is at least one, for what the scope says and for nothing else.
    pub fn new(keys: Vec<[u8; KEY]>, scope: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { keys, scope })
    }

    fn seal(&self, plain: &[u8], period: u64) -> Option<Vec<u8>> {
        let mut ticket = period.to_be_bytes().to_vec();
        let mut salt = [0; SALT];
        rand::fill(&mut salt).ok()?;
        ticket.extend_from_slice(&salt);
        let mut sealed = plain.to_vec();
        self.key(self.keys.first()?, &ticket)?.seal(&mut sealed, &[])?;
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (head, sealed) = ticket.split_at_checked(PERIOD + SALT)?;
        let period = u64::from_be_bytes(head.get(..PERIOD)?.try_into().ok()?);
        // One period ahead is a gateway whose clock is.
        if period > now.saturating_add(1) || now.saturating_sub(period) > 1 {
            return None;
        }
        self.keys.iter().find_map(|key| self.key(key, head)?.open(sealed, &[]))
    }

    /// The key of one ticket.
    fn key(&self, from: &[u8; KEY], head: &[u8]) -> Option<SealKey> {
        SealKey::derived(from, &[head, &self.scope])
    }
}

fn period() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / limits::TICKET_PERIOD.as_secs()
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(limits::TICKET_PERIOD.as_secs() * 2).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, period())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, period())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn tickets(keys: &[u8], scope: &str) -> Arc<Tickets> {
        Tickets::new(keys.iter().map(|key| [*key; KEY]).collect(), scope.into())
    }

    #[test]
    fn whoever_has_the_secret_reads_them_for_their_time() {
        let ticket = tickets(&[1], "web").seal(b"session", 100).unwrap();
        for now in [99, 100, 101] {
            assert_eq!(tickets(&[1], "web").open(&ticket, now).as_deref(), Some(&b"session"[..]));
        }
        for now in [0, 98, 102, u64::MAX] {
            assert_eq!(tickets(&[1], "web").open(&ticket, now), None, "{now}");
        }
        assert_eq!(tickets(&[2, 1], "web").open(&ticket, 100).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(&[2], "web").open(&ticket, 100), None, "another secret");
        assert_eq!(tickets(&[1], "api").open(&ticket, 100), None, "another listener");
        assert_eq!(tickets(&[1], "web").decrypt(&tickets(&[1], "web").encrypt(b"x").unwrap()).unwrap(), b"x");
    }

    #[test]
    fn what_is_no_ticket_is_none() {
        let tickets = tickets(&[1], "web");
        let ticket = tickets.seal(b"session", 100).unwrap();
        assert_ne!(ticket, tickets.seal(b"session", 100).unwrap());
        for length in 0..ticket.len() {
            assert_eq!(tickets.open(&ticket[..length], 100), None);
        }
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(tickets.open(&other, 100), None, "byte {at}");
        }
    }
}
