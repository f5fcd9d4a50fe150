//! A loaded extension: compiled code, one configuration, one set of limits.

pub(crate) mod code;
pub(crate) mod instance;
pub(crate) mod load_error;
pub(crate) mod spec;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, HookFaultKind};
use wasmtime::Engine;

use self::code::Code;
use self::instance::Instance;
use self::load_error::LoadError;
use self::spec::ExtensionSpec;
use crate::abi;
use crate::abi::guest_abi::{GuestAbi, Linked};
use crate::base::limits::PREWARM_WALL;
use crate::base::log::{LogLevel, LogRecord};
use crate::guest::Settings;
use crate::guest::interest::{BodyMode, Interest};
use crate::shared::metrics::Shared;
use crate::shared::room::Room;

/// A loaded extension, shared by all workers. When the last reference goes, its code is freed.
pub struct Extension {
    spec: ExtensionSpec,
    abi: &'static dyn GuestAbi,
    engine: Engine,
    /// The compiled code: kept, so that the host finds it for as long as the extension is in use.
    code: Arc<Code>,
    room: Arc<Room>,
    linked: Box<dyn Linked>,
    settings: Arc<Settings>,
    interest: Interest,
    waits: bool,
    keeps_requests: bool,
    /// Instances that nobody has called yet.
    ready: Mutex<Vec<Instance>>,
    /// The number of instances that were made ready before the extension was put in service.
    prewarmed: AtomicUsize,
}

impl Extension {
    pub(crate) fn new(
        engine: &Engine,
        room: Arc<Room>,
        settings: Arc<Settings>,
        spec: &ExtensionSpec,
        code: Arc<Code>,
    ) -> Result<Self, LoadError> {
        let linked = code.compiled.link(engine, &spec.allow).map_err(|error| LoadError::compile(&error))?;
        let (first, result) = Instance::new(engine, &*linked, &settings, spec).map_err(LoadError::InitFault)?;
        let wanted = result.map_err(LoadError::Init)?;
        let interest = Interest::new(&wanted, &code.report.hooks).map_err(LoadError::Interest)?;
        let abi = abi::of(spec.abi);
        let waits = abi.waits(&code.report, &spec.allow);
        Ok(Self {
            spec: spec.clone(),
            abi,
            engine: engine.clone(),
            code,
            room,
            linked,
            settings,
            interest,
            waits,
            keeps_requests: abi.keeps_requests(),
            ready: Mutex::new(vec![first]),
            prewarmed: AtomicUsize::new(1),
        })
    }

    /// The spec that the extension was loaded from.
    pub const fn spec(&self) -> &ExtensionSpec {
        &self.spec
    }

    /// Whether the guests may wait for other servers: those calls go through [`SuspendedCall`](crate::SuspendedCall).
    pub const fn waits(&self) -> bool {
        self.waits
    }

    /// The exchanges and hooks that the extension wants to be asked about.
    pub const fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Whether the extension wants to be asked about this exchange in this hook. If not, the call is left out.
    pub fn wants(&self, hook: Hook, exchange: &Exchange) -> bool {
        self.interest.covers(hook, exchange)
    }

    /// The part of this exchange's body that the extension wants, in a body hook.
    pub fn body(&self, hook: Hook, exchange: &Exchange) -> Option<BodyMode> {
        self.interest.body(hook, exchange)
    }

    /// The time between ticks, if the extension wants any.
    pub const fn tick(&self) -> Option<Duration> {
        self.interest.tick()
    }

    /// Counts a fault that only the policy shows: a server group that there is not.
    pub fn count(&self, kind: HookFaultKind) {
        self.settings.shared.counts.fault(kind);
    }

    /// The room that the instances of this extension share with those of others.
    pub(crate) const fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// The part of the room that an instance takes.
    pub(crate) fn weight(&self) -> usize {
        self.code.weight
    }

    /// The ABI that the guests speak.
    pub(crate) const fn abi(&self) -> &'static dyn GuestAbi {
        self.abi
    }

    /// Whether a pool brings each request back to the instance that knows it, as [`GuestAbi::keeps_requests`] says.
    pub(crate) const fn keeps_requests(&self) -> bool {
        self.keeps_requests
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.settings.shared
    }

    /// Writes to the gateway's log, about the extension.
    pub(crate) fn say(&self, level: LogLevel, message: &str) {
        (self.settings.log)(LogRecord { extension: &self.settings.name, level, message });
    }

    /// Makes an instance ready for each of so many workers, unless that was done before. It runs `init`, and so it is done off
    /// the workers, before the extension is put in service: what `init` refuses to one of them, no request finds out.
    ///
    /// # Errors
    ///
    /// If `init` refuses the configuration, or fails.
    pub fn prewarm(&self, workers: usize) -> Result<(), LoadError> {
        let start = Instant::now();
        while self.prewarmed.load(Ordering::Relaxed) < workers {
            if start.elapsed() > PREWARM_WALL {
                let message = format!("`init` was not done for {workers} workers in {PREWARM_WALL:?}");
                return Err(LoadError::InitFault(HookFault { kind: HookFaultKind::Deadline, message }));
            }
            let made = Instance::new(&self.engine, &*self.linked, &self.settings, &self.spec);
            let (instance, result) = made.map_err(LoadError::InitFault)?;
            result.map_err(LoadError::Init)?;
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
            self.prewarmed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// An instance that has run `init`: one that is ready, while there is one, or else a new one.
    pub(crate) fn instantiate(&self) -> Result<Instance, HookFault> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        ready.map_or_else(|| self.make(), Ok)
    }

    fn make(&self) -> Result<Instance, HookFault> {
        let (instance, result) = Instance::new(&self.engine, &*self.linked, &self.settings, &self.spec)?;
        match result {
            Ok(_) => Ok(instance),
            Err(message) => Err(HookFault {
                kind: HookFaultKind::Instance,
                message: format!("a new instance refused the configuration that an earlier one took: {message}"),
            }),
        }
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension").field("name", &self.spec.name).finish_non_exhaustive()
    }
}
