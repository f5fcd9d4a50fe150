//! Decisions of the engine, and what they may depend on beside the request.

use tidegate_dsl::plan::{ExtensionId, GroupId};

use crate::hook::Reply;

/// A point in time, and a piece of chance: what a decision may depend on beside the request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// Nanoseconds of a clock that never goes back. The same clock for all workers.
    pub nanos: u64,
    /// A number for chance, evenly spread over all values, and new for each call.
    pub random: u64,
}

/// The progress of a walk.
#[derive(Debug)]
pub enum Progress<D> {
    /// Call this extension, resume with its verdict, and advance again.
    Run(ExtensionId),
    /// The walk is over.
    Done(D),
}

/// The decision about a request.
#[derive(Debug)]
pub enum Decision {
    /// The request goes to a server of this group. The exchange carries the group's name.
    Forward(GroupId),
    /// The request is answered here.
    Reply(Reply),
    /// The connection is closed without an answer.
    Close,
}

/// The decision about a response.
#[derive(Debug)]
pub enum ResponseDecision {
    /// The response goes on. The exchange holds its head, with what was changed.
    Pass,
    /// The reply goes on in the response's place, head and body.
    Replace(Reply),
    /// The connection is closed.
    Close,
}
