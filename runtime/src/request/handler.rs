//! What serves one request: the request's surroundings, from start to end.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use http::{HeaderMap, Response, StatusCode};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{Listener, ListenerId};
use tidegate_engine::Moment;
use tidegate_engine::passage::FieldKinds;

use crate::request::client_body::ClientBody;
use crate::request::compression::Accepted;
use crate::request::context::RequestContext;
use crate::request::request_body::{Switched, UpstreamBody};
use crate::request::response_body::ResponseBody;
use crate::request::state::StreamState;
use crate::request::tunnel::Tunnel;
use crate::request::upgrade::Upgrade;
use crate::request::worker_snapshot::WorkerSnapshot;

/// One request, and what surrounds it from start to end.
pub(super) struct RequestHandler<'c> {
    pub(super) facts: Facts,
    pub(super) view: &'c Rc<WorkerSnapshot>,
    pub(super) listener: &'c Listener,
    pub(super) id: ListenerId,
    pub(super) state: &'c Rc<StreamState>,
}

/// The facts about a request that are known once its head is read.
pub(super) struct Facts {
    /// The time when the head was there.
    pub(super) started: Instant,
    /// Whether the request is the last one that the connection may bring.
    pub(super) is_last: bool,
    /// The protocol that the client wants to switch to.
    pub(super) upgrade: Option<Upgrade>,
    /// The kinds of fields that the client sent.
    pub(super) kinds: FieldKinds,
    /// Whether the request is a gRPC call: errors go into trailers.
    pub(super) grpc: bool,
    /// How the response may be compressed.
    pub(super) accepted: Accepted,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            is_last: false,
            upgrade: None,
            kinds: FieldKinds::default(),
            grpc: false,
            accepted: Accepted::default(),
        }
    }
}

/// The connection is to be closed without a response: the policy wants none.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed by the policy")
    }
}

impl std::error::Error for Closed {}

/// Ends a request that the policy wants no response to.
pub(super) fn close(context: &mut RequestContext) -> Closed {
    context.close(Failure::Closed);
    Closed
}

/// The outcome of serving a request.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every one is a response, and a box would cost each an allocation"
)]
pub enum Served {
    /// A response, whose body's end is the end of the request.
    Response(Response<ResponseBody>),
    /// The head of a response after which the connection, or the stream, becomes a tunnel.
    Tunnel(Response<()>, Box<Tunnel>),
}

impl Served {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Response(response) => response.status(),
            Self::Tunnel(response, _) => response.status(),
        }
    }

    pub(super) fn headers_mut(&mut self) -> &mut HeaderMap {
        match self {
            Self::Response(response) => response.headers_mut(),
            Self::Tunnel(response, _) => response.headers_mut(),
        }
    }

    /// Whether the response bears this mark.
    pub(super) fn has<M: Clone + Send + Sync + 'static>(&self) -> bool {
        match self {
            Self::Response(response) => response.extensions().get::<M>().is_some(),
            Self::Tunnel(response, _) => response.extensions().get::<M>().is_some(),
        }
    }
}

/// Marks a response whose `Alt-Svc`, or the lack of one, is the policy's own word.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnAltSvc;

/// A response before its phase: where its body comes from.
pub(super) enum Source {
    Ours(bytes::Bytes),
    Upstream(UpstreamBody),
    /// The backend has switched protocols.
    Tunnel(Switched, ClientBody),
}

impl RequestHandler<'_> {
    /// Now, for limits and weighted choices.
    pub(super) fn moment(&self) -> Moment {
        let nanos = self.facts.started.saturating_duration_since(self.state.worker().shared.started).as_nanos();
        Moment { nanos: u64::try_from(nanos).unwrap_or(u64::MAX), random: self.state.worker().random() }
    }
}
