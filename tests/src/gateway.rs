//! A running gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::pki::Authority;
use crate::process::end_of;
use crate::{Client, Lines, Policy, Response, Usage, free_port, tidegate};

/// A gateway that serves `policy.gate` in a folder of its own. It is killed when it is dropped; if the test failed, what
/// it wrote is shown.
pub struct Gateway {
    child: Child,
    folder: TempDir,
    port: u16,
    stdout: Lines,
    stderr: Lines,
}

impl Gateway {
    /// Starts, and waits until it is ready.
    ///
    /// # Panics
    /// The gateway does not become ready.
    pub fn start(policy: &Policy) -> Self {
        Self::start_with(policy, |_| ())
    }

    /// Starts after `prepare` has put more files into the folder.
    ///
    /// # Panics
    /// The gateway does not become ready.
    pub fn start_with(policy: &Policy, prepare: impl FnOnce(&Path)) -> Self {
        let (folder, path, port) = put(policy, prepare);
        Self::serve(folder, &path, port)
    }

    /// Starts with a certificate for `shop.test`, as [`Policy::https`] wants it; the authority signed it, and its own is in
    /// `root.pem`.
    ///
    /// # Panics
    /// The gateway does not become ready.
    pub fn start_https(policy: &Policy) -> (Self, Authority) {
        Self::start_certified(policy, "shop.test", "main")
    }

    /// Starts with a certificate for `localhost`, as [`Policy::quic`] wants it; the authority signed it, and its own is in
    /// `root.pem`.
    ///
    /// # Panics
    /// The gateway does not become ready.
    pub fn start_quic(policy: &Policy) -> (Self, Authority) {
        Self::start_certified(policy, "localhost", "site")
    }

    fn start_certified(policy: &Policy, host: &str, file: &str) -> (Self, Authority) {
        let authority = Authority::new("Root");
        let gateway = Self::start_with(policy, |folder| {
            authority.server(&[host]).sign().write(folder, file);
            fs::write(folder.join("root.pem"), authority.pem()).expect("a file");
        });
        (gateway, authority)
    }

    /// Serves a file of a folder.
    ///
    /// # Panics
    /// The gateway does not become ready.
    pub fn serve(folder: TempDir, path: &Path, port: u16) -> Self {
        let gateway = Self::spawn(folder, Command::new(tidegate()).arg("run").arg(path), port);
        gateway.wait_for(0, " ready generation=");
        gateway
    }

    /// Starts from a shell that has done something first, such as `ulimit -n 256`.
    ///
    /// # Panics
    /// The gateway does not become ready.
    pub fn start_after(shell: &str, policy: &Policy) -> Self {
        let gateway = Self::begin_after(shell, policy, |_| ());
        gateway.wait_for(0, " ready generation=");
        gateway
    }

    /// Starts from such a shell, with more files, and does not wait until the gateway is ready.
    ///
    /// # Panics
    /// The gateway does not start.
    pub fn begin_after(shell: &str, policy: &Policy, prepare: impl FnOnce(&Path)) -> Self {
        let (folder, path, port) = put(policy, prepare);
        let script = format!("{shell}; exec \"$0\" run \"$1\"");
        Self::spawn(folder, Command::new("sh").arg("-c").arg(script).arg(tidegate()).arg(&path), port)
    }

    fn spawn(folder: TempDir, command: &mut Command, port: u16) -> Self {
        let mut child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        Self { child, folder, port, stdout, stderr }
    }

    /// The port of the listener `main`.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the policy, in which the gateway runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The policy file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("policy.gate")
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// GET on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.client().get(target)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The resources that the process holds.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// The log, which the gateway writes to standard error.
    pub const fn log(&self) -> &Lines {
        &self.stderr
    }

    /// The access log, which the gateway writes to standard output.
    pub const fn access_log(&self) -> &Lines {
        &self.stdout
    }

    /// Waits for a line of the log, from a mark on, that contains some words.
    ///
    /// # Panics
    /// No such line comes.
    pub fn wait_for(&self, mark: usize, words: &str) -> String {
        let found = self.stderr.wait(mark, |line| line.contains(words).then(|| line.to_owned()));
        found.unwrap_or_else(|seen| panic!("no line with `{words}` in the log:\n{seen}"))
    }

    /// The access-log line of the request with this target.
    ///
    /// # Panics
    /// No such line comes, or a line is not JSON.
    pub fn access(&self, uri: &str) -> Value {
        self.access_where(uri, |_| true)
    }

    /// The access-log line of a request with this target for which something more holds.
    ///
    /// # Panics
    /// No such line comes, or a line is not JSON.
    pub fn access_where(&self, uri: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let parse = |line: &str| -> Value {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line}"))
        };
        let found = self.stdout.wait(0, |line| Some(parse(line)).filter(|line| line["uri"] == uri && holds(line)));
        found.unwrap_or_else(|seen| panic!("no access-log line for `{uri}`:\n{seen}"))
    }

    /// Puts a new policy in place, by rename.
    pub fn write(&self, policy: &Policy) {
        self.write_file("policy.gate", self.fill(&policy.text()).as_bytes());
    }

    /// Puts the gateway's port where `@port` stands.
    pub fn fill(&self, text: &str) -> String {
        text.replace("@port", &self.port.to_string())
    }

    /// Replaces a file of the folder, by rename.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        let new = self.folder.path().join(format!("{name}.new"));
        fs::write(&new, bytes).and_then(|()| fs::rename(&new, self.folder.path().join(name))).expect("a file");
    }

    /// Replaces the policy and waits until it is in service.
    pub fn reload(&self, policy: &Policy) {
        let mark = self.stderr.mark();
        self.write(policy);
        self.wait_for(mark, "reloaded generation=");
    }

    /// Changes a limit of the process: `nofile=64:`, in the words of `prlimit`.
    ///
    /// # Panics
    /// `prlimit` fails.
    pub fn limit(&self, limit: &str) {
        let pid = self.pid().to_string();
        let changed = Command::new("prlimit").args(["--pid", &pid, &format!("--{limit}")]).status();
        assert!(changed.expect("`prlimit` starts").success(), "cannot set {limit}");
    }

    /// Sends a signal, by its name.
    ///
    /// # Panics
    /// `kill` fails.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.expect("`kill` starts").success(), "cannot send {name}");
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// The gateway does not end.
    pub fn wait_end(&mut self) -> ExitStatus {
        end_of(&mut self.child, || self.stderr.text())
    }

    /// Whether the process has ended.
    ///
    /// # Panics
    /// The system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}\n--- its last access-log lines ---", self.stderr.whole());
            let mark = self.stdout.mark().saturating_sub(20);
            eprintln!("{}\n---", self.stdout.since(mark).join("\n"));
        }
    }
}

/// A folder with a policy file and what `prepare` puts there, the file's path, and the port of the listener `main`.
fn put(policy: &Policy, prepare: impl FnOnce(&Path)) -> (TempDir, PathBuf, u16) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let port = free_port();
    let path = folder.path().join("policy.gate");
    fs::write(&path, policy.text().replace("@port", &port.to_string())).expect("a policy file");
    (folder, path, port)
}
