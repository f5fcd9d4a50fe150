//! The host of a process: its engine, and what it has loaded.

mod compiler;
mod engine;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use wasmtime::Engine;

use self::compiler::Compiler;
use crate::abi;
use crate::base::limits::{COMPILE_WALL, POOLED_INSTANCES};
use crate::base::log::{LogLevel, LogSink};
use crate::extension::Extension;
use crate::extension::code::Code;
use crate::extension::load_error::LoadError;
use crate::extension::spec::ExtensionSpec;
use crate::guest::Settings;
use crate::module::report;
use crate::shared::metrics::{Sample, Shared};
use crate::shared::room::Room;
use crate::shared::ticker::Ticker;

/// Runs the extensions of a process; there is one.
pub struct Host {
    engine: Engine,
    compiler: Compiler,
    ticker: Arc<Ticker>,
    room: Arc<Room>,
    code_is_ours: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    log: LogSink,
    log_level: LogLevel,
    /// The code that is loaded somewhere. The references are weak, so that a module that no policy uses is freed; they are
    /// few, so that a scan is all that a lookup needs.
    codes: Mutex<Vec<Weak<Code>>>,
    extensions: Mutex<Vec<Weak<Extension>>>,
    /// The parts that extensions of one name share, for as long as there is one.
    shared: Mutex<Vec<(String, Weak<Shared>)>>,
}

/// Settings of the host.
#[derive(Clone)]
pub struct HostOptions {
    /// The sink of the guests' log lines.
    pub log: LogSink,
    /// The level below which lines are not kept.
    pub log_level: LogLevel,
    /// Live instances that the pool makes room for: extensions, times workers, and again while a reload drains.
    pub instances: u32,
    /// The folder where compiled code is kept for the next process. Whoever can write there can run code in this one, so it must be the
    /// process's own; `None` keeps nothing.
    pub code: Option<PathBuf>,
    /// Whether the folder of `code` still is the process's own, or why not. The host asks before it compiles a module, and
    /// does not compile it if the folder is not.
    pub code_is_ours: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// The time that compiling a module may take.
    pub compile_time: Duration,
}

impl HostOptions {
    /// Settings that send log lines from `info` up to `log`.
    pub fn new(log: LogSink) -> Self {
        Self {
            log,
            log_level: LogLevel::Info,
            instances: POOLED_INSTANCES,
            code: None,
            code_is_ours: Arc::new(|| Ok(())),
            compile_time: COMPILE_WALL,
        }
    }
}

/// The reason why no host can be made on this machine.
#[derive(Debug)]
pub enum StartError {
    /// The engine does not start; the reason.
    Engine(String),
    /// The ticker's thread does not start.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(reason) => write!(f, "the WebAssembly engine does not start: {reason}"),
            Self::Thread(_) => write!(f, "the thread that interrupts extensions does not start"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(_) => None,
            Self::Thread(error) => Some(error),
        }
    }
}

impl Host {
    /// A host with nothing loaded.
    ///
    /// # Errors
    ///
    /// If the machine has no room for the engine or its thread.
    pub fn new(options: HostOptions) -> Result<Self, StartError> {
        let engine = engine::new(options.instances, options.code.as_deref())
            .map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(StartError::Thread)?;
        Ok(Self {
            engine,
            compiler: Compiler::new(options.compile_time),
            ticker: Arc::new(ticker),
            room: Room::new(options.instances),
            code_is_ours: options.code_is_ours,
            log: options.log,
            log_level: options.log_level,
            codes: Mutex::default(),
            extensions: Mutex::default(),
            shared: Mutex::default(),
        })
    }

    /// Compiles a module, links what it may import, and runs `init` once with its configuration. It blocks for as long
    /// as compiling takes, so it is called off the workers. What is loaded already, with the same module and
    /// settings, comes back as it is.
    ///
    /// # Errors
    ///
    /// If the module is no extension, imports what it may not, or refuses its configuration.
    pub fn load(&self, spec: &ExtensionSpec) -> Result<Arc<Extension>, LoadError> {
        if let Some(loaded) = find(&self.extensions, |extension: &Extension| extension.spec() == spec) {
            return Ok(loaded);
        }
        let code = self.code(&spec.module, spec)?;
        let settings = Arc::new(self.settings(spec));
        let extension = Extension::new(&self.engine, Arc::clone(&self.room), settings, spec, code).map(Arc::new)?;
        keep(&self.extensions, &extension);
        Ok(extension)
    }

    /// The number of compiled modules in memory.
    pub fn modules(&self) -> usize {
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.iter().filter(|code| code.strong_count() > 0).count()
    }

    fn code(&self, module: &Arc<[u8]>, spec: &ExtensionSpec) -> Result<Arc<Code>, LoadError> {
        if let Some(code) = find(&self.codes, |code: &Code| code.abi == spec.abi && code.module == *module) {
            LoadError::check(&code.report, &spec.allow)?;
            return Ok(code);
        }
        (self.code_is_ours)().map_err(LoadError::CodeFolder)?;
        let census = report::count(module).map_err(LoadError::Module)?;
        LoadError::check_memory(&census, spec.memory)?;
        let inspected = abi::inspect(module, spec.abi).map_err(LoadError::Module)?;
        LoadError::check(&inspected.report, &spec.allow)?;
        let (engine, what) = (self.engine.clone(), (Arc::clone(module), spec.abi));
        let compile = move || Code::compile(&engine, what, inspected, &census);
        let code = Arc::new(self.compiler.run((module, spec.abi), compile)?);
        keep(&self.codes, &code);
        Ok(code)
    }

    /// Every metric of every extension, as it stands: what guests defined, and what the host counts of them.
    pub fn samples(&self) -> Vec<Sample> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let live = shared.iter().filter_map(|(name, shared)| Some((name, shared.upgrade()?)));
        live.flat_map(|(name, shared)| shared.samples(name)).collect()
    }

    /// The settings that all instances of an extension share.
    fn settings(&self, spec: &ExtensionSpec) -> Settings {
        Settings {
            name: spec.name.clone(),
            allow: spec.allow.clone(),
            reach: spec.reach.clone(),
            log: Arc::clone(&self.log),
            log_level: self.log_level,
            ticker: Arc::clone(&self.ticker),
            shared: self.shared(&spec.name),
        }
    }

    /// The parts that the extensions of a name share: those that are there already, or new ones.
    fn shared(&self, name: &str) -> Arc<Shared> {
        let mut known = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, shared)| shared.strong_count() > 0);
        let found = known.iter().find(|(of, _)| of == name).and_then(|(_, shared)| shared.upgrade());
        found.unwrap_or_else(|| {
            let shared = Arc::new(Shared::default());
            known.push((name.to_owned(), Arc::downgrade(&shared)));
            shared
        })
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

fn find<T>(loaded: &Mutex<Vec<Weak<T>>>, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
    let loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.iter().filter_map(Weak::upgrade).find(|item| is(item))
}

fn keep<T>(loaded: &Mutex<Vec<Weak<T>>>, item: &Arc<T>) {
    let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|item| item.strong_count() > 0);
    loaded.push(Arc::downgrade(item));
}
