//! The interfaces of the ABI, and the capability that each import needs. One table feeds linking and inspection.

use tidegate_engine::hook::{Capability, Hook};

/// The package of the ABI.
pub(crate) const PACKAGE: &str = "tidegate:extension";

/// The version that this host has; it takes every `0.1.x`, because those only add.
pub(crate) const VERSION: &str = "0.1.0";

/// Every import that the host serves, and what it needs; `None` needs nothing.
pub(crate) const IMPORTS: [(&str, Option<Capability>); 18] = [
    ("types", None),
    ("fault", None),
    ("read-request", Some(Capability::ReadRequest)),
    ("conn", Some(Capability::ReadRequest)),
    ("write-request-headers", Some(Capability::WriteRequestHeaders)),
    ("rewrite", Some(Capability::Rewrite)),
    ("read-response", Some(Capability::ReadResponse)),
    ("write-response-headers", Some(Capability::WriteResponseHeaders)),
    ("route", Some(Capability::Route)),
    ("respond", Some(Capability::Respond)),
    ("vars", Some(Capability::Vars)),
    ("log", Some(Capability::Log)),
    ("clock", Some(Capability::Clock)),
    ("random", Some(Capability::Random)),
    ("metrics", Some(Capability::Metrics)),
    ("store", Some(Capability::Store)),
    ("groups", Some(Capability::Route)),
    (OUTBOUND, Some(Capability::Outbound)),
];

/// The import whose calls wait: guests that have it are run on stacks of their own.
pub(crate) const OUTBOUND: &str = "outbound";

/// The export that every extension has.
pub(crate) const LIFECYCLE: &str = "lifecycle";

/// The exports that are hooks.
pub(crate) const HOOKS: [(&str, Hook); 6] = [
    ("on-request", Hook::Request),
    ("on-response", Hook::Response),
    ("on-request-body", Hook::RequestBody),
    ("on-response-body", Hook::ResponseBody),
    ("on-log", Hook::Log),
    ("on-tick", Hook::Tick),
];

/// The capability that exporting a hook needs.
pub(crate) const fn capability_of_hook(hook: Hook) -> Option<Capability> {
    match hook {
        Hook::RequestBody | Hook::ResponseBody => Some(Capability::Body),
        _ => None,
    }
}

/// The full name of an interface: `tidegate:extension/log@0.1.0`.
pub(crate) fn full_name(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{VERSION}")
}

/// The interface that a full name means, if it is of this package and of a version that the host takes.
pub(crate) fn interface_of(full_name: &str) -> Option<&str> {
    let (interface, version) = full_name.strip_prefix(PACKAGE)?.strip_prefix('/')?.split_once('@')?;
    let patch = version.strip_prefix("0.1.")?;
    (!patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())).then_some(interface)
}

/// The capability that an import needs, if any; `None` if the host does not have the import.
pub(crate) fn capability_of(full_name: &str) -> Option<Option<Capability>> {
    let interface = interface_of(full_name)?;
    IMPORTS.iter().find(|(name, _)| *name == interface).map(|(_, capability)| *capability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_versions_are_taken_and_others_are_not() {
        assert_eq!(capability_of("tidegate:extension/log@0.1.0"), Some(Some(Capability::Log)));
        assert_eq!(capability_of("tidegate:extension/log@0.1.7"), Some(Some(Capability::Log)));
        assert_eq!(capability_of("tidegate:extension/fault@0.1.0"), Some(None));
        for unknown in ["tidegate:extension/log@0.2.0", "tidegate:extension/log", "wasi:cli/stderr@0.2.0", "env"] {
            assert_eq!(capability_of(unknown), None);
        }
    }
}
