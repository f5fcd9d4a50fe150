//! The thread that reads policies: at the start, when files change, and when it is told to.
//!
//! Everything that may block or fail happens here: a slow disk, a module that compiles for minutes, an `init` that never
//! returns. The main thread goes on taking signals meanwhile.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use tidegate_base::descriptors::Shares;
use tidegate_base::limits;
use tidegate_dsl::diff::{Changes, diff};
use tidegate_dsl::plan::Plan;
use tidegate_dsl::render;
use tidegate_dsl::{Diagnostic, Severity, Sources};
use tidegate_upstream::health::Checker;
use tidegate_wasm_host::Host;
use tracing::{error, info, warn};

use super::again::Again;
use super::notify::Notifier;
use super::sockets::{self, Sockets};
use super::watched::Admin;
use crate::admin;
use crate::admin::facts::{Facts, Generation, Outcome};
use crate::admin::orders::Asked;
use crate::admin::views::plan::diagnostics_of;
use crate::policy::file_stamps::FileStamps;
use crate::policy::mask::Mask;
use crate::policy::overrides::Overrides;
use crate::policy::prepare::{Prepared, Reading, prepare};
use crate::policy::snapshot::Snapshot;
use crate::policy::watch::{Changed, Watch};
use crate::policy::{renew, unbuilt};
use crate::request::worker::Shared;
use crate::telemetry::access_log::LogControl;
use crate::telemetry::metrics::registry::Reload;
use crate::worker::control::{Command, WorkerHandle};

/// An event that the thread `policy` waits for.
pub enum Order {
    /// Files may have changed.
    Changed(Changed),
    /// An operator wants the files to be read.
    Read,
    /// An operator wants something changed.
    Asked(Asked),
}

impl From<Changed> for Order {
    fn from(changed: Changed) -> Self {
        Self::Changed(changed)
    }
}

/// Flags by which the main thread and `policy` tell each other something without waiting.
#[derive(Default)]
pub struct Signs {
    /// The files are being read.
    pub busy: AtomicBool,
    /// The gateway drains: nothing new is put in service.
    pub ending: AtomicBool,
    /// Whoever started the gateway is told of reloads.
    notifier: Arc<Notifier>,
}

impl Signs {
    /// Flags of a gateway whose service manager is told of reloads.
    pub fn new(notifier: &Arc<Notifier>) -> Self {
        Self { notifier: Arc::clone(notifier), ..Self::default() }
    }
}

/// The policy in service, and what it was made of.
pub struct Reloader {
    pub(super) root: PathBuf,
    pub(super) host: Arc<Host>,
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<WorkerHandle>,
    pub(super) sockets: Sockets,
    pub(super) admin: Admin,
    /// The plan as the files say it, before changes by hand.
    pub(super) written: Plan,
    pub(super) overrides: Overrides,
    pub(super) facts: Arc<Facts>,
    pub(super) log: LogControl,
    pub(super) checker: Checker,
    pub(super) watch: Watch,
    pub(super) signs: Arc<Signs>,
    pub(super) inputs: Vec<PathBuf>,
    /// What the files looked like when they were last read.
    pub(super) seen: FileStamps,
    /// What the files say now is not what serves: they had a mistake when they were last read.
    pub(super) refused: bool,
    pub(super) again: Again,
}

