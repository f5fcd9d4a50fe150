//! Which ABI a module speaks, and what of it the host does not have.

use std::fmt;

use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmparser::{Parser, Payload};

use super::wasi;
use crate::abi::{http_wasm, proxy_wasm};
use crate::module::inspect::{ModuleError, ModuleReport, Need, read_core};

/// What a module says that it was built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// The ABI.
    pub abi: Abi,
    /// Its version, if the module names one.
    pub version: Option<String>,
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self.abi))?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

/// The word of the policy.
pub(crate) const fn word(abi: Abi) -> &'static str {
    match abi {
        Abi::Tidegate => "tidegate",
        Abi::ProxyWasm => "proxy-wasm",
        Abi::HttpWasm => "http-wasm",
    }
}

/// Functions that a core module imports and exports.
#[derive(Default)]
struct Surface {
    imports: Vec<(String, String)>,
    exports: Vec<String>,
}

impl Surface {
    /// Of a valid core module; of anything else, nothing.
    fn of(module: &[u8]) -> Self {
        let mut surface = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload {
                Ok(Payload::Version { encoding: wasmparser::Encoding::Component, .. }) | Err(_) => return surface,
                Ok(Payload::ImportSection(section)) => {
                    let imports = section.into_imports().filter_map(Result::ok);
                    surface.imports.extend(imports.map(|import| (import.module.to_owned(), import.name.to_owned())));
                }
                Ok(Payload::ExportSection(section)) => {
                    surface.exports.extend(section.into_iter().filter_map(Result::ok).map(|it| it.name.to_owned()));
                }
                _ => {}
            }
        }
        surface
    }

    fn spoken(&self) -> Spoken {
        const VERSION: &str = "proxy_abi_version_";
        if let Some(version) = self.exports.iter().find_map(|name| name.strip_prefix(VERSION)) {
            return Spoken { abi: Abi::ProxyWasm, version: Some(version.replace('_', ".")) };
        }
        let http = self.imports.iter().any(|(module, _)| module == http_wasm::MODULE)
            || self.exports.iter().any(|name| name == http_wasm::HANDLE_REQUEST);
        Spoken { abi: if http { Abi::HttpWasm } else { Abi::Tidegate }, version: None }
    }
}

/// Refuses a module that speaks another ABI than the policy says.
pub(crate) fn check(module: &[u8], said: Abi) -> Result<(), ModuleError> {
    let spoken = Surface::of(module).spoken();
    if spoken.abi == said { Ok(()) } else { Err(ModuleError::OtherAbi { said, spoken }) }
}

/// Reads a foreign module's imports and exports.
pub(crate) fn inspect(module: &[u8], abi: Abi) -> Result<ModuleReport, ModuleError> {
    read_core(module)?;
    check(module, abi)?;
    let surface = Surface::of(module);
    let knows: fn(&str, &str) -> bool = match abi {
        Abi::HttpWasm => http_wasm::knows,
        _ => proxy_wasm::knows,
    };
    let mut report = ModuleReport {
        hooks: hooks(abi, &surface.exports),
        needs: Vec::new(),
        unknown_imports: Vec::new(),
        unknown_exports: Vec::new(),
    };
    for (module, name) in &surface.imports {
        let import = format!("{module}.{name}");
        let known = if wasi::is_wasi(module) { wasi::knows(name) } else { knows(module, name) };
        if !known {
            report.unknown_imports.push(import);
        } else if let Some(capability) = capability_of(name)
            && report.needs.iter().all(|need| need.import != import)
        {
            report.needs.push(Need { import, capability });
        }
    }
    if report.hooks.is_empty() {
        let hook = if abi == Abi::HttpWasm { http_wasm::HANDLE_REQUEST } else { proxy_wasm::ON_REQUEST_HEADERS };
        return Err(ModuleError::NoForeignExport { abi, export: hook });
    }
    Ok(report)
}

/// What an import needs that means one thing. The others are held against `allow` when they are called, because what they
/// need hangs on their arguments, and because most compilers import what they never call.
fn capability_of(name: &str) -> Option<Capability> {
    match name {
        "clock_time_get" | "clock_res_get" | "proxy_get_current_time_nanoseconds" => Some(Capability::Clock),
        "random_get" | "seed" => Some(Capability::Random),
        _ => None,
    }
}

fn hooks(abi: Abi, exports: &[String]) -> Vec<Hook> {
    let table: &[(&str, Hook)] = if abi == Abi::HttpWasm { &http_wasm::HOOKS } else { &proxy_wasm::HOOKS };
    let mut hooks = Vec::new();
    for (export, hook) in table {
        if exports.iter().any(|name| name == export) && !hooks.contains(hook) {
            hooks.push(*hook);
        }
    }
    hooks
}
