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
