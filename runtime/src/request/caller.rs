//! A stream as whoever sends its request to a server.

use http::{Request, StatusCode};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{Server, ServerGroup};
use tidegate_upstream::{Caller, Content};

use crate::request::request_body::RequestBody;
use crate::request::state::StreamState;

impl Caller for StreamState {
    type Body = RequestBody;

    fn now_ms(&self) -> u64 {
        self.worker().now_ms()
    }

    fn random(&self) -> u64 {
        self.worker().random()
    }

    fn is_secure(&self) -> bool {
        self.connection.info.tls.is_some()
    }

    fn progress(&self) {
        self.note_upstream();
    }

    fn begin_try(&self, group: &ServerGroup, server: &Server, again: bool, request: &mut Request<Content<Self::Body>>) {
        self.trace.begin_try((group, server), again, request, || self.worker().random());
    }

    fn end_try(&self, came: Result<StatusCode, Failure>) {
        self.trace.end_try(came, &self.worker().spans);
    }

    fn count_retry(&self) {
        self.count_retry();
    }

    fn ending(&self) -> Option<Failure> {
        self.ending()
    }

    fn take_expired(&self) -> Option<Failure> {
        self.take_expired().then(|| self.silence())
    }

    fn may_log(&self, kind: &'static str) -> bool {
        self.worker().log_throttle.may_write(kind)
    }

    #[cfg(test)]
    async fn dial(
        &self,
        address: tidegate_upstream::Address<'_>,
    ) -> Result<tidegate_upstream::ServerIo, tidegate_upstream::Refused> {
        self.worker().servers.dial(address.server.port)
    }
}
