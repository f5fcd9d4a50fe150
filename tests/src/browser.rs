//! A page in Chromium, driven over a pair of pipes (the DevTools protocol: JSON, each message ended by a zero byte).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::waiting::look_until;
use crate::{PATIENCE, eventually, needed, program, shipped, target_folder};

/// Chromium's own descriptors for the protocol are 3 and 4; it has no other input or output. Nobody on the network is asked.
const LAUNCH: &str = "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars \
    --disable-background-networking --disable-component-update --disable-sync --force-color-profile=srgb \
    --host-resolver-rules='MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' \
    --remote-debugging-pipe --user-data-dir=\"$1\" 3<&0 4>&1 0</dev/null >/dev/null 2>&1";

/// Stands before the page's program: answers in place of those of a server, by the path with its query, in `window.instead`, each
/// of which may be a list that is gone through once. `down` has every request fail; `hurry` divides what the page waits for.
const INSTEAD: &str = "
    window.instead = {};
    window.asked = [];
    const real = window.fetch;
    window.fetch = (path, options) => {
        window.asked.push(path);
        if (window.down) return Promise.reject(new TypeError('down'));
        const given = window.instead[path] ?? {};
        const { status, type, body } = given.length > 1 ? given.shift() : given[0] ?? {};
        if (status === undefined) return real(path, options);
        return Promise.resolve(new Response(body, { status, headers: { 'content-type': type } }));
    };
    const later = window.setTimeout;
    window.setTimeout = (act, ms) => later(act, ms / (window.hurry ?? 1));";

/// A page. It is closed when it is dropped.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    requests: Vec<String>,
    complaints: Vec<String>,
    loads: usize,
    _profile: TempDir,
}

impl Browser {
    /// An empty page; nothing where Chromium may be left out.
    ///
    /// # Panics
    /// Chromium does not start.
    pub fn start() -> Option<Self> {
        let chromium = program("chromium")?;
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(LAUNCH)
            .arg(chromium.get_program())
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let (sender, messages) = channel();
        let output = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || listen(output, &sender));
        let input = child.stdin.take().expect("a pipe");
        let (requests, complaints) = (Vec::new(), Vec::new());
        let mut browser =
            Self { child, input, messages, calls: 0, session: None, requests, complaints, loads: 0, _profile: profile };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = self.call("Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }));
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Log", "Runtime", "Audits"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
        self.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": INSTEAD }));
    }

    /// Has every page answer itself, in place of a server, what it asks at a path; before it is opened.
    pub fn instead(&mut self, path: &str, status: u16, media_type: &str, body: &str) {
        self.instead_all(path, &json!([{ "status": status, "type": media_type, "body": body }]));
    }

    fn instead_all(&mut self, path: &str, answers: &Value) {
        let source = format!("window.instead[{}] = {answers};", json!(path));
        self.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": source }));
    }

    /// As [`Browser::instead`], of JSON and the status 200.
    pub fn instead_json(&mut self, path: &str, body: &Value) {
        self.instead(path, 200, "application/json", &body.to_string());
    }

    /// As [`Browser::instead_json`], one answer after another; the last stays.
    pub fn instead_series(&mut self, path: &str, bodies: impl Iterator<Item = Value>) {
        let answer = |body: Value| json!({ "status": 200, "type": "application/json", "body": body.to_string() });
        self.instead_all(path, &bodies.map(answer).collect());
    }

    /// Opens a page, and waits until it is loaded.
    ///
    /// # Panics
    /// It does not load.
    pub fn open(&mut self, url: &str) {
        let loads = self.loads;
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        while self.loads == loads {
            let message = self.message();
            self.note(&message);
        }
    }

    /// The width and height of the page, and whether its reader likes it dark.
    pub fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// What an expression comes to in the page.
    ///
    /// # Panics
    /// It throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression holds in the page.
    ///
    /// # Panics
    /// It does not.
    pub fn wait(&mut self, expression: &str) {
        let shown = "document.querySelector('main')?.innerText.slice(0, 1500)";
        eventually(expression, || match self.evaluate(&format!("Boolean({expression})")) {
            Value::Bool(true) => Ok(()),
            _ => Err(self.evaluate(shown)),
        });
    }

    /// The text of an element; empty if there is none.
    pub fn text(&mut self, selector: &str) -> String {
        let value = self.evaluate(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Presses a button.
    ///
    /// # Panics
    /// There is none.
    pub fn press(&mut self, selector: &str) {
        let found = self.evaluate(&format!(
            "(() => {{ const found = document.querySelector({}); found?.focus(); found?.click(); return Boolean(found) }})()",
            json!(selector)
        ));
        assert_eq!(found, true, "there is no {selector}");
    }

    /// Writes into a field, and sends its form.
    pub fn submit(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.evaluate(&format!(
            "(() => {{ const field = document.querySelector({selector}); field.value = {text}; field.form.requestSubmit() }})()"
        ));
    }

    /// Presses a key of the keyboard.
    pub fn key(&mut self, name: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": name, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// What the page looks like, as PNG.
    ///
    /// # Panics
    /// It cannot be told.
    pub fn picture(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", &json!({ "format": "png", "optimizeForSpeed": false }));
        BASE64_STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64")
    }

    /// The requests that the page has made.
    pub fn requests(&mut self) -> Vec<String> {
        self.evaluate("0");
        self.requests.clone()
    }

    /// What the browser has complained of: exceptions, what the page's own policy forbids, what its console says.
    pub fn complaints(&mut self) -> Vec<String> {
        self.evaluate("0");
        self.complaints.clone()
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("chromium listens");
        loop {
            let message = self.message();
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn message(&self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("chromium says something")
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => self.loads += 1,
            "Network.requestWillBeSent" => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Log.entryAdded" => self.complaints.push(params["entry"].to_string()),
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => self.complaints.push(params.to_string()),
            "Audits.issueAdded" if params["issue"]["code"] == "ContentSecurityPolicyIssue" => {
                self.complaints.push(params["issue"].to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let gone = look_until(Instant::now() + PATIENCE, || match self.child.try_wait() {
            Ok(None) => Err(()),
            _ => Ok(()),
        });
        if gone.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn listen(output: ChildStdout, messages: &Sender<Value>) {
    let mut output = BufReader::new(output);
    loop {
        let mut bytes = Vec::new();
        if output.read_until(0, &mut bytes).is_err() || bytes.pop() != Some(0) {
            return;
        }
        let Ok(message) = serde_json::from_slice(&bytes) else { return };
        if messages.send(message).is_err() {
            return;
        }
    }
}

/// The program of axe-core, which tells what of a page some people cannot use. It is installed by the first test that asks. `None`
/// where that fails, as [`needed`] says.
pub fn axe() -> Option<String> {
    static INSTALLED: OnceLock<Result<String, String>> = OnceLock::new();
    needed("axe", || INSTALLED.get_or_init(install).clone())
}

fn install() -> Result<String, String> {
    let mut install = Command::new(shipped("tests/clients/axe"));
    let output = install.env("CARGO_TARGET_DIR", target_folder()).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        return Err(format!("tests/clients/axe says: {}", text(&output.stderr)));
    }
    std::fs::read_to_string(text(&output.stdout)).map_err(|error| error.to_string())
}
