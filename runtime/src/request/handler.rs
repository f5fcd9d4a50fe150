//! What serves one request: the request's surroundings, from start to end.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{Listener, ListenerId};
use tidegate_engine::Moment;
use tidegate_engine::passage::FieldKinds;
use tidegate_upstream::connect::Switched;

use crate::request::body::UpstreamBody;
use crate::request::client_body::ClientBody;
use crate::request::compression::Accepted;
use crate::request::context::RequestContext;
use crate::request::serve::Closed;
use crate::request::state::StreamState;
use crate::request::upgrade::Upgrade;
use crate::request::worker_snapshot::WorkerSnapshot;

/// One request, and what it needs from start to end.
pub(super) struct RequestHandler<'c> {
    pub(super) started: Instant,
    pub(super) view: &'c Rc<WorkerSnapshot>,
    pub(super) listener: &'c Listener,
    pub(super) id: ListenerId,
    pub(super) state: &'c Rc<StreamState>,
    /// The client wants to switch protocols.
    pub(super) upgrade: Option<Upgrade>,
    /// The kinds of fields that the client sent.
    pub(super) kinds: FieldKinds,
    /// The request is a gRPC call: errors go into trailers.
    pub(super) grpc: bool,
    /// How the response may be compressed.
    pub(super) accepted: Accepted,
}

/// Marks a response whose `Alt-Svc`, or the lack of one, is the policy's own word.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnAltSvc;

/// An answer before its way back.
pub(super) enum Source {
    Ours(bytes::Bytes),
    Upstream(UpstreamBody),
    /// The backend has switched protocols.
    Tunnel(Switched, ClientBody),
}

impl RequestHandler<'_> {
    pub(super) fn close(&self, context: Box<RequestContext>) -> Closed {
        context.close(self.state, Failure::Closed);
        Closed
    }

    pub(super) fn client_ip(&self, headers: &http::HeaderMap) -> IpAddr {
        self.view.snapshot.engine.client_ip(self.id, self.state.connection.info.peer.ip(), headers)
    }

    /// Now, for limits and weighted choices.
    pub(super) fn moment(&self) -> Moment {
        let nanos = self.started.saturating_duration_since(self.state.worker().shared.started).as_nanos();
        Moment { nanos: u64::try_from(nanos).unwrap_or(u64::MAX), random: self.state.worker().random() }
    }
}