impl Reloader {
    /// Reloads when files change and when it is told to, until the gateway drains.
    pub fn run(mut self, orders: &Receiver<Order>) {
        let mut waiting = VecDeque::new();
        while !self.signs.ending.load(Ordering::Acquire) {
            let next = match waiting.pop_front() {
                Some(asked) => Ok(Order::Asked(asked)),
                None => orders.recv_timeout(limits::POLL),
            };
            let told = match next {
                Ok(Order::Read) => true,
                Ok(Order::Changed(changed)) => settle(orders, changed, &mut waiting),
                Ok(Order::Asked(asked)) => {
                    self.obey(asked);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.signs.busy.store(true, Ordering::Release);
            if told {
                self.signs.notifier.reloading();
                self.reload(Cause::Told);
                self.signs.notifier.reloaded(self.shared.snapshot().generation);
            } else {
                self.reload_if_changed();
            }
            self.signs.busy.store(false, Ordering::Release);
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
            self.reload(Cause::Changed);
        } else if self.again.is_due() {
            self.reload(Cause::Again);
        }
    }

    /// Reads the files of certificates anew, and serves those that are sound. The policy stays as it is.
    fn renew(&mut self) {
        let begun = Instant::now();
        let old = self.shared.snapshot();
        let files = renew::files(old.plan());
        self.seen.take_again(&files);
        let renewed = renew::renew(&old);
        if renewed.troubled {
            self.again.wait();
        }
        for kept in renewed.kept {
            error!("not renewed, the old one serves on: {kept}");
        }
        let Some(snapshot) = renewed.snapshot else { return };
        let (generation, names) = (snapshot.generation, renewed.names.join(","));
        let snapshot = Arc::new(snapshot);
        self.shared.commit(Arc::clone(&snapshot));
        self.check_servers(&snapshot);
        for worker in &self.workers {
            worker.send(Command::Refresh);
        }
        self.note(&format!("certificates were renewed: {names}"), begun, Outcome::InService(Changes::default()));
        self.shared.metrics.count_reload(Reload::Ok);
        info!(generation, names, "certificates renewed");
    }

    fn check_servers(&mut self, snapshot: &Snapshot) {
        if let Err(error) = self.checker.watch(&snapshot.health) {
            error!("servers are not checked, and count as healthy: {error}");
        }
    }

    /// Reads the files anew, and puts the policy in service if it is sound. Nothing that can fail comes after the swap.
    fn reload(&mut self, cause: Cause) {
        let started = Instant::now();
        let old = self.shared.snapshot();
        let untouched = cause != Cause::Changed && self.seen.changed().is_empty();
        let Some(sound) = self.read(&old, cause, started) else { return };
        // Also if it is the same: a rotated file is opened anew.
        self.log.set_target(sound.snapshot.plan().access_log.to.clone());
        if means_the_same(&sound.snapshot, &old) {
            self.adopt(sound);
            return self.stay(&old, untouched, cause, started);
        }
        if let Err(reason) = prewarm(&sound.snapshot, self.workers.len()) {
            return self.refuse(&old, cause, started, &reason);
        }
        match self.open(&sound.snapshot) {
            Ok(ready) => self.commit(sound, &old, ready, (cause, started)),
            Err(reason) => {
                let is_new = cause != Cause::Again || !self.again.has_said(&reason);
                if is_new {
                    self.refuse(&old, cause, started, &reason);
                }
                self.refused = true;
                // Whoever has the port may leave it; descriptors may come free.
                self.again.later(reason, is_new);
            }
        }
    }

    /// Reads the files, and says what is to be said of them; nothing, if they have a mistake.
    fn read(&mut self, old: &Arc<Snapshot>, cause: Cause, started: Instant) -> Option<Sound> {
        let reading = Reading {
            previous: Some(old),
            known_inputs: &self.inputs,
            overrides: &self.overrides,
            ..Reading::of(&self.root, &self.host)
        };
        let mut prepared = prepare(reading);
        unbuilt::refuse(&mut prepared);
        let said = render::human(&prepared.diagnostics, &prepared.sources, false);
        let is_new = cause != Cause::Again || !self.again.has_said(&said);
        if is_new {
            report(&prepared.diagnostics, &prepared.sources, prepared.refusal.as_deref());
        }
        let found = diagnostics_of(&prepared);
        let Prepared { snapshot, written, overrides, mut inputs, seen, refusal, mask, troubled, .. } = prepared;
        if snapshot.is_none() {
            // A broken file may have hidden others that the next version needs: watch those, too.
            inputs.extend(self.inputs.iter().filter(|input| !inputs.contains(input)).cloned().collect::<Vec<_>>());
        }
        self.seen = seen.extend_to(&inputs);
        self.watch.set(&inputs);
        self.inputs = inputs;
        self.refused = snapshot.is_none();
        if let (Some(snapshot), Some(written)) = (snapshot, written) {
            return Some(Sound { snapshot, written, overrides, mask });
        }
        if is_new {
            let outcome = Outcome::Refused { shown: said.clone(), diagnostics: found, reason: refusal };
            self.note(cause.words(), started, outcome);
            self.shared.metrics.count_reload(Reload::Refused);
            error!(generation = old.generation, "the policy was not reloaded; the old one serves on");
        }
        if cause == Cause::Told {
            // A rotated file is opened anew, whatever the policy says.
            self.log.set_target(old.plan().access_log.to.clone());
        }
        if troubled {
            self.again.later(said, is_new);
        } else {
            self.again = Again::default();
        }
        None
    }

    /// What a policy that is in service, or means what is in service, was made of.
    fn adopt(&mut self, sound: Sound) -> Snapshot {
        let Sound { snapshot, written, overrides, mask } = sound;
        self.facts.set_policy(overrides.clone(), Some(mask));
        (self.written, self.overrides) = (written, overrides);
        snapshot
    }

    /// Leaves in service what the files mean already.
    fn stay(&mut self, old: &Snapshot, untouched: bool, cause: Cause, started: Instant) {
        self.again = Again::default();
        let files = if untouched { "nothing has changed" } else { "the policy's files changed, its meaning did not" };
        info!(generation = old.generation, "{files}");
        self.shared.metrics.count_reload(Reload::Unchanged);
        // What was refused before is mended, even if it is only taken back.
        if self.facts.last().is_some_and(|last| matches!(last.outcome, Outcome::Refused { .. })) {
            self.note(cause.words(), started, Outcome::InService(Changes::default()));
        }
    }

    fn refuse(&mut self, old: &Snapshot, cause: Cause, started: Instant, reason: &str) {
        self.refused = true;
        self.again = Again::default();
        let reason_said = Some(reason.to_owned());
        let outcome = Outcome::Refused { shown: String::new(), diagnostics: Vec::new(), reason: reason_said };
        self.note(cause.words(), started, outcome);
        self.shared.metrics.count_reload(Reload::Refused);
        error!(generation = old.generation, "the policy was not reloaded; the old one serves on: {reason}");
    }

    /// Puts a policy in service, unless the gateway drains.
    fn commit(&mut self, sound: Sound, old: &Snapshot, ready: Ready, (cause, started): (Cause, Instant)) {
        self.again = Again::default();
        if self.signs.ending.load(Ordering::Acquire) {
            return;
        }
        let snapshot = self.adopt(sound);
        if snapshot.plan().gateway.workers != old.plan().gateway.workers {
            warn!("a new number of workers counts from the next start");
        }
        doubt(&snapshot);
        let snapshot = Arc::new(snapshot);
        self.shared.commit(Arc::clone(&snapshot));
        self.serve(&snapshot, ready, snapshot.plan().gateway.drain);
        self.note(cause.words(), started, Outcome::InService(diff(old.plan(), snapshot.plan())));
        self.shared.metrics.count_reload(Reload::Ok);
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(generation = snapshot.generation, ms, "reloaded");
    }

    /// Opens the sockets that a policy needs and that are not open.
    ///
    /// # Errors
    /// A sentence that names the listener, if an address cannot be had.
    pub(super) fn open(&self, snapshot: &Snapshot) -> Result<Ready, String> {
        let opened = self.sockets.prepare(snapshot, self.workers.len())?;
        Ok(Ready { opened, watched: self.admin.sockets.prepare(snapshot.plan())? })
    }

    /// Serves on the sockets of a policy that is in service. Those that are gone end their connections within the time.
    pub(super) fn serve(&mut self, snapshot: &Arc<Snapshot>, Ready { opened, watched }: Ready, drain: Duration) {
        self.check_servers(snapshot);
        self.facts.lifecycle(|lifecycle| lifecycle.prepare(snapshot.plan(), &self.overrides, drain));
        self.sockets.commit(opened, &self.workers, drain);
        self.facts.lifecycle(|lifecycle| lifecycle.run(self.sockets.loads()));
        self.admin.serve(watched);
    }

    /// Notes what became of a policy that was read.
    pub(super) fn note(&self, cause: &str, started: Instant, outcome: Outcome) {
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let generation = self.shared.snapshot().generation;
        self.facts.note(Generation { generation, at: SystemTime::now(), ms, cause: cause.to_owned(), outcome });
    }
}

/// Sockets that a policy needs and that nobody serves yet.
pub struct Ready {
    pub(super) opened: sockets::Opened,
    pub(super) watched: admin::sockets::Opened,
}

/// A policy without a mistake, and what it was made of.
struct Sound {
    snapshot: Snapshot,
    written: Plan,
    overrides: Overrides,
    mask: Mask,
}

/// The reason why the files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The files look otherwise than when they were last read.
    Changed,
    /// An operator wants it.
    Told,
    /// The last reload failed for a reason that may pass.
    Again,
}

impl Cause {
    const fn words(self) -> &'static str {
        match self {
            Self::Changed => "a file changed",
            Self::Told => "an operator wanted it",
            Self::Again => "another try",
        }
    }
}

