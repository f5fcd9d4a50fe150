//! Numbers for operators: what is counted, and how it is told.
//!
//! Each worker counts into cells of its own ([`registry`]), which it finds by name when it adopts a policy or first uses a name, and
//! then by position: a request takes no lock and no hash. A scrape reads the cells of all workers and adds them up. Labels are
//! names of the policy, and words of the tables of this program; nothing that a client sends becomes one.

pub mod families;
mod process;
#[cfg(test)]
pub(crate) mod reader;
pub mod registry;
pub mod render;
pub mod text;

pub use registry::Registry;
pub use render::{Facts, render};
pub use text::Format;
