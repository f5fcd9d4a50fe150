//! From files to a policy in service.

pub mod alt_svc;
pub mod code_cache;
pub mod file_stamps;
pub mod loader;
pub mod mask;
pub mod overrides;
pub mod prepare;
pub mod renew;
pub mod snapshot;
pub mod unbuilt;
pub mod via;
pub mod watch;
