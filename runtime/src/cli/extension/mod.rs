//! `tidegate extension`: what a module is, and what it costs.

mod bench;
mod config;
mod inspect;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tidegate_base::disk::Disk;
use tidegate_base::limits::MODULE_BYTES;
use tidegate_engine::hook::{Abi, Capability};
use tidegate_wasm_host::{ExtensionSpec, Host, ModuleError, ModuleReport, Reach};

use super::{AnswerFormat, Failed, host};

/// A module as the command line names it.
#[derive(Args)]
pub(super) struct Module {
    /// The module.
    file: PathBuf,
    /// What `init` is told: the lines of `config { … }` in a policy, or JSON; or a file with either.
    #[arg(long, value_name = "TEXT|FILE")]
    config: Option<String>,
}

/// Prints what a module is.
pub(super) fn inspect(module: &Module, format: AnswerFormat) -> Result<(), Failed> {
    let looked = look(module)?;
    inspect::inspect(&looked, format)
}

/// Measures a module.
pub(super) fn bench(module: &Module, format: AnswerFormat) -> Result<(), Failed> {
    let looked = look(module)?;
    bench::bench(&looked, format)
}

/// A module that was read.
struct Looked {
    file: PathBuf,
    bytes: Arc<[u8]>,
    /// The ABI that the module speaks.
    abi: Abi,
    /// The configuration as `init` gets it.
    config: String,
    /// Whether the command line has a configuration.
    has_config: bool,
    host: Host,
    report: ModuleReport,
}

fn look(module: &Module) -> Result<Looked, Failed> {
    let refused = |why: String| Failed::Because(format!("`{}`: {why}", module.file.display()));
    let bytes = Disk::default().read(&module.file, MODULE_BYTES).map_err(refused)?;
    let host = host()?;
    let (abi, report) = match tidegate_wasm_host::inspect(&bytes, Abi::Tidegate) {
        Err(ModuleError::OtherAbi { spoken, .. }) => (spoken.abi, tidegate_wasm_host::inspect(&bytes, spoken.abi)),
        report => (Abi::Tidegate, report),
    };
    let report = report.map_err(|error| refused(error.to_string()))?;
    let config = module.config.as_deref().map(config::text).transpose()?;
    let has_config = config.is_some();
    let config = match config {
        None => "{}".to_owned(),
        Some(config) if abi == Abi::Tidegate => config::json(config)?,
        // Guests of other gateways take any text.
        Some(config) => config,
    };
    Ok(Looked { file: module.file.clone(), bytes: bytes.into(), abi, config, has_config, host, report })
}

impl Looked {
    /// The words of `allow` that it needs, in the order of the language.
    fn allow(&self) -> Vec<Capability> {
        let needed = |word: &Capability| self.report.needs.iter().any(|need| need.capability == *word);
        Capability::ALL.into_iter().filter(needed).collect()
    }

    /// The extension as a policy with the defaults would run it that allows what it needs.
    fn spec(&self) -> ExtensionSpec {
        ExtensionSpec {
            name: name(&self.file),
            module: Arc::clone(&self.bytes),
            abi: self.abi,
            config: self.config.clone(),
            memory: 16 << 20,
            time: Duration::from_millis(10),
            instances: 4,
            fresh: false,
            allow: self.allow(),
            reach: Reach::default(),
        }
    }
}

fn name(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Bytes in the unit that people read.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let bytes_f = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes_f / 1024.0),
        _ => format!("{:.1} MiB", bytes_f / 1_048_576.0),
    }
}
