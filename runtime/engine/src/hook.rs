//! Hooks: the words that the core and its extensions say to each other.

use http::{HeaderMap, StatusCode};

pub use tidegate_dsl::Hook;
pub use tidegate_dsl::plan::{Abi, Capability, Reach, Reached};

use bytes::Bytes;

/// The verdict of a body hook about a piece.
#[derive(Debug)]
pub enum BodyVerdict {
    /// The piece goes on as it is.
    Next,
    /// The bytes go on in the piece's place.
    Replace(Bytes),
    /// Answer with this; nothing has left yet.
    Respond(Reply),
    /// Close the connection.
    Close,
}

/// The verdict of a hook.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Next,
    /// Answer with this.
    Respond(Reply),
    /// Forward to the server group of this name.
    Forward(String),
    /// Close the connection without an answer.
    Close,
}

/// An answer made here and not by a backend.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Header fields; framing fields are set by whoever sends it.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The fault of a hook call that gave no verdict. A fault costs this call and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookFault {
    /// The class of the fault.
    pub kind: HookFaultKind,
    /// The fault in words, for the log.
    pub message: String,
}

/// Classes of hook failures: names for counters and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookFaultKind {
    /// The guest trapped (a panic, an unreachable, a bad access, a stack overflow).
    Trap,
    /// The guest used up its time.
    Deadline,
    /// The guest asked for more memory than it may have.
    Memory,
    /// The guest called something that `allow` does not list, or at a time when it may not.
    NotAllowed,
    /// The guest gave the host something that it cannot take, such as a header value with a line break.
    BadValue,
    /// The guest used more of something than one call may: header fields, bytes, calls of the store or of other servers.
    TooMuch,
    /// No instance could be made.
    Instance,
    /// No room for another call: as many as may are under way. The guest was not asked, and is not at fault.
    Room,
    /// The verdict names a server group that the policy does not have.
    UnknownGroup,
    /// A body is longer than the guest wanted to take.
    BodyTooLong,
    /// The guest failed for nearly every client, and is not called for a while.
    Paused,
}

impl HookFaultKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::NotAllowed,
        Self::BadValue,
        Self::TooMuch,
        Self::Instance,
        Self::Room,
        Self::UnknownGroup,
        Self::BodyTooLong,
        Self::Paused,
    ];

    /// Whether the guest was not called at all: then a request gets what `on-pause` says, and not what `on-error` does.
    pub const fn is_uncalled(self) -> bool {
        matches!(self, Self::Paused | Self::Room)
    }

    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::NotAllowed => "not-allowed",
            Self::BadValue => "bad-value",
            Self::TooMuch => "too-much",
            Self::Instance => "instance",
            Self::Room => "room",
            Self::UnknownGroup => "unknown-group",
            Self::BodyTooLong => "body-too-long",
            Self::Paused => "paused",
        }
    }
}
