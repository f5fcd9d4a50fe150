//! What must hold for every datagram that comes to a QUIC socket.

use std::sync::Arc;

use quinn::ConnectionIdGenerator;
use tidegate_http3::connection_id::{self, CidKeys, LENGTH, WorkerCids};
use tidegate_http3::gquic;

/// Ids are found where they stand, whatever surrounds them, and name their worker.
///
/// The first two bytes are the number of a worker, the third the length of the other id.
pub fn connection_ids(input: &[u8]) {
    let destination = connection_id::destination(input);
    assert!(destination.is_none_or(|id| id.len() == LENGTH && contains(input, id)));
    let source = connection_id::source(input);
    assert!(source.is_none_or(|id| connection_id::is_long(input) && contains(input, id)));
    let [high, low, length, rest @ ..] = input else { return };
    let (worker, other) = (u16::from_be_bytes([*high, *low]), rest.get(..usize::from(*length)).unwrap_or(rest));
    let keys = Arc::new(CidKeys::default());
    let id = WorkerCids::new(Arc::clone(&keys), worker).generate_cid();
    let first = rest.first().copied().unwrap_or_default();
    let short = [&[first & 0x7f], &id[..], rest].concat();
    assert_eq!(connection_id::destination(&short).and_then(|id| keys.owner(id)), Some(worker));
    assert_eq!(connection_id::source(&short), None);
    let (ours, theirs) = (u8::try_from(id.len()).unwrap_or_default(), u8::try_from(other.len()).unwrap_or_default());
    let to = [&[first | 0x80, 0, 0, 0, 1, ours], &id[..], &[theirs], other, rest].concat();
    assert_eq!(connection_id::destination(&to), Some(&id[..]));
    let from = [&[first | 0x80, 0, 0, 0, 1, theirs], other, &[ours], &id[..], rest].concat();
    assert_eq!(connection_id::source(&from).map(|id| &id[..]), Some(&id[..]));
    for packet in [to, from] {
        for end in 0..packet.len().min(2 * LENGTH) {
            let _ = (connection_id::destination(&packet[..end]), connection_id::source(&packet[..end]));
        }
    }
}

/// An answer is no longer than its packet, names version 1, and is answered by nobody; packets of the IETF's versions are left
/// alone.
pub fn gquic(input: &[u8]) {
    let Some(answer) = gquic::answer(input) else { return };
    assert!(answer.len() <= input.len());
    assert!(answer.ends_with(&[0, 0, 0, 1]));
    assert_eq!(gquic::answer(&answer), None, "two servers do not answer each other");
    let of_the_ietf = connection_id::is_long(input) && input.get(1..4) == Some(&[0, 0, 0]);
    assert!(!of_the_ietf);
}

fn contains(packet: &[u8], id: &[u8]) -> bool {
    packet.windows(id.len()).any(|window| window == id)
}
