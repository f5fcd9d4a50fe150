//! Compiled modules.

use std::sync::Arc;

use tidegate_engine::hook::Abi;
use wasmtime::Engine;

use super::load_error::LoadError;
use crate::abi;
use crate::abi::guest_abi::{Compiled, Inspected};
use crate::module::census::Census;
use crate::module::report::{ModuleError, ModuleReport};
use crate::wit::interfaces::LIFECYCLE;

/// A compiled module.
pub(crate) struct Code {
    /// The file that the code was made of, which is its identity.
    pub(crate) module: Arc<[u8]>,
    /// The ABI that the module speaks.
    pub(crate) abi: Abi,
    pub(crate) report: ModuleReport,
    pub(crate) compiled: Box<dyn Compiled>,
    /// The room that an instance takes, as [`Census::weight`] counts it.
    pub(crate) weight: usize,
}

impl Code {
    /// Compiles a module that speaks `abi`.
    pub(crate) fn compile(
        engine: &Engine,
        (module, abi): (Arc<[u8]>, Abi),
        inspected: Inspected,
        census: &Census,
    ) -> Result<Self, LoadError> {
        let compiled = abi::of(abi)
            .compile(engine, &module, &inspected)
            .map_err(|error| LoadError::compile(&error))?
            .ok_or(LoadError::Module(ModuleError::NoExport(LIFECYCLE)))?;
        Ok(Self { module, abi, report: inspected.report, compiled, weight: census.weight() })
    }
}
