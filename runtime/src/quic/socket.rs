//! A worker's UDP socket of a listener, which hands packets of other workers' connections over to them.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tidegate_http3::addresses::Addresses;
use tidegate_http3::gquic;
use tokio::sync::mpsc::Receiver;

use crate::quic::shared_endpoint::{Owner, SharedEndpoint};

/// A packet on its way to the worker that owns its connection.
pub struct Datagram {
    bytes: Box<[u8]>,
    from: SocketAddr,
    to: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
}

/// The socket.
pub struct WorkerSocket {
    udp: Arc<dyn AsyncUdpSocket>,
    shared: Arc<SharedEndpoint>,
    worker: u16,
    addresses: Arc<Addresses>,
    /// Packets that other workers received. The lock is never contended: one task reads.
    inbox: Mutex<Receiver<Datagram>>,
}

impl WorkerSocket {
    /// Wraps this worker's socket.
    pub fn new(
        udp: Arc<dyn AsyncUdpSocket>,
        shared: Arc<SharedEndpoint>,
        worker: u16,
        inbox: Receiver<Datagram>,
        addresses: Arc<Addresses>,
    ) -> Self {
        Self { udp, shared, worker, addresses, inbox: Mutex::new(inbox) }
    }

    /// Takes notice of a packet of ours.
    fn notice(&self, packet: &[u8], from: SocketAddr) {
        if let Some(kept) = self.addresses.received(packet, from) {
            // A full socket drops it, as the network would.
            let _ = self.udp.try_send(&kept.transmit());
        }
    }

    /// Takes what was handed over. Registers the task if there was nothing.
    fn receive_handed_over(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let Poll::Ready(Some(datagram)) = inbox.poll_recv(cx) else { break };
            self.notice(&datagram.bytes, datagram.from);
            let length = datagram.bytes.len().min(buf.len());
            buf[..length].copy_from_slice(&datagram.bytes[..length]);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (datagram.from, length, length);
            (meta.ecn, meta.dst_ip) = (datagram.ecn, datagram.to);
            count += 1;
        }
        count
    }

    /// Keeps the datagrams of a buffer that are ours; the others are handed over or answered.
    fn sort(&self, buf: &mut [u8], meta: &mut RecvMeta) {
        let stride = meta.stride.max(1);
        let (mut at, mut kept) = (0, 0);
        while at < meta.len {
            let end = (at + stride).min(meta.len);
            if self.is_ours(&buf[at..end], meta) {
                // Datagrams of one buffer have one length but for the last, so that closing a gap moves none of them
                // off its place.
                if kept != at {
                    buf.copy_within(at..end, kept);
                }
                kept += end - at;
            }
            at = end;
        }
        meta.len = kept;
    }

    fn is_ours(&self, packet: &[u8], meta: &RecvMeta) -> bool {
        if let Owner::Other(shared, owner) = self.shared.owner(packet, self.worker) {
            if let Some(inbox) = shared.inboxes.get(usize::from(owner)) {
                // A full queue drops the packet, as a full socket would: QUIC sends it again.
                let _ =
                    inbox.try_send(Datagram { bytes: packet.into(), from: meta.addr, to: meta.dst_ip, ecn: meta.ecn });
            }
            return false;
        }
        let Some(answer) = gquic::answer(packet) else {
            self.notice(packet, meta.addr);
            return true;
        };
        // Best effort: the client asks again.
        let _ = self.udp.try_send(&Transmit {
            destination: meta.addr,
            ecn: None,
            contents: &answer,
            segment_size: None,
            src_ip: meta.dst_ip,
        });
        false
    }
}