/// Waits for quiet after a change, so that half-written files are not read. The answer is whether an operator wants
/// them to be read. Other orders wait until they have been read.
fn settle(orders: &Receiver<Order>, Changed(mut quiet): Changed, waiting: &mut VecDeque<Asked>) -> bool {
    let latest = Instant::now() + limits::SETTLE_MAX;
    loop {
        let left = latest.saturating_duration_since(Instant::now());
        match orders.recv_timeout(quiet.min(left)) {
            // The last event decides: a rename ends what the writes before it began.
            Ok(Order::Changed(Changed(last))) => quiet = last,
            Ok(Order::Read) => return true,
            Ok(Order::Asked(asked)) => waiting.push_back(asked),
            Err(_) => return false,
        }
        if left.is_zero() {
            return false;
        }
    }
}

/// Whether two policies come to the same in service.
fn means_the_same(new: &Snapshot, old: &Snapshot) -> bool {
    *new.plan() == *old.plan()
        && same_extensions(new, old)
        && new.tls.certificates.serves_the_same(&old.tls.certificates)
}

fn same_extensions(new: &Snapshot, old: &Snapshot) -> bool {
    new.extensions.len() == old.extensions.len()
        && new.extensions.iter().zip(&old.extensions).all(|(new, old)| Arc::ptr_eq(new, old))
}

/// Warns of a policy that takes more clients than there is room for.
pub(super) fn doubt(snapshot: &Snapshot) {
    if let Some(doubt) = Shares::now().doubt(snapshot.plan()) {
        warn!("{doubt}");
    }
}

/// Has each extension run `init` once for each worker.
pub(super) fn prewarm(snapshot: &Snapshot, workers: usize) -> Result<(), String> {
    for extension in &snapshot.extensions {
        let name = &extension.spec().name;
        extension
            .prewarm(workers)
            .map_err(|error| format!("extension `{name}` is not ready on every worker: {error}"))?;
    }
    Ok(())
}

pub(super) fn worker_count(wanted: Option<u32>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or_else(cores, |wanted| usize::try_from(wanted).unwrap_or(1)).max(1)
}

/// Writes diagnostics to standard error.
pub(super) fn report(diagnostics: &[Diagnostic], sources: &Sources, refusal: Option<&str>) {
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

#[cfg(test)]
pub(crate) mod tests;
