//! The cases of a verdict.
#![forbid(unsafe_code)]

use super::reply::Reply;

/// The cases of the verdict of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Next,
    Respond(Reply),
    Forward(String),
    Close,
}

// The constructors of verdicts that need a word in `allow` call an import of that name. So a module that never
// uses them does not import it, and the gateway knows before the first request.
/// The cases of the verdict of a body hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Next,
    Replace(Vec<u8>),
    Respond(Reply),
    Close,
}
