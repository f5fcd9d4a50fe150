//! The imports and exports of a foreign module, held against what its ABI has.

use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmparser::Validator;

use super::wasi;
use crate::abi::guest_abi::Inspected;
use crate::base::log::one_line;
use crate::module::report::{ModuleError, ModuleReport, Need};
use crate::module::surface::Surface;

/// Refuses what is no core module.
pub(crate) fn validate(module: &[u8]) -> Result<(), ModuleError> {
    let valid = Validator::new().validate_all(module);
    valid.map(drop).map_err(|error| ModuleError::NotWasm(one_line(&error.to_string(), 512)))
}

/// Reads a valid module's imports and exports. `hooks` are the exports that are hooks, that which every guest has first; `knows`
/// says what a function needs, and nothing if the host does not have it.
pub(crate) fn inspect(
    file: &[u8],
    abi: Abi,
    hooks: &[(&'static str, Hook)],
    knows: impl Fn(&str, &str) -> Option<Option<Capability>>,
) -> Result<Inspected, ModuleError> {
    let surface = Surface::of(file);
    let mut report = ModuleReport {
        hooks: exported(hooks, &surface.exports),
        needs: Vec::new(),
        unknown_imports: Vec::new(),
        unknown_exports: Vec::new(),
    };
    for (module, name) in &surface.imports {
        let import = format!("{module}.{name}");
        match if wasi::is_wasi(module) { wasi::capability_of(name) } else { knows(module, name) } {
            None => report.unknown_imports.push(import),
            Some(Some(capability)) if report.needs.iter().all(|need| need.import != import) => {
                report.needs.push(Need { import, capability });
            }
            Some(_) => {}
        }
    }
    if report.hooks.is_empty() {
        let export = hooks.first().map(|(export, _)| *export).unwrap_or_default();
        return Err(ModuleError::NoForeignExport { abi, export });
    }
    Ok(Inspected { report, component: None })
}

fn exported(table: &[(&'static str, Hook)], exports: &[String]) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (export, hook) in table {
        if exports.iter().any(|name| name == export) && !hooks.contains(hook) {
            hooks.push(*hook);
        }
    }
    hooks
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use wasm_encoder::{EntityType, ImportSection, Module, TypeSection};

    use super::*;

    #[test]
    fn imports_are_unknown_or_need_a_word_or_nothing() {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        for (module, name) in [
            ("env", "free"),
            ("env", "costly"),
            ("env", "costly"),
            ("env", "no_such"),
            ("wasi_snapshot_preview1", "random_get"),
            ("wasi_snapshot_preview1", "fd_write"),
            ("wasi_snapshot_preview1", "thread_spawn"),
        ] {
            imports.import(module, name, EntityType::Function(0));
        }
        let mut exports = wasm_encoder::ExportSection::new();
        exports.export("on", wasm_encoder::ExportKind::Func, 0);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&exports);
        let knows = |_: &str, name: &str| match name {
            "free" => Some(None),
            "costly" => Some(Some(Capability::Clock)),
            _ => None,
        };
        let file = module.finish();
        validate(&file).unwrap();
        let report = inspect(&file, Abi::ProxyWasm, &[("on", Hook::Request)], knows).unwrap().report;
        let needs: Vec<(&str, Capability)> = report.needs.iter().map(|it| (&*it.import, it.capability)).collect();
        assert_eq!(
            needs,
            [("env.costly", Capability::Clock), ("wasi_snapshot_preview1.random_get", Capability::Random)]
        );
        assert_eq!(report.unknown_imports, ["env.no_such", "wasi_snapshot_preview1.thread_spawn"]);
        let other = inspect(&file, Abi::ProxyWasm, &[("off", Hook::Request)], knows).map(drop);
        assert_eq!(other, Err(ModuleError::NoForeignExport { abi: Abi::ProxyWasm, export: "off" }));
    }
}
