//! Addresses that begin connections and have not shown yet that they get what is sent to them: at most three times as many
//! bytes go there as came from there (RFC 9000, 8.1).
//!
//! The library counts for each connection, but lets a whole datagram go while one byte of the allowance is left. Here it is
//! counted for each address, at the socket, and to the byte. The datagram that would be too much is kept until the address
//! has sent more or is proved, so that a long chain of certificates costs an honest client the round trip that it has to, and
//! no wait for a loss.
//!
//! A handshake is made of packets with long headers, and of one with a short header, which brings the client its connection ids.
//! All others are not looked at: the packets of connections cost nothing here, and a forged first packet holds up no more of
//! them than a lost one would.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use quinn::udp::{EcnCodepoint, Transmit};
use tidegate_base::bounds::Bound;
use tidegate_base::limits;

use crate::connection_id;

/// The bytes that may go to an address for each that came from there (RFC 9000, 8.1).
const FACTOR: u64 = 3;

/// The least length of a datagram that begins a connection (RFC 9000, 14.1).
const FIRST: usize = 1200;

/// The length of the datagram that brings a client its connection ids during the handshake, at most: seven frames of 30 bytes
/// (RFC 9000, 19.15), a header of 25 at most, and 16 that authenticate it.
const IDS: usize = 256;

/// The addresses that a worker's socket of a listener hears of. The lock is never contended: only that worker's thread takes it.
#[derive(Default)]
pub struct Addresses(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// Addresses that began a connection of late.
    beginners: HashMap<SocketAddr, Beginner>,
    swept: Option<Instant>,
}

struct Beginner {
    /// The time of the last first packet, of those before the address was proved.
    seen: Instant,
    /// Datagrams with connection ids that may still come: one for each first packet.
    ids_to_come: u32,
    proved: bool,
    received: u64,
    sent: u64,
    /// The connection ids of ours that were last sent there. Whoever sends to one of them got it (RFC 9000, 8.1).
    ids: [[u8; connection_id::LENGTH]; limits::QUIC_ADDRESS_IDS],
    /// The number of ids that were sent there.
    told: usize,
    kept: Option<Kept>,
}

/// A datagram that waits for its address to send more.
pub struct Kept {
    to: SocketAddr,
    from: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    bytes: Box<[u8]>,
}

impl Kept {
    /// The datagram as a socket takes it.
    pub fn transmit(&self) -> Transmit<'_> {
        Transmit { destination: self.to, ecn: self.ecn, contents: &self.bytes, segment_size: None, src_ip: self.from }
    }
}

impl Beginner {
    fn new(seen: Instant) -> Self {
        let ids = [[0; connection_id::LENGTH]; limits::QUIC_ADDRESS_IDS];
        Self { seen, ids_to_come: 0, proved: false, received: 0, sent: 0, ids, told: 0, kept: None }
    }

    /// Whether a datagram to the address is of a handshake whose client has not shown yet that it is there.
    fn counts(&self, long: bool) -> bool {
        !self.proved && (long || self.ids_to_come > 0)
    }

    /// Whether so many more bytes may go to the address.
    fn may_get(&self, length: usize) -> bool {
        self.proved || self.sent.saturating_add(length as u64) <= self.received.saturating_mul(FACTOR)
    }

    fn was_told(&self, id: &[u8]) -> bool {
        self.ids.iter().take(self.told).any(|told| told == id)
    }

    /// Remembers what goes to the address.
    fn sent(&mut self, datagram: &[u8]) {
        self.sent = self.sent.saturating_add(datagram.len() as u64);
        if let Some(id) = connection_id::source(datagram).filter(|id| !self.was_told(*id)) {
            if let Some(place) = self.ids.get_mut(self.told % limits::QUIC_ADDRESS_IDS) {
                *place = *id;
            }
            self.told += 1;
        }
    }

    /// Keeps one datagram. The library goes beyond the allowance by no more; of others it learns that they are lost.
    fn keep(&mut self, transmit: &Transmit<'_>, datagram: &[u8]) {
        Bound::QuicUnproved.met();
        if self.kept.is_none() {
            let (to, from, ecn) = (transmit.destination, transmit.src_ip, transmit.ecn);
            self.kept = Some(Kept { to, from, ecn, bytes: datagram.into() });
        }
    }

    /// The kept datagram, if it may go now.
    fn release(&mut self) -> Option<Kept> {
        let length = self.kept.as_ref()?.bytes.len();
        let kept = self.may_get(length).then(|| self.kept.take()).flatten()?;
        self.sent(&kept.bytes);
        Some(kept)
    }
}