impl fmt::Debug for WorkerSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSocket").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for WorkerSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.udp).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.addresses.send(transmit, |transmit| self.udp.try_send(transmit))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let handed_over = self.receive_handed_over(cx, bufs, metas);
        if handed_over > 0 {
            return Poll::Ready(Ok(handed_over));
        }
        let received = self.udp.poll_recv(cx, bufs, metas);
        if let Poll::Ready(Ok(count)) = &received {
            for (buf, meta) in bufs.iter_mut().zip(metas).take(*count) {
                self.sort(buf, meta);
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.udp.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.udp.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use tidegate_base::limits;

    use super::*;
    use crate::quic::tests::{listener, packet};

    const CLIENT: &str = "192.0.2.1:4711";

    /// A socket in memory.
    #[derive(Debug, Default)]
    struct Udp {
        arrived: Mutex<VecDeque<(Vec<u8>, RecvMeta)>>,
        sent: Mutex<Vec<(SocketAddr, Vec<u8>)>>,
    }

    #[derive(Debug)]
    struct Writable;

    impl UdpPoller for Writable {
        fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncUdpSocket for Udp {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Box::pin(Writable)
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            self.sent.lock().unwrap().push((transmit.destination, transmit.contents.to_vec()));
            Ok(())
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
            metas: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            let mut arrived = self.arrived.lock().unwrap();
            let count = bufs.len().min(arrived.len());
            for ((buf, meta), (bytes, of)) in bufs.iter_mut().zip(metas).zip(arrived.drain(..count)) {
                buf[..bytes.len()].copy_from_slice(&bytes);
                *meta = of;
            }
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(CLIENT.parse().unwrap())
        }
    }

    /// The sockets of two workers.
    struct Pair {
        shared: Arc<SharedEndpoint>,
        udp: Arc<Udp>,
        first: WorkerSocket,
        second: WorkerSocket,
    }

    impl Pair {
        fn new() -> Self {
            let (shared, mut inboxes) = listener(2, None);
            let udp = Arc::<Udp>::default();
            let mut socket = |worker: u16| {
                let own = Arc::clone(&udp) as Arc<dyn AsyncUdpSocket>;
                WorkerSocket::new(own, Arc::clone(&shared), worker, inboxes.remove(0), Arc::default())
            };
            let (first, second) = (socket(0), socket(1));
            Self { shared, udp, first, second }
        }

        /// The socket gets a buffer of datagrams of this length, but for the last.
        fn arrive(&self, stride: usize, datagrams: &[&[u8]]) {
            let bytes = datagrams.concat();
            let meta = RecvMeta {
                addr: CLIENT.parse().unwrap(),
                len: bytes.len(),
                stride,
                ecn: Some(EcnCodepoint::Ce),
                dst_ip: Some("192.0.2.2".parse().unwrap()),
            };
            self.udp.arrived.lock().unwrap().push_back((bytes, meta));
        }

        fn sent(&self) -> Vec<(SocketAddr, Vec<u8>)> {
            std::mem::take(&mut self.udp.sent.lock().unwrap())
        }
    }

    /// What a worker reads, with a buffer of this length.
    fn read_into(socket: &WorkerSocket, length: usize) -> Option<(Vec<u8>, RecvMeta)> {
        let (mut bytes, mut meta) = (vec![0; length], [RecvMeta::default()]);
        let mut cx = Context::from_waker(Waker::noop());
        match socket.poll_recv(&mut cx, &mut [IoSliceMut::new(&mut bytes)], &mut meta) {
            Poll::Ready(count) => assert_eq!(count.unwrap(), 1),
            Poll::Pending => return None,
        }
        bytes.truncate(meta[0].len);
        Some((bytes, meta[0]))
    }

    fn read(socket: &WorkerSocket) -> Option<Vec<u8>> {
        read_into(socket, 64 * 1024).map(|(bytes, _)| bytes)
    }

    #[test]
    fn the_datagrams_of_a_buffer_are_sorted_by_their_owners() {
        let pair = Pair::new();
        let ours = |bytes: &[u8]| packet(&pair.shared, 0, bytes);
        let theirs = |bytes: &[u8]| packet(&pair.shared, 1, bytes);
        let (a, b, c, d) = (ours(b"aaa"), theirs(b"bbb"), ours(b"ccc"), ours(b"d"));
        for (datagrams, kept, handed_over) in [
            (&[&a, &b, &c, &d][..], vec![&a, &c, &d], vec![&b]),
            (&[&b, &a], vec![&a], vec![&b]),
            (&[&b, &b, &d], vec![&d], vec![&b, &b]),
            (&[&a, &c], vec![&a, &c], vec![]),
            (&[&b], vec![], vec![&b]),
        ] {
            let datagrams: Vec<&[u8]> = datagrams.iter().map(|datagram| &datagram[..]).collect();
            pair.arrive(a.len(), &datagrams);
            let (bytes, meta) = read_into(&pair.first, 1024).unwrap();
            let concat = |all: &[&Vec<u8>]| all.iter().flat_map(|one| one.iter().copied()).collect::<Vec<_>>();
            assert_eq!((bytes, meta.stride), (concat(&kept), a.len()));
            for one in handed_over {
                assert_eq!(read(&pair.second).as_ref(), Some(one));
            }
            assert_eq!(read(&pair.second), None);
        }
    }

    #[test]
    fn a_packet_that_is_handed_over_says_where_it_came_from_and_comes_first() {
        let pair = Pair::new();
        let theirs = packet(&pair.shared, 1, b"moved");
        pair.arrive(theirs.len(), &[&theirs]);
        read(&pair.first);
        let own = packet(&pair.shared, 1, b"own");
        pair.arrive(own.len(), &[&own]);
        let (bytes, meta) = read_into(&pair.second, 1024).unwrap();
        assert_eq!((&bytes, meta.stride), (&theirs, theirs.len()));
        assert_eq!((meta.addr, meta.dst_ip), (CLIENT.parse().unwrap(), Some("192.0.2.2".parse().unwrap())));
        assert!(matches!(meta.ecn, Some(EcnCodepoint::Ce)));
        assert_eq!(read(&pair.second), Some(own));
    }

    #[test]
    fn a_packet_that_is_longer_than_its_room_is_cut() {
        let pair = Pair::new();
        let theirs = packet(&pair.shared, 1, &[7; 100]);
        pair.arrive(theirs.len(), &[&theirs]);
        read(&pair.first);
        assert_eq!(read_into(&pair.second, 50).unwrap().0, theirs[..50]);
    }

    #[test]
    fn a_worker_that_does_not_read_costs_no_more_than_its_queue() {
        let pair = Pair::new();
        let theirs = packet(&pair.shared, 1, b"x");
        let all = vec![&theirs[..]; limits::QUIC_HAND_OVER + 10];
        pair.arrive(theirs.len(), &all);
        assert_eq!(read(&pair.first), Some(Vec::new()));
        let mut count = 0;
        while read(&pair.second).is_some() {
            count += 1;
        }
        assert_eq!(count, limits::QUIC_HAND_OVER);
    }

    #[test]
    fn an_older_quic_is_answered_and_goes_no_further() {
        let pair = Pair::new();
        let mut hello = [&[0x09][..], &[7; 8], b"Q043", &[1]].concat();
        hello.resize(1200, 0);
        pair.arrive(hello.len(), &[&hello]);
        assert_eq!(read(&pair.first), Some(Vec::new()));
        let sent = pair.sent();
        assert_eq!((sent.len(), sent[0].0), (1, CLIENT.parse().unwrap()));
        assert!(sent[0].1.len() < 50);
    }

    #[test]
    fn what_comes_from_an_address_bounds_what_goes_there_whichever_socket_it_came_through() {
        // Initial packets, to an id of the client's choice, and to one of the second worker.
        let pair = Pair::new();
        let id = packet(&pair.shared, 1, &[]).split_off(1);
        let initial = |id: &[u8]| {
            let mut packet = [&[0xc0, 0, 0, 0, 1, u8::try_from(id.len()).unwrap()][..], id].concat();
            packet.resize(1200, 0);
            packet
        };
        let answers = |socket: &WorkerSocket| {
            let (answer, destination) = (initial(&[1; 8]), CLIENT.parse().unwrap());
            let send = || Transmit { destination, ecn: None, contents: &answer, segment_size: None, src_ip: None };
            (0..5).for_each(|_| socket.try_send(&send()).unwrap());
            pair.sent().len()
        };
        pair.arrive(1200, &[&initial(&[9; 8])]);
        assert_eq!(read(&pair.first).unwrap().len(), 1200);
        assert_eq!(answers(&pair.first), 3);
        pair.arrive(1200, &[&initial(&id)]);
        read(&pair.first);
        assert_eq!(pair.sent().len(), 0, "it is for the other worker, whose count it is");
        assert_eq!(read(&pair.second).unwrap().len(), 1200);
        assert_eq!(answers(&pair.second), 3);
        pair.arrive(1200, &[&initial(&[9; 8])]);
        read(&pair.first);
        assert_eq!(pair.sent().len(), 1, "what was kept goes as soon as it may");
    }
}
