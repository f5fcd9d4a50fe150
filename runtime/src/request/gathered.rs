//! Bodies that are held whole, because an extension wants to see them so.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tidegate_base::bounds::Bound;
use tidegate_base::room::Share;

use crate::request::state::StreamState;

/// A body that grows. What it takes is counted for its connection and its worker until the last of its bytes has left.
pub(super) struct Gathered {
    data: BytesMut,
    room: Held,
}

/// The room that a body takes.
struct Held {
    of_connection: Share,
    of_worker: Share,
}

/// There is no room for more.
#[derive(Debug)]
pub(super) struct NoRoom;

/// Bytes that are counted as long as somebody has a part of them.
struct Counted {
    data: Bytes,
    _room: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Gathered {
    /// A body of which no byte has come yet.
    pub(super) fn new(state: &StreamState) -> Self {
        Self { data: BytesMut::new(), room: Held::of(state) }
    }

    /// The number of bytes so far.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Takes more, if there is room.
    pub(super) fn add(&mut self, more: &[u8]) -> Result<(), NoRoom> {
        self.data.reserve(more.len());
        self.room.grow_to(self.data.capacity())?;
        self.data.extend_from_slice(more);
        Ok(())
    }

    /// The whole body.
    pub(super) fn bytes(self) -> Bytes {
        self.room.over(self.data.freeze())
    }
}

/// The bytes that a body gave, and whether they are all.
pub(super) type Read = Result<(Bytes, bool), Unread>;

/// The reason why a body was not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The body failed.
    Broken,
    /// The body would have to be held, and there is no room.
    NoRoom,
}

/// Reads a body to its end, or until it is longer than `most` bytes.
pub(super) async fn read<B>(state: &StreamState, body: &mut B, most: usize) -> Read
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut data = Gathered::new(state);
    while let Some(frame) = body.frame().await {
        state.note_upstream();
        // Trailers of a body that somebody wanted whole end here (RFC 9110, 6.5.1, lets them).
        if let Ok(more) = frame.map_err(|_| Unread::Broken)?.into_data() {
            data.add(&more).map_err(|NoRoom| Unread::NoRoom)?;
            if data.len() > most {
                return Ok((data.bytes(), false));
            }
        }
    }
    Ok((data.bytes(), true))
}

/// Counts what an extension put in place of a body.
pub(super) fn counted(data: Bytes, state: &StreamState) -> Result<Bytes, NoRoom> {
    let mut room = Held::of(state);
    room.grow_to(data.len())?;
    Ok(room.over(data))
}

impl Held {
    fn of(state: &StreamState) -> Self {
        let (connection, worker) = (state.connection.gathered(), &state.worker().gathered);
        Self { of_connection: connection.share(), of_worker: worker.share() }
    }

    fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.of_connection.grow_to(bytes) && self.of_worker.grow_to(bytes) {
            return Ok(());
        }
        Bound::Gathered.met();
        Err(NoRoom)
    }

    fn over(self, data: Bytes) -> Bytes {
        if data.is_empty() { Bytes::new() } else { Bytes::from_owner(Counted { data, _room: self }) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::convert::Infallible;

    use http::HeaderMap;
    use http_body::Frame;
    use tidegate_base::limits::{GATHERED_BYTES_CONNECTION, GATHERED_BYTES_WORKER};

    use super::*;
    use crate::tests::{House, run};

    /// A body of these pieces, and a trailer.
    fn body(pieces: &[&'static str]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let data = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let frames: Vec<_> = data.chain([Ok(Frame::trailers(HeaderMap::new()))]).collect();
        Frames(frames.into_iter())
    }

    struct Frames(std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::Poll::Ready(self.0.next())
        }
    }

    #[test]
    fn a_body_is_read_to_its_end_unless_it_is_longer() {
        for (most, whole) in [(4, false), (5, true), (6, true)] {
            let read = run(async { read(&House::answering("").stream(), &mut body(&["hel", "lo"]), most).await });
            let (data, ended) = read.unwrap();
            assert_eq!((&*data, ended), (&b"hello"[..], whole), "{most}");
        }
    }

    #[test]
    fn what_a_connection_holds_is_bounded_and_free_again_with_the_last_byte() {
        let house = House::answering("");
        let stream = house.stream();
        let met = Bound::Gathered.count();
        let held = counted(vec![0; GATHERED_BYTES_CONNECTION].into(), &stream).unwrap();
        assert!(counted(Bytes::from_static(b"x"), &stream).is_err(), "above");
        assert!(Bound::Gathered.count() > met);
        assert!(counted(Bytes::from_static(b"x"), &house.stream()).is_ok(), "another connection has its own room");
        let part = held.slice(..1);
        drop(held);
        assert!(counted(Bytes::from_static(b"x"), &stream).is_err(), "somebody has a part");
        drop(part);
        assert!(counted(vec![0; GATHERED_BYTES_CONNECTION].into(), &stream).is_ok());
    }

    #[test]
    fn what_a_worker_holds_is_bounded_over_its_connections() {
        let house = House::answering("");
        let of_each = || counted(vec![0; GATHERED_BYTES_CONNECTION].into(), &house.stream());
        let held: Vec<_> = (0..GATHERED_BYTES_WORKER / GATHERED_BYTES_CONNECTION).map(|_| of_each().unwrap()).collect();
        assert!(counted(Bytes::from_static(b"x"), &house.stream()).is_err());
        drop(held);
        assert!(of_each().is_ok());
    }

    #[test]
    fn a_body_that_finds_no_room_takes_none() {
        let stream = House::answering("").stream();
        let mut data = Gathered::new(&stream);
        assert!(data.add(&vec![0; GATHERED_BYTES_CONNECTION + 1]).is_err());
        assert_eq!(data.len(), 0);
        drop(data);
        assert!(counted(vec![0; GATHERED_BYTES_CONNECTION].into(), &stream).is_ok());
    }

    #[test]
    fn a_body_without_bytes_holds_nothing() {
        let stream = House::answering("").stream();
        let empty = counted(Bytes::new(), &stream).unwrap();
        assert!(empty.is_empty() && counted(vec![0; GATHERED_BYTES_CONNECTION].into(), &stream).is_ok());
    }
}
