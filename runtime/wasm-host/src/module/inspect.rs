//! What a module is, without running it: its hooks, and what its imports need.

use std::collections::HashSet;
use std::fmt;

use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmparser::{BinaryReaderError, Parser, Payload, Validator};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::decoding::decode_world;
use wit_parser::{Resolve, WorldId};

use crate::abi::foreign::abi::{self, Spoken};
use crate::base::limits::MODULE_BYTES;
use crate::base::log::one_line;
use crate::module::census::{Bound, Census, Uncounted};
use crate::wit::interfaces::{
    HOOKS, LIFECYCLE, OUTBOUND, PACKAGE, VERSION, capability_of, capability_of_hook, interface_of,
};

/// What inspecting a module found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleReport {
    /// The hooks that it exports.
    pub hooks: Vec<Hook>,
    /// Imports that a policy must allow, in the order of the module; then exports, of which only body hooks need a word.
    pub needs: Vec<Need>,
    /// Imports that the host does not have, by their full names.
    pub unknown_imports: Vec<String>,
    /// Exports of the ABI's package that the host does not call, by their full names: loading refuses them.
    pub unknown_exports: Vec<String>,
}

/// An import or an exported hook, and the word of `allow` that covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The full name: `tidegate:extension/write-request-headers@0.1.0`.
    pub import: String,
    /// What it needs.
    pub capability: Capability,
}

impl ModuleReport {
    /// Whether it imports what waits for other servers.
    pub(crate) fn waits(&self) -> bool {
        self.needs.iter().any(|need| interface_of(&need.import) == Some(OUTBOUND))
    }
}

/// Why a file is no extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleError {
    /// Neither a core module nor a component; the reason.
    NotWasm(String),
    /// Larger than the host takes; its bytes.
    TooLarge(usize),
    /// The module holds more than the host compiles.
    Bound(Box<Bound>),
    /// The core module could not be made a component; the reason.
    NotAComponent(String),
    /// It does not export `lifecycle`, or no hook; the interface.
    NoExport(&'static str),
    /// It speaks another ABI than the policy says.
    OtherAbi {
        /// What the policy says.
        said: Abi,
        /// What the module says.
        spoken: Spoken,
    },
    /// A module of a foreign ABI without a hook.
    NoForeignExport {
        /// The ABI.
        abi: Abi,
        /// A hook that it could export.
        export: &'static str,
    },
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWasm(reason) => write!(f, "this is no WebAssembly: {reason}"),
            Self::TooLarge(bytes) => write!(f, "the module has {bytes} bytes, and {MODULE_BYTES} is the most"),
            Self::Bound(bound) => write!(f, "{bound}"),
            Self::NotAComponent(reason) => {
                write!(f, "the module was not built against {PACKAGE}@{VERSION}: {reason}")
            }
            Self::NoExport(interface) => write!(
                f,
                "the module does not export {PACKAGE}/{interface}: build it against {PACKAGE}@{VERSION}, and export its extension"
            ),
            Self::OtherAbi { said, spoken } if spoken.abi == Abi::Tidegate => {
                let said = abi::word(*said);
                write!(
                    f,
                    "the module does not speak {said}: take `abi {said}` out, or name a module that was built for it"
                )
            }
            Self::OtherAbi { spoken, .. } => {
                write!(f, "the module speaks {spoken}: write `abi {}`", abi::word(spoken.abi))
            }
            Self::NoForeignExport { abi, export } => {
                write!(f, "the module exports no hook of {}, such as `{export}`", abi::word(*abi))
            }
        }
    }
}

impl std::error::Error for ModuleError {}

/// Reads what a module that speaks `abi` exports and imports, without compiling it.
///
/// # Errors
///
/// If it is no extension, holds more than may be, or speaks another ABI.
pub fn inspect(module: &[u8], abi: Abi) -> Result<ModuleReport, ModuleError> {
    count(module)?;
    match abi {
        Abi::Tidegate => inspect_component(&component(module)?),
        Abi::ProxyWasm | Abi::HttpWasm => abi::inspect(module, abi),
    }
}

/// Refuses what is no core module.
pub(crate) fn read_core(module: &[u8]) -> Result<(), ModuleError> {
    let valid = Validator::new().validate_all(module);
    valid.map(drop).map_err(|error| ModuleError::NotWasm(one_line(&error.to_string(), 512)))
}

