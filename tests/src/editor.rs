//! An editor, as the language server sees one: messages on its standard input and output.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use serde_json::{Value, json};

use crate::process::end_of;
use crate::{Lines, PATIENCE, tidegate};

/// An editor with a language server of its own.
pub struct Editor {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// Messages that came while another was waited for.
    early: Vec<Value>,
    errors: Lines,
    asked: u64,
}

impl Editor {
    /// Starts the server in a folder, and greets it.
    ///
    /// # Panics
    /// The server does not start, or does not answer.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &Value::Null)
    }

    /// Starts the server in a folder, and greets it with options of its own.
    ///
    /// # Panics
    /// The server does not start, or does not answer.
    pub fn start_with(folder: &Path, options: &Value) -> Self {
        let mut editor = Self::start_rudely(folder);
        let hello = json!({ "processId": null, "rootUri": null, "capabilities": {}, "initializationOptions": options });
        let about = editor.ask("initialize", &hello);
        assert_eq!(about["serverInfo"]["name"], "tidegate", "{about}");
        editor.tell("initialized", &json!({}));
        editor
    }

    /// Starts the server, and says nothing.
    ///
    /// # Panics
    /// The server does not start.
    pub fn start_rudely(folder: &Path) -> Self {
        let mut child = Command::new(tidegate())
            .arg("lsp")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (send, messages) = channel();
        let output = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || read(output, &send));
        let errors = Lines::of(child.stderr.take().expect("a pipe"));
        let input = child.stdin.take();
        Self { child, input, messages, early: Vec::new(), errors, asked: 0 }
    }

    /// The id of the server's process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a notification.
    pub fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// Sends a request, and waits for its result.
    ///
    /// # Panics
    /// None comes, or an error.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.try_ask(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Sends a request, and waits for its answer, which may be an error.
    ///
    /// # Panics
    /// None comes.
    pub fn try_ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        self.wait(method, |message| message["id"] == id)
    }

    /// Opens a document.
    pub fn open(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "tidegate", "version": 1, "text": text });
        self.tell("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    /// Changes a document.
    pub fn change(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "version": 2 });
        self.tell("textDocument/didChange", &json!({ "textDocument": document, "contentChanges": [{ "text": text }] }));
    }

    /// Waits for what is underlined in a document next.
    ///
    /// # Panics
    /// Nothing is said of it.
    pub fn underlined(&mut self, uri: &str) -> Vec<Value> {
        let said = self.wait("diagnostics", |message| {
            message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri
        });
        said["params"]["diagnostics"].as_array().cloned().unwrap_or_default()
    }

    /// The diagnostics of a document that come next, if they have come already.
    pub fn said(&mut self, uri: &str) -> Option<Vec<Value>> {
        let told =
            |message: &Value| message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri;
        let at = self.early.iter().position(told)?;
        self.early.remove(at)["params"]["diagnostics"].as_array().cloned()
    }

    /// Sends bytes as a message.
    ///
    /// # Panics
    /// The server does not read.
    pub fn send(&mut self, body: &str) {
        let input = self.input.as_mut().expect("an open input");
        write!(input, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("the server reads");
        input.flush().expect("the server reads");
    }

    /// Sends bytes as they are, which may be no message.
    ///
    /// # Panics
    /// The server does not read.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("an open input");
        input.write_all(bytes).and_then(|()| input.flush()).expect("the server reads");
    }

    /// Waits for the answer to what is no message: its code.
    ///
    /// # Panics
    /// None comes.
    pub fn refused(&mut self) -> Value {
        let refusal = self.wait("a refusal", |message| message["id"].is_null() && message["error"].is_object());
        refusal["error"]["code"].clone()
    }

    /// Says no more, and waits for the server's end: its exit status, and what it said on standard error.
    ///
    /// # Panics
    /// The server does not end.
    pub fn end(mut self) -> (Option<i32>, String) {
        self.input = None;
        let said = self.errors.whole();
        let status = end_of(&mut self.child, || said.clone());
        (status.code(), said)
    }

    fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.early.iter().position(&wanted) {
            return self.early.remove(at);
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(message) if wanted(&message) => return message,
                Ok(message) => self.early.push(message),
                Err(RecvTimeoutError::Timeout) => panic!("{what}: nothing comes; before: {:?}", self.early),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{what}: the server has gone; it said:\n{}", self.errors.whole())
                }
            }
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads messages to the end of an output.
fn read(output: ChildStdout, send: &Sender<Value>) {
    let mut output = BufReader::new(output);
    loop {
        let mut length = None;
        loop {
            let mut line = String::new();
            match output.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("Content-Length: ").and_then(|length| length.parse::<usize>().ok()).or(length);
        }
        let mut body = vec![0; length.expect("a length")];
        output.read_exact(&mut body).expect("a whole message");
        if send.send(serde_json::from_slice(&body).expect("JSON")).is_err() {
            return;
        }
    }
}
