//! The gateway as a process: takes signals, and drains.
//!
//! The main thread does nothing that may block, so that a signal is always answered. Policies are read, and put in service, on
//! a thread of their own ([`reload`]).

mod again;
mod by_hand;
mod notify;
pub mod reload;
pub mod sockets;
mod start;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tidegate_base::bounds::Bound;
use tidegate_base::descriptors;
use tidegate_base::limits;
use tidegate_wasm_host::{Host, Sample};
use tracing::{error, info, warn};

use crate::admin::facts::Facts;
use crate::request::worker::Shared;
use crate::telemetry::access_log::LogWriter;
use crate::worker::control::{Command, WorkerHandle};
use notify::Notifier;
use reload::{Order, Reloader, Signs};

/// What the main thread waits for.
enum Event {
    /// The system or an operator wants something.
    Signal(i32),
    /// The first policy is in service, or cannot be.
    Started(Result<Serving, NotStarted>),
}

/// The parts of a gateway that serve: its workers and its access log.
pub struct Serving {
    shared: Arc<Shared>,
    workers: Vec<WorkerHandle>,
    threads: Vec<JoinHandle<()>>,
    log: LogWriter,
    facts: Arc<Facts>,
}

/// A gateway in service.
pub struct Gateway {
    host: Arc<Host>,
    serving: Serving,
    events: Receiver<Event>,
    orders: Sender<Order>,
    signs: Arc<Signs>,
    notifier: Arc<Notifier>,
}

/// Why a gateway did not start.
#[derive(Debug)]
pub enum NotStarted {
    /// The policy or the system did not allow it; standard error says why.
    Refused,
    /// A signal ended it before it was ready.
    Stopped,
}

impl Gateway {
    /// Compiles the policy, binds the sockets and starts the workers. Signals are taken meanwhile.
    ///
    /// # Errors
    /// The policy has errors, a socket is taken, or the system lacks something; or somebody does not want it any more.
    pub fn start(root: PathBuf, host: Host) -> Result<Self, NotStarted> {
        let refuse = |reason: String| {
            error!("{reason}");
            NotStarted::Refused
        };
        descriptors::raise();
        let notifier = Arc::new(Notifier::from_environment());
        let (host, signs) = (Arc::new(host), Arc::new(Signs::new(&notifier)));
        let (sender, events) = channel();
        listen_for_signals(sender.clone()).map_err(|error| refuse(format!("cannot take signals: {error}")))?;
        let (orders, inbox) = channel();
        let reader = read_policies(root, &host, &signs, (orders.clone(), inbox), sender)
            .map_err(|error| refuse(format!("cannot start the thread that reads policies: {error}")))?;
        loop {
            match events.recv_timeout(limits::POLL) {
                Ok(Event::Started(started)) => {
                    let serving = started?;
                    notifier.ready(serving.shared.snapshot().generation);
                    return Ok(Self { host, serving, events, orders, signs, notifier });
                }
                Ok(Event::Signal(SIGHUP)) => send(&orders, Order::Read),
                Ok(Event::Signal(signal)) => {
                    info!(signal, "stopped before it was ready");
                    return Err(NotStarted::Stopped);
                }
                Err(_) if reader.is_finished() => {
                    return Err(refuse("the thread that reads policies has failed".to_owned()));
                }
                Err(_) => {}
            }
        }
    }

    /// Serves until a signal ends it, and drains.
    pub fn run(self) {
        while let Ok(event) = self.events.recv() {
            match event {
                Event::Signal(SIGHUP) => {
                    if self.signs.busy.load(Ordering::Acquire) {
                        info!("the policy is being read; it is read once more after that");
                    }
                    send(&self.orders, Order::Read);
                }
                Event::Signal(signal) => {
                    info!(signal, "draining; a second signal ends at once");
                    break;
                }
                Event::Started(_) => {}
            }
        }
        self.drain();
    }

    /// Lets requests finish within `drain`, and ends. A second signal ends at once.
    fn drain(self) {
        let Self { host, serving: Serving { shared, workers, threads, log, facts }, events, signs, notifier, .. } =
            self;
        notifier.stopping();
        signs.ending.store(true, Ordering::Release);
        facts.end();
        let drain = shared.snapshot().plan().gateway.drain;
        for worker in &workers {
            worker.send(Command::Drain(drain));
        }
        // Ends with the process.
        std::thread::spawn(move || {
            while let Ok(event) = events.recv() {
                if matches!(event, Event::Signal(SIGTERM | SIGINT)) {
                    warn!("stopped before every request had finished");
                    std::process::exit(1);
                }
            }
        });
        for thread in threads {
            if thread.join().is_err() {
                error!("a worker panicked");
            }
        }
        log.finish();
        shared.spans.finish();
        for Sample { extension, name, value, .. } in host.samples() {
            info!(extension, metric = name, value, "at the end");
        }
        for bound in Bound::ALL.iter().filter(|bound| bound.count() > 0) {
            info!(bound = bound.name(), times = bound.count(), "a bound was met");
        }
        facts.remove_socket_files();
        info!("stopped");
    }
}

/// Starts the thread that reads policies. It is not waited for at the end: it may be held up for ever.
fn read_policies(
    root: PathBuf,
    host: &Arc<Host>,
    signs: &Arc<Signs>,
    (orders, inbox): (Sender<Order>, Receiver<Order>),
    events: Sender<Event>,
) -> std::io::Result<JoinHandle<()>> {
    let (host, signs) = (Arc::clone(host), Arc::clone(signs));
    std::thread::Builder::new().name("policy".to_owned()).spawn(move || {
        let (reloader, started) = match Reloader::start(root, host, orders, signs) {
            Ok((reloader, serving)) => (Some(reloader), Ok(serving)),
            Err(reason) => (None, Err(reason)),
        };
        // Nobody listens if it was stopped meanwhile.
        let told = events.send(Event::Started(started));
        drop(events);
        if let (Some(reloader), Ok(())) = (reloader, told) {
            reloader.run(&inbox);
        }
    })
}

fn send(orders: &Sender<Order>, order: Order) {
    if orders.send(order).is_err() {
        error!("the thread that reads policies has failed; a new start reads them");
    }
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
