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
