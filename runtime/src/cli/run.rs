//! `tidegate run`.

use std::path::PathBuf;

use super::{Failed, host};
use crate::gateway::Gateway;

/// Serves until a signal.
pub(super) fn run(file: PathBuf) -> Result<(), Failed> {
    let gateway = Gateway::start(file, host()?).map_err(|_| Failed::Said)?;
    gateway.run();
    Ok(())
}
