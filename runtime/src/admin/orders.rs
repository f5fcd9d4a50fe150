//! The orders that the admin API gives: carried out by the thread that reads policies, one after another, so that none
//! is lost because a listener is changing.

use serde::Serialize;
use tokio::sync::oneshot;

use crate::policy::overrides::ServerChange;

/// A change that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Open the sockets of a listener that is stopped.
    Start {
        /// The listener's name.
        listener: String,
    },
    /// Close the sockets of a listener.
    Stop {
        /// The listener's name.
        listener: String,
        /// Whether its connections may finish their requests; else they end at once.
        drain: bool,
    },
    /// Change a server of a group.
    Server {
        /// The group's name.
        group: String,
        /// The server's address, as the policy has it.
        server: String,
        /// What is to become of it.
        change: ServerChange,
    },
}

/// An order on its way, and where its outcome is waited for.
pub struct Asked {
    /// The order.
    pub order: Order,
    /// The end that hears of the outcome.
    pub reply: oneshot::Sender<Result<Done, Refusal>>,
}

/// The outcome of an order that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Whether something changed; it was so already else.
    pub changed: bool,
    /// The number of the policy in service.
    pub generation: u64,
}

/// The reason why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The policy has no such thing.
    Unknown(String),
    /// The order cannot be carried out now, for a reason outside of the policy.
    Cannot(String),
}
