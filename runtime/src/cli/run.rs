//! `tidegate run`.

use std::path::PathBuf;

use super::{Failed, host};
use crate::gateway::{Gateway, NotStarted};

/// Serves until a signal.
pub(super) fn run(file: PathBuf) -> Result<(), Failed> {
    match Gateway::start(file, host()?) {
        Ok(gateway) => gateway.run(),
        Err(NotStarted::Stopped) => {}
        Err(NotStarted::Refused) => return Err(Failed::Said),
    }
    Ok(())
}
