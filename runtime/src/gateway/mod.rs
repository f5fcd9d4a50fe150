//! The gateway as a process: starts workers, reloads policies, drains.
//!
//! It runs on the main thread and does everything that may block or fail, so that workers never do.

pub mod sockets;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tidegate_dsl::render;
use tidegate_dsl::{Diagnostic, Severity, Sources};
use tidegate_wasm_host::{Host, Sample};
use tracing::{error, info, warn};

use crate::health::Checker;
use crate::limits;
use crate::policy::files::Look;
use crate::policy::prepare::{Prepared, prepare};
use crate::policy::renew;
use crate::policy::snapshot::Snapshot;
use crate::policy::unbuilt;
use crate::policy::watch::{Changed, Watch};
use crate::telemetry::access_log::LogWriter;
use crate::telemetry::bounds::Bound;
use crate::worker::{Command, Shared, WorkerHandle};
use sockets::Sockets;

/// What the main thread waits for.
enum Event {
    /// Files may have changed.
    Changed(Changed),
    /// The system or an operator wants something.
    Signal(i32),
}

impl From<Changed> for Event {
    fn from(changed: Changed) -> Self {
        Self::Changed(changed)
    }
}

/// A gateway in service.
pub struct Gateway {
    root: PathBuf,
    host: Host,
    shared: Arc<Shared>,
    workers: Vec<WorkerHandle>,
    sockets: Sockets,
    log: LogWriter,
    checker: Checker,
    watch: Watch,
    events: Receiver<Event>,
    inputs: Vec<PathBuf>,
    /// What the files looked like when they were last read.
    seen: Look,
    /// What the files say now is not what serves: they had a mistake when they were last read.
    refused: bool,
}

/// Why a gateway did not start. It has said why, on standard error.
#[derive(Debug)]
pub struct NotStarted;

impl Gateway {
    /// Compiles the policy, binds the sockets and starts the workers.
    ///
    /// # Errors
    /// The policy has errors, a socket is taken, or the system lacks something.
    pub fn start(root: PathBuf, host: Host) -> Result<Self, NotStarted> {
        let mut prepared = prepare(&root, &host, None, &[]);
        unbuilt::refuse(&mut prepared);
        report(&prepared.diagnostics, &prepared.sources, prepared.refusal.as_deref());
        let snapshot = Arc::new(prepared.snapshot.ok_or(NotStarted)?);
        let refuse = |reason: String| {
            error!("{reason}");
            NotStarted
        };
        let count = worker_count(snapshot.plan().gateway.workers);
        stock(&snapshot, count).map_err(refuse)?;
        let mut sockets = Sockets::default();
        let opened = sockets.prepare(&snapshot, count).map_err(refuse)?;
        let log = LogWriter::start(snapshot.plan().access_log.to.clone())
            .map_err(|error| refuse(format!("cannot start the access log's thread: {error}")))?;
        let mut checker = Checker::default();
        checker.watch(&snapshot.health).map_err(|error| refuse(format!("cannot check servers: {error}")))?;
        let (sender, events) = channel();
        listen_for_signals(sender.clone()).map_err(|error| refuse(format!("cannot take signals: {error}")))?;
        let shared = Arc::new(Shared::new(Arc::clone(&snapshot), log.sender()));
        let workers: Result<Vec<_>, _> = (0..count)
            .map(|index| WorkerHandle::start(u16::try_from(index).unwrap_or(u16::MAX), Arc::clone(&shared)))
            .collect();
        let workers = workers.map_err(|error| refuse(format!("cannot start a worker: {error}")))?;
        let mut watch = Watch::start(sender);
        watch.set(&prepared.inputs);
        sockets.commit(opened, &workers, snapshot.plan().gateway.drain);
        for listener in &snapshot.plan().listeners {
            info!(listener = listener.name, bind = %sockets::words(listener.bind), state = ?listener.state, "listener");
        }
        info!(generation = snapshot.generation, workers = count, "ready");
        let (inputs, seen) = (prepared.inputs, prepared.seen);
        Ok(Self { root, host, shared, workers, sockets, log, checker, watch, events, inputs, seen, refused: false })
    }

