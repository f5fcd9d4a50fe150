//! The start of a gateway: its first policy, its sockets, its workers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use tidegate_base::address::words;
use tidegate_dsl::diff::Changes;
use tidegate_upstream::health::Checker;
use tidegate_wasm_host::Host;
use tracing::{error, info};

use super::again::Again;
use super::reload::{Order, Ready, Reloader, Signs, doubt, prewarm, report, worker_count};
use super::sockets::Sockets;
use super::watched::Admin;
use super::{NotStarted, Serving};
use crate::admin::facts::{Facts, Outcome};
use crate::admin::sockets::AdminSockets;
use crate::policy::overrides::Overrides;
use crate::policy::prepare::{Reading, prepare};
use crate::policy::unbuilt;
use crate::policy::watch::Watch;
use crate::request::worker::Shared;
use crate::telemetry::access_log::LogWriter;
use crate::worker::control::WorkerHandle;

impl Reloader {
    /// Compiles the policy, binds the sockets and starts the workers.
    ///
    /// # Errors
    /// The policy has errors, a socket is taken, or the system lacks something.
    pub fn start(
        root: PathBuf,
        host: Arc<Host>,
        orders: Sender<Order>,
        signs: Arc<Signs>,
    ) -> Result<(Self, Serving), NotStarted> {
        info!(file = %root.display(), "reading the policy");
        let begun = Instant::now();
        let mut prepared = prepare(Reading::of(&root, &host));
        unbuilt::refuse(&mut prepared);
        report(&prepared.diagnostics, &prepared.sources, prepared.refusal.as_deref());
        let (Some(snapshot), Some(written)) = (prepared.snapshot, prepared.written) else {
            return Err(NotStarted::Refused);
        };
        let snapshot = Arc::new(snapshot);
        let refuse = |reason: String| {
            error!("{reason}");
            NotStarted::Refused
        };
        let count = worker_count(snapshot.plan().gateway.workers);
        prewarm(&snapshot, count).map_err(refuse)?;
        let sockets = Sockets::default();
        let opened = sockets.prepare(&snapshot, count).map_err(refuse)?;
        let watched = AdminSockets::default().prepare(snapshot.plan()).map_err(refuse)?;
        let log = LogWriter::start(snapshot.plan().access_log.to.clone())
            .map_err(|error| refuse(format!("cannot start the access log's thread: {error}")))?;
        let mut checker = Checker::default();
        checker.watch(&snapshot.health).map_err(|error| refuse(format!("cannot check servers: {error}")))?;
        let shared = Arc::new(Shared::new(Arc::clone(&snapshot), log.sender()));
        shared.spans.start();
        let started: Result<Vec<_>, _> = (0..count)
            .map(|index| WorkerHandle::start(u16::try_from(index).unwrap_or(u16::MAX), Arc::clone(&shared)))
            .collect();
        let started = started.map_err(|error| refuse(format!("cannot start a worker: {error}")))?;
        let (workers, threads): (Vec<_>, Vec<_>) = started.into_iter().unzip();
        let facts = Arc::new(Facts::new(root.clone(), count));
        let told = orders.clone();
        let told = Box::new(move |asked| told.send(Order::Asked(asked)).is_ok());
        let admin = Admin::new(&facts, &shared, &host, told);
        let mut watch = Watch::start(orders);
        watch.set(&prepared.inputs);
        let serving = Serving { shared: Arc::clone(&shared), workers: workers.clone(), threads, log, facts };
        let mut reloader = Self {
            root,
            host,
            shared,
            workers,
            sockets,
            admin,
            written,
            overrides: Overrides::default(),
            facts: Arc::clone(&serving.facts),
            log: serving.log.control(),
            checker,
            watch,
            signs,
            inputs: prepared.inputs,
            seen: prepared.seen,
            refused: false,
            again: Again::default(),
        };
        reloader.facts.set_policy(Overrides::default(), Some(prepared.mask));
        reloader.serve(&snapshot, Ready { opened, watched }, snapshot.plan().gateway.drain);
        for listener in &snapshot.plan().listeners {
            info!(listener = listener.name, bind = %words(listener.bind), state = ?listener.state, "listener");
        }
        doubt(&snapshot);
        reloader.note("the start", begun, Outcome::InService(Changes::default()));
        info!(generation = snapshot.generation, workers = count, "ready");
        Ok((reloader, serving))
    }
}
