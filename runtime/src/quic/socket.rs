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
