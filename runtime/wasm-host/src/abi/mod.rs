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