    /// Serves until a signal ends it, and drains.
    pub fn run(mut self) {
        loop {
            match self.events.recv_timeout(limits::POLL) {
                Ok(Event::Signal(SIGHUP)) => self.reload(),
                Ok(Event::Signal(signal)) => {
                    info!(signal, "draining; a second signal ends at once");
                    break;
                }
                Ok(Event::Changed(changed)) => {
                    if let Some(signal) = self.settle(changed) {
                        info!(signal, "draining; a second signal ends at once");
                        break;
                    }
                    self.reload_if_changed();
                }
                Err(RecvTimeoutError::Timeout) => self.reload_if_changed(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.drain();
    }

    /// Waits for quiet after a change, so that half-written files are not read. Returns a signal that ends us.
    fn settle(&self, Changed(mut quiet): Changed) -> Option<i32> {
        let latest = Instant::now() + limits::SETTLE_MAX;
        loop {
            let left = latest.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(quiet.min(left)) {
                // The last event decides: a rename ends what the writes before it began.
                Ok(Event::Changed(Changed(last))) => quiet = last,
                Ok(Event::Signal(SIGHUP)) | Err(_) => return None,
                Ok(Event::Signal(signal)) => return Some(signal),
            }
            if left.is_zero() {
                return None;
            }
        }
    }

    fn reload_if_changed(&mut self) {
        let changed = self.seen.changed();
        let certificates = renew::files(self.shared.snapshot().plan());
        let (certificates, others): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|file| certificates.contains(file));
        if !certificates.is_empty() {
            self.renew();
        }
        if !others.is_empty() || (self.refused && !certificates.is_empty()) {
            self.reload();
        }
    }

    /// Reads the files of certificates anew, and serves those that are sound. The policy stays as it is.
    fn renew(&mut self) {
        let old = self.shared.snapshot();
        let files = renew::files(old.plan());
        self.seen.look_again(&files);
        let renewed = renew::renew(&old);
        for kept in renewed.kept {
            error!("not renewed, the old one serves on: {kept}");
        }
        let Some(snapshot) = renewed.snapshot else { return };
        let generation = snapshot.generation;
        let snapshot = Arc::new(snapshot);
        self.shared.commit(Arc::clone(&snapshot));
        self.check_servers(&snapshot);
        for worker in &self.workers {
            worker.send(Command::Refresh);
        }
        info!(generation, names = renewed.names.join(","), "certificates renewed");
    }

    fn check_servers(&mut self, snapshot: &Snapshot) {
        if let Err(error) = self.checker.watch(&snapshot.health) {
            error!("servers are not checked, and count as healthy: {error}");
        }
    }

    /// Reads the files anew, and puts the policy in service if it is sound. Nothing that can fail comes after the swap.
    fn reload(&mut self) {
        let started = Instant::now();
        let old = self.shared.snapshot();
        let mut prepared = prepare(&self.root, &self.host, Some(&old), &self.inputs);
        unbuilt::refuse(&mut prepared);
        report(&prepared.diagnostics, &prepared.sources, prepared.refusal.as_deref());
        let Prepared { snapshot, mut inputs, seen, .. } = prepared;
        if snapshot.is_none() {
            // A broken file may have hidden others that the next version needs: watch those, too.
            inputs.extend(self.inputs.iter().filter(|input| !inputs.contains(input)).cloned().collect::<Vec<_>>());
        }
        self.seen = seen.extend_to(&inputs);
        self.watch.set(&inputs);
        self.inputs = inputs;
        self.refused = snapshot.is_none();
        let Some(snapshot) = snapshot else {
            error!(generation = old.generation, "the policy was not reloaded; the old one serves on");
            return;
        };
        // Also if it is the same: a rotated file is opened anew.
        self.log.set_target(snapshot.plan().access_log.to.clone());
        if *snapshot.plan() == *old.plan()
            && same_extensions(&snapshot, &old)
            && snapshot.tls.material.serves_the_same(&old.tls.material)
        {
            info!(generation = old.generation, "the policy's files changed, its meaning did not");
            return;
        }
        let workers = self.workers.len();
        let ready = stock(&snapshot, workers).and_then(|()| self.sockets.prepare(&snapshot, workers));
        let opened = match ready {
            Ok(opened) => opened,
            Err(reason) => {
                self.refused = true;
                error!(generation = old.generation, "the policy was not reloaded; the old one serves on: {reason}");
                return;
            }
        };
        if snapshot.plan().gateway.workers != old.plan().gateway.workers {
            warn!("a new number of workers counts from the next start");
        }
        let snapshot = Arc::new(snapshot);
        self.shared.commit(Arc::clone(&snapshot));
        self.check_servers(&snapshot);
        self.sockets.commit(opened, &self.workers, snapshot.plan().gateway.drain);
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(generation = snapshot.generation, ms, "reloaded");
    }

    /// Lets requests finish within `drain`, and ends. A second signal ends at once.
    fn drain(self) {
        let drain = self.shared.snapshot().plan().gateway.drain;
        for worker in &self.workers {
            worker.send(Command::Drain(drain));
        }
        let Self { events, workers, log, .. } = self;
        // Ends with the process.
        std::thread::spawn(move || {
            while let Ok(event) = events.recv() {
                if matches!(event, Event::Signal(SIGTERM | SIGINT)) {
                    warn!("stopped before every request had finished");
                    std::process::exit(1);
                }
            }
        });
        workers.into_iter().for_each(WorkerHandle::join);
        log.finish();
        for Sample { extension, name, value, .. } in self.host.samples() {
            info!(extension, metric = name, value, "at the end");
        }
        for bound in Bound::ALL.iter().filter(|bound| bound.count() > 0) {
            info!(bound = bound.name(), times = bound.count(), "a bound was met");
        }
        info!("stopped");
    }
}

fn same_extensions(new: &Snapshot, old: &Snapshot) -> bool {
    new.extensions.len() == old.extensions.len()
        && new.extensions.iter().zip(&old.extensions).all(|(new, old)| Arc::ptr_eq(new, old))
}

/// Has each extension run `init` once for each worker.
fn stock(snapshot: &Snapshot, workers: usize) -> Result<(), String> {
    for extension in &snapshot.extensions {
        let name = &extension.spec().name;
        extension
            .stock(workers)
            .map_err(|error| format!("extension `{name}` is not ready on every worker: {error}"))?;
    }
    Ok(())
}

fn worker_count(wanted: Option<u32>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or_else(cores, |wanted| usize::try_from(wanted).unwrap_or(1)).max(1)
}

fn listen_for_signals(events: Sender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Writes diagnostics to standard error.
fn report(diagnostics: &[Diagnostic], sources: &Sources, refusal: Option<&str>) {
    if !diagnostics.is_empty() {
        let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
        eprintln!("{}", render::human(diagnostics, sources, colour).trim_end());
    }
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    if errors > 0 {
        error!(errors, "the policy has errors");
    }
    if let Some(refusal) = refusal {
        for reason in refusal.lines() {
            error!("the policy cannot be used: {reason}");
        }
    }
}

/// How long a command may take to reach every worker; only a worker that hangs takes longer.
pub(crate) const WORKER_PATIENCE: Duration = Duration::from_secs(5);
