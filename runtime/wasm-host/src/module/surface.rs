//! The names that a core module imports and exports.

use wasmparser::{Parser, Payload};

/// Functions that a core module imports and exports.
#[derive(Default)]
pub(crate) struct Surface {
    pub(crate) imports: Vec<(String, String)>,
    pub(crate) exports: Vec<String>,
}

impl Surface {
    /// The surface of a valid core module; of anything else, nothing.
    pub(crate) fn of(module: &[u8]) -> Self {
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
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{EntityType, ExportKind, ExportSection, ImportSection, Module, TypeSection};

    use super::*;

    #[test]
    fn names_of_a_core_module_are_listed_and_of_all_else_none() {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import("env", "a", EntityType::Function(0)).import("env", "b", EntityType::Function(0));
        let mut exports = ExportSection::new();
        exports.export("run", ExportKind::Func, 0);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&exports);
        let module = module.finish();
        let surface = Surface::of(&module);
        let pair = |name: &str| ("env".to_owned(), name.to_owned());
        assert_eq!((surface.imports, surface.exports), (vec![pair("a"), pair("b")], vec!["run".to_owned()]));
        let mut component = wasm_encoder::Component::new();
        component.section(&wasm_encoder::RawSection { id: 1, data: &module });
        for other in [&component.finish()[..], b"no wasm", &module[..6]] {
            let surface = Surface::of(other);
            assert!(surface.imports.is_empty() && surface.exports.is_empty());
        }
    }
}
