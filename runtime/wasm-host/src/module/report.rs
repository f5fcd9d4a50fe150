//! The findings of reading a module, and the reasons why a file is no extension.

use std::fmt;

use tidegate_engine::hook::{Abi, Capability, Hook};

use super::census::{Bound, Census, Uncounted};
use crate::base::limits::MODULE_BYTES;
use crate::base::log::one_line;
use crate::wit::interfaces::{PACKAGE, VERSION};

/// The findings of inspecting a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleReport {
    /// The hooks that the module exports.
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
    /// The capability that covers the import.
    pub capability: Capability,
}

/// The ABI that a module says it was built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// The ABI.
    pub abi: Abi,
    /// The ABI's version, if the module names one.
    pub version: Option<String>,
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.abi.word())?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

/// The reason why a file is no extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleError {
    /// The file is neither a core module nor a component; the reason.
    NotWasm(String),
    /// The file is larger than the host takes; its bytes.
    TooLarge(usize),
    /// The module holds more than the host compiles.
    Bound(Box<Bound>),
    /// The core module could not be made a component; the reason.
    NotAComponent(String),
    /// The module exports no `lifecycle`, or no hook; the interface that is missing.
    NoExport(&'static str),
    /// The module speaks another ABI than the policy says.
    OtherAbi {
        /// The ABI of the policy.
        said: Abi,
        /// The ABI of the module.
        spoken: Spoken,
    },
    /// A module of a foreign ABI without a hook.
    NoForeignExport {
        /// The ABI.
        abi: Abi,
        /// A hook that the module could export.
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
                let said = said.word();
                write!(
                    f,
                    "the module does not speak {said}: take `abi {said}` out, or name a module that was built for it"
                )
            }
            Self::OtherAbi { spoken, .. } => {
                write!(f, "the module speaks {spoken}: write `abi {}`", spoken.abi.word())
            }
            Self::NoForeignExport { abi, export } => {
                write!(f, "the module exports no hook of {}, such as `{export}`", abi.word())
            }
        }
    }
}

impl std::error::Error for ModuleError {}

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
