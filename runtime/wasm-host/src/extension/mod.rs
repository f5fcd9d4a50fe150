//! A loaded extension: compiled code, one configuration, one set of limits.

pub(crate) mod code;
pub(crate) mod instance;
pub(crate) mod interest;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, Capability, Hook, HookFault, HookFaultKind, Reach};
use wasmtime::Engine;

use crate::abi::Linked;
use crate::base::limits::STOCK_WALL;
use crate::base::log::{LogLevel, LogRecord};
use crate::extension::code::Code;
use crate::extension::instance::Instance;
use crate::extension::interest::{BodyMode, Interest};
use crate::guest::Settings;
use crate::host::Host;
use crate::module::census::Census;
use crate::module::inspect::{ModuleError, ModuleReport, Need};
use crate::shared::metrics::Shared;
use crate::shared::room::Room;
use crate::wit::interfaces::{PACKAGE, VERSION};

/// What a policy says about an extension.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtensionSpec {
    /// Its name, for logs.
    pub name: String,
    /// The module's file, read: a core module with its component type inside, or a component.
    pub module: Arc<[u8]>,
    /// What it speaks.
    pub abi: Abi,
    /// The configuration, as JSON text, or as a foreign guest wants it.
    pub config: String,
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// CPU time of one hook call. It is measured in ticks of a millisecond.
    pub time: Duration,
    /// Instances that a worker keeps.
    pub instances: u32,
    /// Whether each call gets an instance of its own.
    pub fresh: bool,
    /// What it may do.
    pub allow: Vec<Capability>,
    /// The server groups that it may name.
    pub reach: Reach,
}

/// A loaded extension, shared by all workers. When the last reference goes, its code is freed.
pub struct Extension {
    spec: ExtensionSpec,
    engine: Engine,
    /// Kept, so that the host finds it for as long as it is in use.
    code: Arc<Code>,
    room: Arc<Room>,
    linked: Linked,
    settings: Arc<Settings>,
    interest: Interest,
    waits: bool,
    /// Instances that nobody has called yet.
    stock: Mutex<Vec<Instance>>,
    /// How many instances have been made ready before it was put in service.
    stocked: AtomicUsize,
}

/// Why an extension cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The file is no extension.
    Module(ModuleError),
    /// It imports what the host does not have; the full names.
    UnknownImports(Vec<String>),
    /// It exports hooks that the host does not call; the full names.
    UnknownExports(Vec<String>),
    /// It imports what its policy does not allow.
    NotAllowed(Vec<Need>),
    /// The code does not compile or link; the reason.
    Compile(String),
    /// The code was not compiled in this time.
    Late(Duration),
    /// So many other modules that were late are still being compiled.
    Crowded(usize),
    /// Compiled code is kept where others may write by now, so that none is read or made; the reason.
    CodeFolder(String),
    /// `init` refused the configuration; what it said.
    Init(String),
    /// `init` failed.
    InitFault(HookFault),
    /// `init` answered an interest that cannot be met; the reason.
    Interest(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(error) => write!(f, "{error}"),
            Self::UnknownImports(names) => {
                write!(f, "the module imports {}, and the host has {PACKAGE}@{VERSION} alone", quoted(names))
            }
            Self::UnknownExports(names) => {
                write!(f, "the module exports {}, which this version does not call", quoted(names))
            }
            Self::NotAllowed(needs) => {
                let need = |need: &Need| format!("`{}` (allow it with `{}`)", need.import, need.capability.word());
                let needs: Vec<String> = needs.iter().map(need).collect();
                write!(f, "the module imports what it is not allowed: {}", needs.join(", "))
            }
            Self::Compile(reason) => write!(f, "the module does not compile: {reason}"),
            Self::Late(limit) => write!(f, "the module was not compiled within {limit:?}"),
            Self::Crowded(1) => write!(f, "the module is not compiled while another one that took too long still is"),
            Self::Crowded(others) => {
                write!(f, "the module is not compiled while {others} others that took too long still are")
            }
            Self::CodeFolder(reason) => write!(f, "compiled code is not safe where it is kept: {reason}"),
            Self::Init(message) => write!(f, "the extension refuses its configuration: {message}"),
            Self::InitFault(fault) => write!(f, "the extension failed in `init`: {}", fault.message),
            Self::Interest(reason) => write!(f, "the extension cannot be run: {reason}"),
        }
    }
}

