//! Connection ids that say which worker owns the connection (in the spirit of QUIC-LB, draft-ietf-quic-load-balancers).

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use quinn::{ConnectionId, ConnectionIdGenerator};

/// Length of every connection id of ours, in bytes: six that no other id has, four that only we can read.
pub const LENGTH: usize = 10;
const NONCE: usize = 6;

/// The keys that make and read the connection ids of one listener.
///
/// An id is a nonce, then the worker's number and sixteen zero bits, both masked by a keyed hash of the nonce
/// (SipHash with a key from the system). An observer cannot tell the worker, nor whether two ids belong together; what
/// is not ours is taken for ours once in 65,536 times, which costs a hand-over and nothing else.
#[derive(Debug, Default)]
pub struct CidKeys {
    nonces: RandomState,
    masks: RandomState,
}

impl CidKeys {
    /// The worker that owns the connection; `None` if the id is not ours.
    pub fn owner(&self, cid: &[u8]) -> Option<u16> {
        let (nonce, masked) = cid.split_first_chunk::<NONCE>()?;
        let plain = u32::from_be_bytes(masked.try_into().ok()?) ^ self.mask(*nonce);
        let [high, low, 0, 0] = plain.to_be_bytes() else { return None };
        Some(u16::from_be_bytes([high, low]))
    }

    fn make(&self, worker: u16, count: u64) -> [u8; LENGTH] {
        let mut cid = [0; LENGTH];
        let hash = self.nonces.hash_one((worker, count)).to_be_bytes();
        let (nonce, masked) = cid.split_at_mut(NONCE);
        nonce.copy_from_slice(&hash[..NONCE]);
        let mask = self.mask([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]]);
        masked.copy_from_slice(&((u32::from(worker) << 16) ^ mask).to_be_bytes());
        cid
    }

    fn mask(&self, nonce: [u8; NONCE]) -> u32 {
        let [a, b, c, d, ..] = self.masks.hash_one(nonce).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Whether a packet has a long header, as those of handshakes do (RFC 8999, 5.1).
pub fn is_long(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & 0x80 != 0)
}

/// The connection id that a packet is sent to, if it has the length of ours (RFC 8999, 5).
pub fn destination(packet: &[u8]) -> Option<&[u8]> {
    let (first, rest) = packet.split_first()?;
    if first & 0x80 == 0 {
        return rest.get(..LENGTH);
    }
    // Long header: four bytes of version, then the length of the id.
    let (length, rest) = rest.get(4..)?.split_first()?;
    (usize::from(*length) == LENGTH).then(|| rest.get(..LENGTH)).flatten()
}

/// The connection id that a packet with a long header comes from, if it has the length of ours (RFC 8999, 5.1).
pub fn source(packet: &[u8]) -> Option<&[u8; LENGTH]> {
    let (length, rest) = packet.get(5..)?.split_first()?;
    let (length, rest) = rest.get(usize::from(*length)..)?.split_first()?;
    let id = rest.first_chunk()?;
    (is_long(packet) && usize::from(*length) == LENGTH).then_some(id)
}

/// Makes the ids of one worker's connections.
#[derive(Debug)]
pub struct WorkerCids {
    keys: Arc<CidKeys>,
    worker: u16,
    count: u64,
}

impl WorkerCids {
    /// A generator for this worker.
    pub const fn new(keys: Arc<CidKeys>, worker: u16) -> Self {
        Self { keys, worker, count: 0 }
    }
}

impl ConnectionIdGenerator for WorkerCids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.count += 1;
        ConnectionId::new(&self.keys.make(self.worker, self.count))
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), quinn_proto::InvalidCid> {
        self.keys.owner(cid).map(|_| ()).ok_or(quinn_proto::InvalidCid)
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_worker_and_no_two_are_the_same() {
        let keys = Arc::new(CidKeys::default());
        let mut seen = std::collections::HashSet::new();
        for worker in [0, 1, 7, 300, u16::MAX] {
            let mut cids = WorkerCids::new(Arc::clone(&keys), worker);
            for _ in 0..1000 {
                let cid = cids.generate_cid();
                assert_eq!(keys.owner(&cid), Some(worker));
                assert!(cids.validate(&cid).is_ok());
                assert!(seen.insert(cid));
            }
        }
    }

    #[test]
    fn what_is_not_ours_has_no_owner() {
        let (keys, other) = (CidKeys::default(), CidKeys::default());
        let foreign = (0..10_000).filter(|count| keys.owner(&other.make(1, *count)).is_some()).count();
        assert!(foreign < 10, "{foreign} of 10,000 ids of another process were taken for ours");
        assert_eq!(keys.owner(&[0; 8]), None);
        assert_eq!(keys.owner(&[]), None);
    }

    #[test]
    fn the_destination_is_found_in_both_kinds_of_header() {
        let short: Vec<u8> = [0x40].into_iter().chain(1..=20).collect();
        assert_eq!(destination(&short), Some(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10][..]));
        let long: Vec<u8> = [0xc0, 0, 0, 0, 1, 10].into_iter().chain(1..=20).collect();
        assert_eq!(destination(&long), Some(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10][..]));
        let other: Vec<u8> = [0xc0, 0, 0, 0, 1, 8].into_iter().chain(1..=20).collect();
        assert_eq!(destination(&other), None);
        assert_eq!(destination(&long[..12]), None);
        assert_eq!(destination(&[]), None);
    }

    #[test]
    fn the_source_is_found_in_a_long_header() {
        let long: Vec<u8> = [0xc0, 0, 0, 0, 1, 2, 98, 99, 10].into_iter().chain(1..=20).collect();
        assert_eq!(source(&long), Some(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        let short: Vec<u8> = [0x40].into_iter().chain(long[1..].iter().copied()).collect();
        assert_eq!(source(&short), None);
        let other: Vec<u8> = [0xc0, 0, 0, 0, 1, 0, 8].into_iter().chain(1..=20).collect();
        assert_eq!(source(&other), None);
        for end in 0..19 {
            assert_eq!(source(&long[..end]), None);
        }
    }
}
