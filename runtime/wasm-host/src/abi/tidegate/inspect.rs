//! The component in a module, and what it exports and imports.

use std::collections::HashSet;

use wasmparser::{BinaryReaderError, Parser, Payload, Validator};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::decoding::decode_world;
use wit_parser::{Resolve, WorldId};

use crate::base::log::one_line;
use crate::module::report::{ModuleError, ModuleReport, Need};
use crate::wit::interfaces::{HOOKS, LIFECYCLE, PACKAGE, capability_of, capability_of_hook, interface_of};

/// The component in a valid module: itself, or what its core module and the component type inside it make.
pub(super) fn component(module: &[u8]) -> Result<Vec<u8>, ModuleError> {
    if is_component(module) { Ok(module.to_vec()) } else { encode(module) }
}

/// Whether a file is a component, and not a core module.
pub(super) fn is_component(module: &[u8]) -> bool {
    Parser::is_component(module)
}

/// Ends a file that is half written, or no Wasm at all: the readers that follow expect valid input. The component type
/// inside a core module is Wasm of its own, which validating the module does not look at; `wit-bindgen` leaves a piece
/// of it for each world.
pub(super) fn validate(module: &[u8]) -> Result<(), String> {
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

/// Reads what a component that [`component`] gave exports and imports.
pub(super) fn report(component: &[u8]) -> Result<ModuleReport, ModuleError> {
    let decoded =
        wit_component::decode(component).map_err(|error| ModuleError::NotWasm(one_line(&format!("{error:#}"), 512)))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(ModuleError::NotAComponent("it is a package of interfaces, without code".to_owned()));
    };
    of_world(&resolve, world)
}

fn of_world(resolve: &Resolve, world: WorldId) -> Result<ModuleReport, ModuleError> {
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
