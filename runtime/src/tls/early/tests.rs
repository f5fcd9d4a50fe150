//! A client whose early data, and whose end of the handshake, come piece by piece.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::tests::{run, settle};
use crate::tls::handshake::{Secured, finish};
use crate::tls::tests::{Authority, Peer, Secure, shake};

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// A listener that takes early data, and a client that has tickets for it.
struct World {
    listener: Secure,
    client: Arc<ClientConfig>,
}

impl World {
    async fn new() -> Self {
        Self::allowing(limits::EARLY_DATA_BYTES).await
    }

    /// The tickets allow so many bytes of early data, whatever the listener takes.
    async fn allowing(bytes: u32) -> Self {
        let authority = Authority::new("ours");
        let listener = Secure::new("early-data on", authority.certificates());
        let mut client = authority.client(None);
        client.enable_early_data = true;
        let client = Arc::new(client);
        let mut config = ServerConfig::clone(&listener.endpoint().config);
        config.max_early_data_size = bytes;
        let (mut peer, other) = Peer::new(&client);
        assert!(peer.tls.early_data().is_none(), "it has no ticket yet");
        let config = Arc::new(config);
        let (accepted, completed) = tokio::join!(accept(other, &config), peer.complete());
        assert!(completed.is_ok() && matches!(accepted.unwrap(), ClientTls::Open(_)));
        peer.catch_up().await.unwrap();
        Self { listener, client }
    }

    /// A client that said this in early data, and its other end with that on the way; what it sent.
    async fn begin(&self, early: &[u8]) -> (Peer, DuplexStream, Vec<u8>) {
        let (mut peer, other) = Peer::new(&self.client);
        peer.tls.early_data().unwrap().write_all(early).unwrap();
        let flight = peer.flight();
        peer.io.write_all(&flight).await.unwrap();
        (peer, other, flight)
    }

    async fn finish(&self, other: DuplexStream) -> Secured<DuplexStream> {
        finish(other, self.listener.endpoint()).await.unwrap_or_else(|refused| panic!("{refused:?}"))
    }
}

async fn read(stream: &mut ClientTls<DuplexStream>, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// The kind of error that ends the reading of a stream.
async fn ended(stream: &mut ClientTls<DuplexStream>) -> io::ErrorKind {
    stream.read_to_end(&mut Vec::new()).await.unwrap_err().kind()
}

#[test]
fn a_request_is_read_and_answered_before_the_end_of_the_handshake() {
    run(async {
        let world = World::new().await;
        let (mut peer, other, _) = world.begin(GET).await;
        let Secured { mut stream, early, .. } = world.finish(other).await;
        let early = early.unwrap();
        assert_eq!(read(&mut stream, GET.len()).await, GET);
        assert!(early.is_all(), "it is marked");
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        assert!(stream.connection().unwrap().is_handshaking());
        // The client has not sent its end of the handshake yet.
        assert_eq!(peer.said(5).await, b"hello");
        assert!(peer.tls.is_early_data_accepted());
    });
}

#[test]
fn what_comes_behind_the_handshake_waits_until_what_came_early_was_looked_at() {
    run(async {
        let world = World::new().await;
        let (mut peer, other, _) = world.begin(GET).await;
        let Secured { mut stream, early, .. } = world.finish(other).await;
        let early = early.unwrap();
        read(&mut stream, GET.len()).await;
        peer.complete().await.unwrap();
        peer.tls.writer().write_all(b"late").unwrap();
        peer.send().await;
        let mut late = [0; 4];
        {
            let mut reading = std::pin::pin!(stream.read_exact(&mut late));
            for _ in 0..3 {
                let polled = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
                assert!(polled.is_pending() && early.is_all(), "the early request might be taken for a late one");
            }
            early.settle();
            reading.await.unwrap();
        }
        assert_eq!(&late, b"late");
        assert!(!early.is_all(), "no replay comes here");
        assert!(matches!(stream, ClientTls::Open(_)));
        stream.write_all(b"answer").await.unwrap();
        assert_eq!(peer.said(6).await, b"answer");
    });
}

#[test]
fn early_data_that_comes_in_pieces_is_looked_at_piece_by_piece() {
    run(async {
        let world = World::new().await;
        let (mut peer, other, _) = world.begin(b"one").await;
        let Secured { mut stream, early, .. } = world.finish(other).await;
        let early = early.unwrap();
        assert_eq!(read(&mut stream, 3).await, b"one");
        early.settle();
        peer.tls.early_data().unwrap().write_all(b"two").unwrap();
        peer.send().await;
        assert_eq!(read(&mut stream, 3).await, b"two");
        peer.complete().await.unwrap();
        let polled = poll_fn(|cx| {
            let mut buf = [0; 1];
            Poll::Ready(Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut buf)))
        });
        assert!(polled.await.is_pending() && early.is_all(), "the second piece was not looked at");
    });
}

#[test]
fn a_replay_is_not_read() {
    run(async {
        let world = World::new().await;
        let (_peer, other, flight) = world.begin(GET).await;
        let Secured { mut stream, .. } = world.finish(other).await;
        assert_eq!(read(&mut stream, GET.len()).await, GET);
        for _ in 0..2 {
            let (mut attacker, other) = tokio::io::duplex(64 * 1024);
            attacker.write_all(&flight).await.unwrap();
            {
                let mut replayed = std::pin::pin!(finish(other, world.listener.endpoint()));
                let polled = poll_fn(|cx| Poll::Ready(replayed.as_mut().poll(cx).is_ready())).await;
                assert!(!polled, "it takes keys that an attacker does not have to go on");
                attacker.shutdown().await.unwrap();
                assert!(replayed.await.is_err());
            }
        }
    });
}

