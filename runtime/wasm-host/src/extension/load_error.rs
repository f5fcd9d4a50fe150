//! The reasons why an extension is not loaded.

use std::fmt;
use std::time::Duration;

use tidegate_engine::hook::{Capability, HookFault, HookFaultKind};

use crate::base::log::one_line;
use crate::module::census::Census;
use crate::module::report::{ModuleError, ModuleReport, Need};
use crate::wit::interfaces::{PACKAGE, VERSION};

/// The reason why an extension is not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The file is no extension.
    Module(ModuleError),
    /// The module imports what the host does not have; the full names.
    UnknownImports(Vec<String>),
    /// The module exports hooks that the host does not call; the full names.
    UnknownExports(Vec<String>),
    /// The module imports what its policy does not allow.
    NotAllowed(Vec<Need>),
    /// The code does not compile or link; the reason.
    Compile(String),
    /// The code was not compiled in this time.
    Late(Duration),
    /// Other modules that were late are still being compiled; how many.
    Crowded(usize),
    /// Compiled code is kept where others may write by now, so that none is read or made; the reason.
    CodeFolder(String),
    /// `init` refused the configuration; what it said.
    Init(String),
    /// `init` failed.
    InitFault(HookFault),
    /// `init` answered an interest that cannot be met; the reason.
    Interest(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(error) => write!(f, "{error}"),
            Self::UnknownImports(names) => {
                write!(f, "the module imports {}, and the host has {PACKAGE}@{VERSION} alone", quoted(names))
            }
            Self::UnknownExports(names) => {
                write!(f, "the module exports {}, which this version does not call", quoted(names))
            }
            Self::NotAllowed(needs) => {
                let need = |need: &Need| format!("`{}` (allow it with `{}`)", need.import, need.capability.word());
                let needs: Vec<String> = needs.iter().map(need).collect();
                write!(f, "the module imports what it is not allowed: {}", needs.join(", "))
            }
            Self::Compile(reason) => write!(f, "the module does not compile: {reason}"),
            Self::Late(limit) => write!(f, "the module was not compiled within {limit:?}"),
            Self::Crowded(1) => write!(f, "the module is not compiled while another one that took too long still is"),
            Self::Crowded(others) => {
                write!(f, "the module is not compiled while {others} others that took too long still are")
            }
            Self::CodeFolder(reason) => write!(f, "compiled code is not safe where it is kept: {reason}"),
            Self::Init(message) => write!(f, "the extension refuses its configuration: {message}"),
            Self::InitFault(fault) => write!(f, "the extension failed in `init`: {}", fault.message),
            Self::Interest(reason) => write!(f, "the extension cannot be run: {reason}"),
        }
    }
}

impl std::error::Error for LoadError {}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl LoadError {
    /// The compiler's reason, cut to a line.
    pub(crate) fn compile(error: &wasmtime::Error) -> Self {
        Self::Compile(one_line(&format!("{error:#}"), 512))
    }

    /// Refuses a module whose memory begins larger than its limit, before it is compiled.
    pub(crate) fn check_memory(census: &Census, limit: u64) -> Result<(), Self> {
        if census.memory <= limit {
            return Ok(());
        }
        let message = format!(
            "the module begins with {} bytes of memory, which is more than its {limit} bytes of memory",
            census.memory
        );
        Err(Self::InitFault(HookFault { kind: HookFaultKind::Memory, message }))
    }

    /// Refuses a module whose imports and exports are not all known and allowed.
    pub(crate) fn check(report: &ModuleReport, allow: &[Capability]) -> Result<(), Self> {
        if !report.unknown_imports.is_empty() {
            return Err(Self::UnknownImports(report.unknown_imports.clone()));
        }
        if !report.unknown_exports.is_empty() {
            return Err(Self::UnknownExports(report.unknown_exports.clone()));
        }
        let denied: Vec<Need> = report.needs.iter().filter(|need| !allow.contains(&need.capability)).cloned().collect();
        if denied.is_empty() { Ok(()) } else { Err(Self::NotAllowed(denied)) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use wasm_encoder::{MemorySection, MemoryType, Module};

    use super::*;

    fn report(unknown_imports: &[&str], unknown_exports: &[&str], needs: &[(&str, Capability)]) -> ModuleReport {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ModuleReport {
            hooks: Vec::new(),
            needs: needs.iter().map(|(name, word)| Need { import: (*name).to_owned(), capability: *word }).collect(),
            unknown_imports: names(unknown_imports),
            unknown_exports: names(unknown_exports),
        }
    }

    #[test]
    fn what_is_unknown_comes_before_what_is_not_allowed() {
        let needs = [("a/log", Capability::Log), ("a/clock", Capability::Clock)];
        let refused =
            |report, allow: &[Capability]| LoadError::check(&report, allow).map_err(|error| error.to_string());
        let all = refused(report(&["env.x"], &["a/on-dream"], &needs), &[]);
        assert_eq!(all, Err(format!("the module imports `env.x`, and the host has {PACKAGE}@{VERSION} alone")));
        let exports = refused(report(&[], &["a/on-dream", "a/on-nap"], &needs), &[]);
        let message = "the module exports `a/on-dream`, `a/on-nap`, which this version does not call";
        assert_eq!(exports, Err(message.to_owned()));
        let denied = refused(report(&[], &[], &needs), &[Capability::Log]);
        let message = "the module imports what it is not allowed: `a/clock` (allow it with `clock`)";
        assert_eq!(denied, Err(message.to_owned()));
        assert_eq!(refused(report(&[], &[], &needs), &[Capability::Clock, Capability::Log]), Ok(()));
    }

    #[test]
    fn memory_that_a_module_begins_with_is_held_against_its_limit() {
        let mut memories = MemorySection::new();
        let page_size_log2 = None;
        memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2 });
        let mut module = Module::new();
        module.section(&memories);
        let census = Census::of(&module.finish()).map_err(drop).unwrap();
        assert_eq!(LoadError::check_memory(&census, 65_536), Ok(()));
        let refused = LoadError::check_memory(&census, 65_535);
        assert!(matches!(refused, Err(LoadError::InitFault(HookFault { kind: HookFaultKind::Memory, .. }))));
    }

    #[test]
    fn the_compilers_reason_is_a_line() {
        let error = wasmtime::Error::msg("one\ntwo").context("why");
        assert_eq!(LoadError::compile(&error), LoadError::Compile("why: one two".to_owned()));
    }
}
