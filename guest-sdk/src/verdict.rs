//! What a hook decides.
#![forbid(unsafe_code)]

use crate::sys;

/// What a hook decides about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Next,
    Respond(Reply),
    Forward(String),
    Close,
}

// The constructors of verdicts that need a word in `allow` call an import of that name. So a module that never
// uses them does not import it, and the gateway knows before the first request.
impl Verdict {
    /// Go on with whatever comes next.
    pub const fn next() -> Self {
        Self(Kind::Next)
    }

    /// Answer with this. Needs `respond` in `allow`.
    pub fn respond(reply: Reply) -> Self {
        sys::may_respond();
        Self(Kind::Respond(reply))
    }

    /// Forward to the server group of this name; only a request hook may say it. Needs `route` in `allow`.
    pub fn forward(group: impl Into<String>) -> Self {
        sys::may_forward();
        Self(Kind::Forward(group.into()))
    }

    /// Close the connection without an answer. Needs `respond` in `allow`.
    pub fn close() -> Self {
        sys::may_respond();
        Self(Kind::Close)
    }
}

/// What a body hook decides about a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct BodyVerdict(pub(crate) BodyKind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Next,
    Replace(Vec<u8>),
    Respond(Reply),
    Close,
}

impl BodyVerdict {
    /// It goes on as it is.
    pub const fn next() -> Self {
        Self(BodyKind::Next)
    }

    /// This goes on in its place; an empty one takes it out.
    pub fn replace(data: impl Into<Vec<u8>>) -> Self {
        Self(BodyKind::Replace(data.into()))
    }

    /// Answer with this; only in buffer mode, where nothing has left yet. Needs `respond` in `allow`.
    pub fn respond(reply: Reply) -> Self {
        sys::may_respond();
        Self(BodyKind::Respond(reply))
    }

    /// Close the connection without an answer, or in the midst of one. Needs `respond` in `allow`.
    pub fn close() -> Self {
        sys::may_respond();
        Self(BodyKind::Close)
    }
}

/// An answer made by an extension and not by a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// An answer of this status (200 to 599) without a body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header field. Framing fields belong to the gateway.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a body of UTF-8 text, with its `content-type`.
    #[must_use]
    pub fn text(self, body: impl Into<String>) -> Self {
        self.header("content-type", "text/plain; charset=utf-8").body(body.into())
    }
}