#[test]
fn early_data_has_its_bound() {
    let most = usize::try_from(limits::EARLY_DATA_BYTES).unwrap();
    for (count, fits) in [(most, true), (most + 1, false)] {
        run(async {
            // The client holds to the bound of its ticket, which is that of a listener with another one.
            let world = World::allowing(2 * limits::EARLY_DATA_BYTES).await;
            let met = Bound::EarlyData.count();
            let (_peer, other, _) = world.begin(&vec![b'a'; count]).await;
            let came = match finish(other, world.listener.endpoint()).await {
                Ok(Secured { mut stream, .. }) => {
                    let mut bytes = vec![0; count];
                    stream.read_exact(&mut bytes).await.map(drop).map_err(|error| error.kind())
                }
                Err(_) => Err(io::ErrorKind::InvalidData),
            };
            assert_eq!(came, if fits { Ok(()) } else { Err(io::ErrorKind::InvalidData) });
            assert_eq!(Bound::EarlyData.count() - met, u64::from(!fits));
        });
    }
}

#[test]
fn the_end_of_the_handshake_has_its_time_whoever_waits_for_it() {
    for reads in [true, false] {
        run(async {
            let world = World::new().await;
            let (_peer, other, _) = world.begin(GET).await;
            let Secured { mut stream, .. } = world.finish(other).await;
            read(&mut stream, GET.len()).await;
            let began = tokio::time::Instant::now();
            let kind = if reads {
                ended(&mut stream).await
            } else {
                // Nobody reads, and the client takes nothing: what it may be ahead of us is bounded.
                let mut failed = None;
                for _ in 0..64 {
                    failed = stream.write_all(&[b'a'; 4096]).await.err();
                    if failed.is_some() {
                        break;
                    }
                }
                failed.unwrap().kind()
            };
            assert_eq!(kind, io::ErrorKind::TimedOut);
            let took = began.elapsed();
            assert!(limits::HANDSHAKE_TIMEOUT <= took && took < 2 * limits::HANDSHAKE_TIMEOUT, "{took:?}");
        });
    }
}

#[test]
fn a_client_that_leaves_or_breaks_off_before_the_end_of_the_handshake_ends_the_stream() {
    run(async {
        let world = World::new().await;
        let (mut peer, other, _) = world.begin(GET).await;
        let Secured { mut stream, .. } = world.finish(other).await;
        peer.io.shutdown().await.unwrap();
        read(&mut stream, GET.len()).await;
        assert_eq!(ended(&mut stream).await, io::ErrorKind::UnexpectedEof);
    });
    run(async {
        let world = World::new().await;
        let (mut peer, other, _) = world.begin(GET).await;
        let Secured { mut stream, early, .. } = world.finish(other).await;
        read(&mut stream, GET.len()).await;
        // A record of application data that no key made.
        peer.io.write_all(&[23, 3, 3, 0, 32]).await.unwrap();
        peer.io.write_all(&[0; 32]).await.unwrap();
        assert_eq!(ended(&mut stream).await, io::ErrorKind::InvalidData);
        assert!(early.unwrap().is_all(), "nothing else was read");
    });
}

#[test]
fn our_side_ends_behind_the_handshake_and_says_so() {
    run(async {
        let world = World::new().await;
        let (mut peer, other, _) = world.begin(GET).await;
        let Secured { mut stream, early, .. } = world.finish(other).await;
        // Nobody reads what came early.
        stream.write_all(b"no").await.unwrap();
        let ending = tokio::task::spawn_local(async move { stream.shutdown().await.map(|()| stream) });
        settle().await;
        assert!(!ending.is_finished(), "the client has its end of the handshake to send");
        peer.complete().await.unwrap();
        assert!(ending.await.unwrap().is_ok());
        assert!(!early.unwrap().is_all());
        assert_eq!(peer.said(99).await, b"no", "what was written, and the end of it");
    });
}

#[test]
fn an_answer_that_is_larger_than_every_buffer_arrives_whole_and_in_order() {
    run(async {
        let world = World::new().await;
        let (mut peer, other, _) = world.begin(GET).await;
        let Secured { mut stream, .. } = world.finish(other).await;
        let answer: Vec<u8> = (0..4 * limits::TLS_BUFFER).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let expected = answer.clone();
        let written = tokio::task::spawn_local(async move {
            stream.write_all(&answer).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(stream.write(&[]).await.unwrap(), 0);
            stream
        });
        settle().await;
        assert!(!written.is_finished(), "it waits for the client");
        assert!(peer.said(expected.len()).await == expected);
        assert!(written.await.is_ok());
    });
}

#[test]
fn a_client_may_announce_early_data_and_send_none() {
    run(async {
        let world = World::new().await;
        let mut shaken = shake(&world.client, world.listener.endpoint()).await;
        shaken.peer.tls.writer().write_all(b"late").unwrap();
        shaken.peer.send().await;
        let Secured { mut stream, early, .. } = shaken.server.unwrap_or_else(|refused| panic!("{refused:?}"));
        let early = early.unwrap();
        early.settle();
        assert_eq!(read(&mut stream, 4).await, b"late");
        assert!(!early.is_all() && matches!(stream, ClientTls::Open(_)));
    });
}
