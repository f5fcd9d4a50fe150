//! The facts about the module of an extension, as a loader tells them.

use crate::hook::Hook;
use crate::plan;

/// The facts about a module that looking at it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleFacts {
    /// The hooks that it exports.
    pub hooks: Vec<Hook>,
    /// The needs of the module's imports.
    pub needs: Vec<Need>,
    /// Imports that the host does not have.
    pub unknown_imports: Vec<String>,
    /// The error of `init` about the config; `None` also if `init` was not run, because something was not allowed.
    pub init_error: Option<String>,
    /// The way in which the module failed while it was started, as a sentence for the user.
    pub start_error: Option<String>,
    /// The bound that the module passes, so that it was not compiled; then nothing else is known of it.
    pub bound: Option<String>,
    /// The module takes too long to compile, as a sentence for the user; then nothing else is known of it.
    pub uncompiled: Option<String>,
}

/// An import of a module, and the capability that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The import: `tidegate:extension/request.set`.
    pub import: String,
    /// The capability that allows the import.
    pub capability: plan::Capability,
}
