//! The ABIs that guests speak. Each is a folder with all that is particular to it, and a line in [`ABIS`].

pub(crate) mod guest_abi;
pub(crate) mod requests;

mod foreign;
mod http_wasm;
mod proxy_wasm;
mod running;
mod tidegate;

use tidegate_engine::hook::Abi;

use self::guest_abi::{GuestAbi, Inspected};
use crate::module::report::ModuleError;
use crate::module::surface::Surface;

/// Every ABI, in the order in which a module is asked for it. The last one is the gateway's own, which is what a module
/// speaks that names no other.
const ABIS: [&dyn GuestAbi; 3] = [&proxy_wasm::ProxyWasm, &http_wasm::HttpWasm, &tidegate::Tidegate];

/// The ABI of this name.
pub(crate) fn of(abi: Abi) -> &'static dyn GuestAbi {
    ABIS.into_iter().find(|known| known.abi() == abi).unwrap_or(&tidegate::Tidegate)
}

/// Reads what a module that speaks `abi` exports and imports.
pub(crate) fn inspect(file: &[u8], abi: Abi) -> Result<Inspected, ModuleError> {
    let known = of(abi);
    known.validate(file)?;
    let surface = Surface::of(file);
    let spoken = ABIS.iter().find_map(|known| known.spoken(&surface));
    match spoken {
        Some(spoken) if spoken.abi != abi => Err(ModuleError::OtherAbi { said: abi, spoken }),
        _ => known.inspect(file),
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{CodeSection, ExportKind, ExportSection, FunctionSection, Module, TypeSection};

    use super::*;

    /// A module that exports an empty function under each name.
    fn exporting(names: &[&str]) -> Vec<u8> {
        let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
        types.ty().function([], []);
        functions.function(0);
        let mut exports = ExportSection::new();
        names.iter().for_each(|name| _ = exports.export(name, ExportKind::Func, 0));
        let mut code = CodeSection::new();
        code.function(wasm_encoder::Function::new([]).instruction(&wasm_encoder::Instruction::End));
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&code);
        module.finish()
    }

    fn refused(file: &[u8], abi: Abi) -> String {
        inspect(file, abi).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn each_abi_has_a_line() {
        for abi in [Abi::Tidegate, Abi::ProxyWasm, Abi::HttpWasm] {
            assert_eq!(of(abi).abi(), abi);
            assert_eq!(ABIS.iter().filter(|known| known.abi() == abi).count(), 1);
        }
        assert_eq!(ABIS.last().map(|abi| abi.abi()), Some(Abi::Tidegate), "it speaks for every module");
    }

    #[test]
    fn a_module_is_taken_for_what_it_speaks_and_nothing_else() {
        let proxy = exporting(&["proxy_abi_version_0_2_1", "proxy_on_request_headers"]);
        let http = exporting(&["handle_request"]);
        assert_eq!(refused(&proxy, Abi::ProxyWasm), "");
        assert_eq!(refused(&http, Abi::HttpWasm), "");
        assert_eq!(refused(&proxy, Abi::HttpWasm), "the module speaks proxy-wasm 0.2.1: write `abi proxy-wasm`");
        assert_eq!(refused(&http, Abi::Tidegate), "the module speaks http-wasm: write `abi http-wasm`");
        let own = refused(&exporting(&["run"]), Abi::HttpWasm);
        assert_eq!(
            own,
            "the module does not speak http-wasm: take `abi http-wasm` out, or name a module that was built for it"
        );
        for abi in ABIS {
            assert!(refused(b"\0asm", abi.abi()).starts_with("this is no WebAssembly: "));
        }
        let silent = exporting(&["proxy_abi_version_0_2_0"]);
        assert_eq!(
            refused(&silent, Abi::ProxyWasm),
            "the module exports no hook of proxy-wasm, such as `proxy_on_request_headers`"
        );
    }

    #[test]
    fn hooks_of_a_foreign_module_are_listed_once() {
        use tidegate_engine::hook::Hook;
        let proxy = exporting(&["proxy_abi_version_0_2_1", "proxy_on_tick", "proxy_on_done", "proxy_on_delete"]);
        let hooks = inspect(&proxy, Abi::ProxyWasm).map(|inspected| inspected.report.hooks);
        assert_eq!(hooks, Ok(vec![Hook::Log, Hook::Tick]));
    }
}
