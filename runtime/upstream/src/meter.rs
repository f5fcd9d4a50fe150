//! What is counted of a server group and its servers, by the worker that uses them.

use std::sync::Arc;

use http::StatusCode;
use tidegate_base::failure::{Failure, Side};
use tidegate_base::metrics::{Counter, Gauge, Histogram, REQUEST_TIMES};

/// What a worker counts of a group.
#[derive(Debug)]
pub struct GroupCells {
    /// From the choice of a server to the head of its answer, of each try that got one.
    pub duration: Histogram,
    /// Tries beyond the first of a request.
    pub retries: Counter,
}

impl Default for GroupCells {
    fn default() -> Self {
        Self { duration: Histogram::new(REQUEST_TIMES), retries: Counter::default() }
    }
}

/// What a worker counts of a server in a group.
#[derive(Debug, Default)]
pub struct ServerCells {
    /// Tries that were answered, by the class of the status: the first is 1xx.
    pub answers: [Counter; 5],
    /// Tries without an answer.
    pub errors: Counter,
    /// Connections that were opened.
    pub opened: Counter,
    /// Requests in flight, to the end of the answer or of the tunnel.
    pub in_flight: Gauge,
}

/// The cells of a group and its servers on one worker.
#[derive(Debug, Default)]
pub struct GroupMeter {
    /// The group's.
    pub group: Arc<GroupCells>,
    /// The servers', in the order of the plan.
    pub servers: Vec<Arc<ServerCells>>,
}

impl GroupMeter {
    /// The cells of a group with so many servers, which nobody reads but a test.
    #[cfg(test)]
    pub(crate) fn apart(servers: usize) -> Self {
        Self { group: Arc::default(), servers: (0..servers).map(|_| Arc::default()).collect() }
    }

    /// A try got its answer's head.
    pub(crate) fn answered(&self, server: usize, status: StatusCode, took: std::time::Duration) {
        self.group.duration.observe(took);
        let class = usize::from(status.as_u16() / 100);
        if let Some(server) = self.servers.get(server)
            && let Some(count) = class.checked_sub(1).and_then(|at| server.answers.get(at))
        {
            count.one();
        }
    }

    /// A try got no answer. One that the client ended says nothing of the server.
    pub(crate) fn failed(&self, server: usize, failure: Failure) {
        if let Some(server) = self.servers.get(server).filter(|_| failure.row().side != Side::Client) {
            server.errors.one();
        }
    }

    /// A connection to a server was opened.
    pub(crate) fn opened(&self, server: usize) {
        if let Some(server) = self.servers.get(server) {
            server.opened.one();
        }
    }

    /// A request goes to a server, or has ended there.
    pub(crate) fn in_flight(&self, server: usize, by: i64) {
        if let Some(server) = self.servers.get(server) {
            server.in_flight.add(by);
        }
    }
}
