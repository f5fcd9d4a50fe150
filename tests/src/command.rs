//! The command line under test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::end_of;
use crate::{Lines, tidegate};

/// A folder to run `tidegate` in.
pub struct Tool {
    folder: TempDir,
}

/// The end of a command: its status, and what it wrote.
#[derive(Debug)]
pub struct Output {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Default for Tool {
    fn default() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }
}

impl Tool {
    /// An empty folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file into the folder.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).expect("a file");
        self
    }

    /// The path of a file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of a file of the folder.
    ///
    /// # Panics
    /// The file cannot be read.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    /// Runs `tidegate` with these arguments in the folder, to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    /// Runs `tidegate` with something on its standard input.
    ///
    /// # Panics
    /// The command does not start, or does not end.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        run(self.folder.path(), arguments, input)
    }

    /// Runs `tidegate` with these arguments in a folder of somebody else, to its end.
    ///
    /// # Panics
    /// The command does not start, or does not end.
    pub fn run_in(folder: &Path, arguments: &[&str]) -> Output {
        run(folder, arguments, "")
    }
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(tidegate())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // It may end without reading all of it.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let stdout = Lines::of(child.stdout.take().expect("a pipe"));
    let stderr = Lines::of(child.stderr.take().expect("a pipe"));
    let (stdout, stderr) = (stdout.whole(), stderr.whole());
    let status = end_of(&mut child, || format!("{}\n{stdout}\n{stderr}", arguments.join(" ")));
    Output { status: status.code(), stdout, stderr }
}
