//! The gateway's own ABI: components, and core modules with a component's type inside.

mod answers;
mod by_hook;
mod component;
mod functions;
mod inspect;
mod module;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmtime::Engine;

use crate::abi::guest_abi::{Compiled, GuestAbi, Inspected};
use crate::base::log::one_line;
use crate::guest::interest::BodyMode;
use crate::module::report::{ModuleError, ModuleReport, Spoken};
use crate::module::surface::Surface;
use crate::wit::interfaces::{OUTBOUND, interface_of};

/// The gateway's own ABI.
pub(crate) struct Tidegate;

/// Whether a module imports what waits for other servers.
fn imports_what_waits(report: &ModuleReport) -> bool {
    report.needs.iter().any(|need| interface_of(&need.import) == Some(OUTBOUND))
}

impl GuestAbi for Tidegate {
    fn abi(&self) -> Abi {
        Abi::Tidegate
    }

    fn spoken(&self, _: &Surface) -> Option<Spoken> {
        Some(Spoken { abi: Abi::Tidegate, version: None })
    }

    fn validate(&self, file: &[u8]) -> Result<(), ModuleError> {
        inspect::validate(file).map_err(|error| ModuleError::NotWasm(one_line(&error, 512)))
    }

    fn inspect(&self, file: &[u8]) -> Result<Inspected, ModuleError> {
        let component = inspect::component(file)?;
        Ok(Inspected { report: inspect::report(&component)?, component: Some(component) })
    }

    /// Compiles a core module as what it is, unless it imports what waits, which only components can.
    fn compile(
        &self,
        engine: &Engine,
        file: &[u8],
        inspected: &Inspected,
    ) -> wasmtime::Result<Option<Box<dyn Compiled>>> {
        let waits = imports_what_waits(&inspected.report);
        if !waits
            && !inspect::is_component(file)
            && let Some(module) = module::Compiled::compile(engine, file)?
        {
            return Ok(Some(Box::new(module)));
        }
        let component = inspected.component.as_deref().unwrap_or(file);
        Ok(component::Compiled::compile(engine, component, waits)?.map(|it| Box::new(it) as Box<dyn Compiled>))
    }

    fn waits(&self, report: &ModuleReport, _: &[Capability]) -> bool {
        imports_what_waits(report)
    }

    fn keeps_requests(&self) -> bool {
        false
    }

    fn body_mode(&self, mode: BodyMode, _: Hook, _: &Exchange, _: bool) -> Option<BodyMode> {
        Some(mode)
    }
}
