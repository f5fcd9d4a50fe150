//! The admin API and the metrics, as the thread `policy` keeps them: their addresses come and go with the policy.

use std::sync::Arc;

use tidegate_wasm_host::Host;
use tracing::error;

use crate::admin::context::{Context, Orders};
use crate::admin::facts::Facts;
use crate::admin::server::AdminServer;
use crate::admin::sockets::{AdminSockets, Opened};
use crate::request::worker::Shared;

/// The server of the admin API with its addresses.
pub struct Admin {
    pub(super) sockets: AdminSockets,
    server: AdminServer,
    facts: Arc<Facts>,
}

impl Admin {
    /// A server without addresses; `orders` takes what is to be changed.
    pub(super) fn new(facts: &Arc<Facts>, shared: &Arc<Shared>, host: &Arc<Host>, orders: Orders) -> Self {
        let context = Context::new(Arc::clone(facts), Arc::clone(shared), Arc::clone(host), orders);
        Self { sockets: AdminSockets::default(), server: AdminServer::new(context), facts: Arc::clone(facts) }
    }

    /// Serves on these sockets from now on.
    pub(super) fn serve(&mut self, opened: Opened) {
        self.sockets.commit(&opened);
        self.facts.set_socket_files(self.sockets.files());
        if let Err(error) = self.server.serve(opened) {
            error!("nobody can watch the gateway: {error}");
        }
    }
}