impl Addresses {
    /// Takes notice of a datagram. Gives what was kept for its address and may be sent now.
    pub fn received(&self, datagram: &[u8], from: SocketAddr) -> Option<Kept> {
        if !connection_id::is_long(datagram) {
            return None;
        }
        self.table().received(datagram, from, Instant::now())
    }

    /// Sends as much as its address may get.
    ///
    /// # Errors
    /// The socket's.
    pub fn send(&self, transmit: &Transmit<'_>, socket: impl Fn(&Transmit<'_>) -> io::Result<()>) -> io::Result<()> {
        let long = connection_id::is_long(transmit.contents);
        if !long && transmit.contents.len() > IDS {
            return socket(transmit);
        }
        match self.table().beginners.get_mut(&transmit.destination) {
            Some(beginner) if beginner.counts(long) => {
                send_within(beginner, transmit, socket)?;
                beginner.ids_to_come = beginner.ids_to_come.saturating_sub(u32::from(!long));
                Ok(())
            }
            _ => socket(transmit),
        }
    }

    /// Whether what the address gets is counted, unless it is proved. If not, the table had no place for it.
    pub fn knows(&self, address: SocketAddr) -> bool {
        self.table().beginners.contains_key(&address)
    }

    /// The address has shown by a token that it gets what is sent there.
    pub fn prove(&self, address: SocketAddr) {
        if let Some(beginner) = self.table().beginners.get_mut(&address) {
            beginner.proved = true;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn received(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) -> Option<Kept> {
        self.sweep(now);
        let begins = begins(datagram);
        if begins && !self.beginners.contains_key(&from) {
            if self.beginners.len() >= limits::QUIC_ADDRESSES {
                // Nothing of these is counted any more.
                self.beginners.retain(|_, beginner| !beginner.proved);
            }
            if self.beginners.len() >= limits::QUIC_ADDRESSES {
                Bound::QuicAddresses.met();
                return None;
            }
            self.beginners.insert(from, Beginner::new(now));
        }
        let beginner = self.beginners.get_mut(&from).filter(|beginner| !beginner.proved)?;
        if begins {
            beginner.seen = now;
            beginner.ids_to_come = beginner.ids_to_come.saturating_add(1);
        }
        beginner.received = beginner.received.saturating_add(datagram.len() as u64);
        beginner.proved = connection_id::destination(datagram).is_some_and(|id| beginner.was_told(id));
        beginner.release()
    }

    /// Forgets who began nothing for so long that no handshake of it is under way. At most once in a while: a full table is
    /// not looked through for each packet of a flood.
    fn sweep(&mut self, now: Instant) {
        let since = |time: Instant| now.saturating_duration_since(time);
        if self.swept.is_none_or(|swept| since(swept) >= limits::QUIC_ADDRESS_SWEEP) {
            self.swept = Some(now);
            self.beginners.retain(|_, beginner| since(beginner.seen) < limits::QUIC_ADDRESS_LIFE);
        }
    }
}

/// Sends the datagrams of a batch that the address may get, and keeps the first of the others.
fn send_within(
    beginner: &mut Beginner,
    transmit: &Transmit<'_>,
    socket: impl Fn(&Transmit<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
    let mut allowed = 0;
    for datagram in transmit.contents.chunks(size) {
        if !beginner.may_get(allowed + datagram.len()) {
            break;
        }
        allowed += datagram.len();
    }
    let (goes, stays) = transmit.contents.split_at(allowed);
    if !goes.is_empty() {
        // More than one datagram is a batch.
        let segment_size = transmit.segment_size.filter(|size| *size < goes.len());
        socket(&Transmit { contents: goes, segment_size, ..*transmit })?;
        for datagram in goes.chunks(size) {
            beginner.sent(datagram);
        }
    }
    for datagram in stays.chunks(size) {
        beginner.keep(transmit, datagram);
    }
    Ok(())
}

/// Whether a datagram begins a connection of version 1, as far as can be seen from outside: a long header of type Initial (RFC
/// 9000, 17.2.2), the fixed bit as it may be (RFC 9287).
fn begins(datagram: &[u8]) -> bool {
    let initial = datagram.first().is_some_and(|first| first & 0xb0 == 0x80);
    initial && datagram.len() >= FIRST && datagram.get(1..5) == Some(&[0, 0, 0, 1])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const ID: &[u8; connection_id::LENGTH] = b"0123456789";

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// A first packet.
    fn initial() -> Vec<u8> {
        let mut packet = [&[0xc0, 0, 0, 0, 1, 8][..], &[7; 8], &[0]].concat();
        packet.resize(FIRST, 0);
        packet
    }

    /// A later packet of a handshake, to this connection id.
    fn handshake(id: &[u8]) -> Vec<u8> {
        [&[0xe0, 0, 0, 0, 1, 10][..], id].concat()
    }

    /// Whether the address of the first client is proved.
    fn proved(addresses: &Addresses) -> bool {
        addresses.table().beginners[&client(1)].proved
    }

    /// A datagram of ours, which tells the connection id.
    fn answer(length: usize) -> Vec<u8> {
        let mut packet = [&[0xc0, 0, 0, 0, 1, 0, 10][..], ID].concat();
        packet.resize(length, 0);
        packet
    }

    /// The lengths of the batches that are let go.
    fn send(addresses: &Addresses, contents: &[u8], segment_size: Option<usize>) -> Vec<(usize, Option<usize>)> {
        let sent: RefCell<Vec<(usize, Option<usize>)>> = RefCell::default();
        let transmit = Transmit { destination: client(1), ecn: None, contents, segment_size, src_ip: None };
        let socket = |transmit: &Transmit<'_>| {
            sent.borrow_mut().push((transmit.contents.len(), transmit.segment_size));
            Ok(())
        };
        addresses.send(&transmit, socket).unwrap();
        sent.into_inner()
    }

    #[test]
    fn three_times_what_came_goes_out_and_not_a_byte_more() {
        let addresses = Addresses::default();
        assert!(addresses.received(&initial(), client(1)).is_none());
        let before = Bound::QuicUnproved.count();
        assert_eq!(send(&addresses, &answer(2400), Some(1200)), [(2400, Some(1200))]);
        assert_eq!(send(&addresses, &answer(1199), None), [(1199, None)], "below");
        assert_eq!(send(&addresses, &answer(2), None), [], "above");
        assert!(Bound::QuicUnproved.count() > before);
        assert_eq!(send(&addresses, &answer(1), None), [(1, None)], "at");
        assert_eq!(send(&addresses, &answer(1), None), []);
        // Others are not concerned, and more may go when more came.
        assert!(addresses.received(&[0xe0; 50], client(2)).is_none());
        let kept = addresses.received(&[0xe0; 50], client(1)).unwrap();
        assert_eq!(kept.transmit().contents.len(), 2, "what was too much goes now");
        assert_eq!(send(&addresses, &answer(148), None), [(148, None)]);
        assert_eq!(send(&addresses, &answer(1), None), []);
    }

    #[test]
    fn a_batch_goes_as_far_as_it_may() {
        let addresses = Addresses::default();
        addresses.received(&initial(), client(1));
        assert_eq!(send(&addresses, &answer(4024), Some(1200)), [(3600, Some(1200))]);
        let kept = addresses.received(&initial(), client(1)).unwrap();
        assert_eq!(kept.transmit().contents.len(), 424);
        // A batch of one is none.
        assert_eq!(send(&addresses, &answer(3400), Some(1700)), [(1700, None)]);
    }

    #[test]
    fn an_error_of_the_socket_is_told_and_what_did_not_go_is_not_counted() {
        let addresses = Addresses::default();
        addresses.received(&initial(), client(1));
        let contents = answer(3600);
        let transmit =
            Transmit { destination: client(1), ecn: None, contents: &contents, segment_size: None, src_ip: None };
        let full = |_: &Transmit<'_>| Err(io::Error::from(io::ErrorKind::WouldBlock));
        assert_eq!(addresses.send(&transmit, full).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(send(&addresses, &contents, None), [(3600, None)]);
    }

    #[test]
    fn who_sends_to_an_id_that_was_told_there_is_proved() {
        let addresses = Addresses::default();
        addresses.received(&initial(), client(1));
        // Nobody was told it yet.
        assert!(addresses.received(&handshake(ID), client(1)).is_none());
        assert!(!proved(&addresses));
        send(&addresses, &answer(1200), None);
        send(&addresses, &answer(9000), None);
        addresses.received(&handshake(b"9876543210"), client(1));
        addresses.received(&handshake(ID), client(2));
        assert!(!proved(&addresses), "another id, and another address");
        let kept = addresses.received(&handshake(ID), client(1)).unwrap();
        assert_eq!(kept.transmit().contents.len(), 9000);
        assert!(proved(&addresses));
        // Further first packets change nothing.
        addresses.received(&initial(), client(1));
        assert_eq!(send(&addresses, &answer(60_000), None), [(60_000, None)]);
    }

    #[test]
    fn a_token_proves_an_address() {
        let addresses = Addresses::default();
        addresses.prove(client(1));
        assert!(!addresses.knows(client(1)), "who began nothing needs no place");
        addresses.received(&initial(), client(1));
        addresses.prove(client(1));
        assert!(proved(&addresses));
        assert_eq!(send(&addresses, &answer(9000), None), [(9000, None)]);
    }

    #[test]
    fn connections_are_not_held_up_by_a_forged_first_packet() {
        let addresses = Addresses::default();
        addresses.received(&initial(), client(1));
        let short = [0x40; 9000];
        assert_eq!(send(&addresses, &short, Some(1200)), [(9000, Some(1200))], "whatever is long");
        assert!(addresses.received(&short, client(1)).is_none());
        assert_eq!(send(&addresses, &answer(3600), None), [(3600, None)], "nor does it count");
        assert_eq!(send(&addresses, &short[..IDS], None), [], "one that is as short as that with the ids");
        for length in [1, IDS, IDS + 1] {
            assert_eq!(send(&addresses, &short[..length], None), [(length, None)], "and no further one");
        }
    }

    #[test]
    fn the_connection_ids_of_a_handshake_count() {
        let addresses = Addresses::default();
        addresses.received(&initial(), client(1));
        assert_eq!(send(&addresses, &[0x40; 146], None), [(146, None)]);
        assert_eq!(send(&addresses, &answer(3600 - 146), None), [(3600 - 146, None)]);
        assert_eq!(send(&addresses, &answer(1), None), []);
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let most = u16::try_from(limits::QUIC_ADDRESSES).unwrap();
        let addresses = Addresses::default();
        let before = Bound::QuicAddresses.count();
        for port in 1..=most {
            addresses.received(&initial(), client(port));
        }
        assert!(addresses.knows(client(most)));
        assert_eq!(Bound::QuicAddresses.count(), before);
        addresses.received(&initial(), client(most + 1));
        assert!(!addresses.knows(client(most + 1)));
        assert_eq!(Bound::QuicAddresses.count(), before + 1);
        // Those that are proved make room.
        addresses.prove(client(2));
        addresses.received(&initial(), client(most + 1));
        assert!(addresses.knows(client(most + 1)) && addresses.knows(client(1)) && !addresses.knows(client(2)));
        let now = Instant::now();
        addresses.table().sweep(now + limits::QUIC_ADDRESS_LIFE - Duration::from_secs(5));
        assert!(addresses.knows(client(1)));
        addresses.table().sweep(now + limits::QUIC_ADDRESS_LIFE);
        assert!(!addresses.knows(client(1)));
    }

    #[test]
    fn only_first_packets_make_an_entry() {
        let addresses = Addresses::default();
        let mut version = initial();
        version[4] = 2;
        let mut handshake = initial();
        handshake[0] = 0xe0;
        for packet in [&initial()[..FIRST - 1], &version, &handshake, &[0x40; FIRST], &[]] {
            addresses.received(packet, client(1));
            assert!(!addresses.knows(client(1)));
        }
    }

    /// What happens at a socket.
    #[derive(Debug, Clone)]
    enum Event {
        /// A first packet comes.
        Initial,
        /// A packet of so many bytes comes, with a long header.
        Long(usize),
        /// Something of so many bytes is to go, perhaps in datagrams of so many.
        Answer(usize, Option<usize>),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Initial),
            (1_usize..2000).prop_map(Event::Long),
            (1_usize..9000, proptest::option::of(1_usize..1500)).prop_map(|(length, size)| Event::Answer(length, size)),
        ]
    }

    proptest! {
        /// Whatever comes and goes, an address that proves nothing gets three times as much as came from there at most, and gets
        /// all of that if there is so much to say in one datagram.
        #[test]
        fn nobody_gets_more_than_three_times_what_came(events in proptest::collection::vec(event(), 1..40)) {
            let addresses = Addresses::default();
            let (mut came, mut went) = (0, 0);
            let receive = |datagram: &[u8]| addresses.received(datagram, client(1)).map_or(0, |kept| kept.transmit().contents.len());
            went += receive(&initial());
            came += FIRST;
            for event in events {
                match event {
                    Event::Initial => (came, went) = (came + FIRST, went + receive(&initial())),
                    Event::Long(length) => {
                        let mut packet = handshake(b"9876543210");
                        packet.resize(length, 0);
                        (came, went) = (came + length, went + receive(&packet));
                    }
                    Event::Answer(length, size) => {
                        let sent: usize = send(&addresses, &answer(length), size).iter().map(|(length, _)| length).sum();
                        if size.is_none() {
                            prop_assert_eq!(sent, if went + length <= 3 * came { length } else { 0 });
                        }
                        went += sent;
                    }
                }
                prop_assert!(went <= 3 * came, "{went} went for {came}");
            }
        }
    }
}
