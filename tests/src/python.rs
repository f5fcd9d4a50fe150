//! Clients and servers that are written in Python: the scripts of `tests/clients`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{needed, shipped, target_folder};

/// A command that runs a script of `tests/clients` in a Python that has what the script imports. It is installed by the
/// first test that asks. `None` where that fails, as [`needed`] says.
pub fn python(script: &str) -> Option<Command> {
    static INTERPRETER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let interpreter = needed("python", || INTERPRETER.get_or_init(install).clone())?;
    let mut command = Command::new(interpreter);
    command.arg(shipped("tests/clients").join(script)).stdin(Stdio::null());
    Some(command)
}

fn install() -> Result<PathBuf, String> {
    let mut install = Command::new(shipped("tests/clients/install"));
    let output = install.env("CARGO_TARGET_DIR", target_folder()).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout).into())
    } else {
        Err(format!("tests/clients/install says: {}", text(&output.stderr)))
    }
}