impl std::error::Error for LoadError {}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl LoadError {
    /// Refuses a module whose memory begins larger than its limit, before it is compiled.
    pub(crate) fn check_memory(census: &Census, limit: u64) -> Result<(), Self> {
        if census.memory <= limit {
            return Ok(());
        }
        let message = format!(
            "the module begins with {} bytes of memory, which is more than its {limit} bytes of memory",
            census.memory
        );
        Err(Self::InitFault(HookFault { kind: HookFaultKind::Memory, message }))
    }

    /// Refuses a module whose imports and exports are not all known and allowed.
    pub(crate) fn check(report: &ModuleReport, allow: &[Capability]) -> Result<(), Self> {
        if !report.unknown_imports.is_empty() {
            return Err(Self::UnknownImports(report.unknown_imports.clone()));
        }
        if !report.unknown_exports.is_empty() {
            return Err(Self::UnknownExports(report.unknown_exports.clone()));
        }
        let denied: Vec<Need> = report.needs.iter().filter(|need| !allow.contains(&need.capability)).cloned().collect();
        if denied.is_empty() { Ok(()) } else { Err(Self::NotAllowed(denied)) }
    }
}

impl Extension {
    pub(crate) fn new(host: &Host, spec: &ExtensionSpec, code: Arc<Code>) -> Result<Self, LoadError> {
        let compile =
            |error: wasmtime::Error| LoadError::Compile(crate::base::log::one_line(&format!("{error:#}"), 512));
        let linked = code.form.link(host.engine(), &spec.allow).map_err(compile)?;
        let (log, log_level) = host.log();
        let settings = Arc::new(Settings {
            name: spec.name.clone(),
            allow: spec.allow.clone(),
            reach: spec.reach.clone(),
            log,
            log_level,
            ticker: host.ticker(),
            shared: host.shared(&spec.name),
        });
        let (first, asked) = Instance::new(host.engine(), &linked, &settings, spec).map_err(LoadError::InitFault)?;
        let asked = asked.map_err(LoadError::Init)?;
        let interest = Interest::new(&asked, &code.report.hooks).map_err(LoadError::Interest)?;
        let waits = match spec.abi {
            Abi::Tidegate => code.report.waits(),
            Abi::ProxyWasm => spec.allow.contains(&Capability::Outbound),
            Abi::HttpWasm => false,
        };
        Ok(Self {
            spec: spec.clone(),
            engine: host.engine().clone(),
            code,
            room: host.room(),
            linked,
            settings,
            interest,
            waits,
            stock: Mutex::new(vec![first]),
            stocked: AtomicUsize::new(1),
        })
    }

    /// What it was loaded from.
    pub const fn spec(&self) -> &ExtensionSpec {
        &self.spec
    }

    /// Whether its guests may wait for other servers: those calls go through [`Turn`](crate::Turn).
    pub const fn waits(&self) -> bool {
        self.waits
    }

    /// What it wants to be asked about.
    pub const fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Whether it wants to be asked about this exchange in this hook. If not, the call is left out.
    pub fn wants(&self, hook: Hook, exchange: &Exchange) -> bool {
        self.interest.covers(hook, exchange)
    }

    /// What it wants of the body of this exchange, in a body hook.
    pub fn body(&self, hook: Hook, exchange: &Exchange) -> Option<BodyMode> {
        self.interest.body(hook, exchange)
    }

    /// The time between its ticks, if it wants any.
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
    /// What `init` said, or how it failed.
    pub fn stock(&self, workers: usize) -> Result<(), LoadError> {
        let start = Instant::now();
        while self.stocked.load(Ordering::Relaxed) < workers {
            if start.elapsed() > STOCK_WALL {
                let message = format!("`init` was not done for {workers} workers in {STOCK_WALL:?}");
                return Err(LoadError::InitFault(HookFault { kind: HookFaultKind::Deadline, message }));
            }
            let made = Instance::new(&self.engine, &self.linked, &self.settings, &self.spec);
            let (instance, asked) = made.map_err(LoadError::InitFault)?;
            asked.map_err(LoadError::Init)?;
            self.stock.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
            self.stocked.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// An instance that has run `init`: one in stock, while there is one, or else a new one.
    pub(crate) fn instantiate(&self) -> Result<Instance, HookFault> {
        let in_stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop();
        in_stock.map_or_else(|| self.make(), Ok)
    }

    fn make(&self) -> Result<Instance, HookFault> {
        let (instance, asked) = Instance::new(&self.engine, &self.linked, &self.settings, &self.spec)?;
        match asked {
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