/// Counts what a module holds, and refuses one that holds more than may be.
pub(crate) fn count(module: &[u8]) -> Result<Census, ModuleError> {
    if module.len() > MODULE_BYTES {
        return Err(ModuleError::TooLarge(module.len()));
    }
    Census::of(module).map_err(|why| match why {
        Uncounted::Unreadable(reason) => ModuleError::NotWasm(one_line(&reason, 512)),
        Uncounted::Bound(bound) => ModuleError::Bound(bound),
    })
}

/// The component in `module`: itself, or what its core module and the component type inside it make.
pub(crate) fn component(module: &[u8]) -> Result<Vec<u8>, ModuleError> {
    validate(module).map_err(|error| ModuleError::NotWasm(one_line(&error, 512)))?;
    if is_component(module) {
        return Ok(module.to_vec());
    }
    abi::check(module, Abi::Tidegate)?;
    encode(module)
}

/// Whether a file is a component, and not a core module.
pub(crate) fn is_component(module: &[u8]) -> bool {
    Parser::is_component(module)
}

/// Ends a file that is half written, or no Wasm at all: the readers that follow expect valid input. The component type
/// inside a core module is Wasm of its own, which validating the module does not look at; `wit-bindgen` leaves a piece
/// of it for each world.
fn validate(module: &[u8]) -> Result<(), String> {
    let text = |error: BinaryReaderError| error.to_string();
    Validator::new().validate_all(module).map_err(text)?;
    let mut needs = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload.map_err(text)?
            && section.name().starts_with("component-type")
        {
            Validator::new().validate_all(section.data()).map_err(text)?;
            let (resolve, _) = decode_world(section.data()).map_err(|error| format!("{error:#}"))?;
            for (id, package) in &resolve.packages {
                let name = |id| resolve.packages[id].name.to_string();
                needs.extend(resolve.package_direct_deps(id).map(|need| (package.name.to_string(), name(need))));
            }
        }
    }
    if has_cycle(needs) {
        return Err("the packages of its component type need each other in a circle".to_owned());
    }
    Ok(())
}

/// Whether the needs cannot be met in any order. What reads them next would never end.
fn has_cycle(mut needs: Vec<(String, String)>) -> bool {
    loop {
        let before = needs.len();
        let pending: HashSet<String> = needs.iter().map(|(package, _)| package.clone()).collect();
        needs.retain(|(_, need)| pending.contains(need));
        if needs.len() == before {
            return before > 0;
        }
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>, ModuleError> {
    let encoder = ComponentEncoder::default().validate(true).module(module);
    encoder
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| ModuleError::NotAComponent(one_line(&format!("{error:#}"), 512)))
}

/// As [`inspect`], for what [`component`] gave.
pub(crate) fn inspect_component(component: &[u8]) -> Result<ModuleReport, ModuleError> {
    let decoded =
        wit_component::decode(component).map_err(|error| ModuleError::NotWasm(one_line(&format!("{error:#}"), 512)))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(ModuleError::NotAComponent("it is a package of interfaces, without code".to_owned()));
    };
    report(&resolve, world)
}

fn report(resolve: &Resolve, world: WorldId) -> Result<ModuleReport, ModuleError> {
    let world = &resolve.worlds[world];
    let mut report =
        ModuleReport { hooks: Vec::new(), needs: Vec::new(), unknown_imports: Vec::new(), unknown_exports: Vec::new() };
    for key in world.imports.keys() {
        let import = resolve.name_world_key(key);
        match capability_of(&import) {
            Some(Some(capability)) => report.needs.push(Need { import, capability }),
            Some(None) => {}
            None => report.unknown_imports.push(import),
        }
    }
    let mut lifecycle = false;
    let mut exported = Vec::new();
    for key in world.exports.keys() {
        let export = resolve.name_world_key(key);
        match interface_of(&export) {
            Some(LIFECYCLE) => lifecycle = true,
            Some(name) if HOOKS.iter().any(|(known, _)| *known == name) => {
                exported.push((name.to_owned(), export.clone()));
            }
            _ if export.starts_with(PACKAGE) => report.unknown_exports.push(export),
            _ => {}
        }
    }
    for (name, hook) in HOOKS.iter().filter(|(name, _)| exported.iter().any(|(interface, _)| interface == name)) {
        report.hooks.push(*hook);
        if let Some(capability) = capability_of_hook(*hook) {
            let import = exported.iter().find(|(interface, _)| interface == name).map(|(_, full)| full.clone());
            report.needs.push(Need { import: import.unwrap_or_default(), capability });
        }
    }
    if !lifecycle {
        return Err(ModuleError::NoExport("lifecycle"));
    }
    if report.hooks.is_empty() && report.unknown_exports.is_empty() {
        return Err(ModuleError::NoExport("on-request"));
    }
    Ok(report)
}
