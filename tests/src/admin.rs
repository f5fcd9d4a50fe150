//! A client of the admin API, which holds every answer against the description that the gateway gives of it.

#[path = "../../dsl/tests/schema/fits.rs"]
mod fits;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

use crate::gateway::Gateway;
use crate::{PATIENCE, until, workspace};

/// The description, as it is kept beside the source.
static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let text = fs::read_to_string(workspace().join("runtime/src/admin/openapi.json")).expect("the description");
    serde_json::from_str(&text).expect("JSON")
});

/// The lines that a policy needs for [`Admin::of`].
pub const ADMIN: &str = "admin { unix \"admin.sock\" }";

/// Where the API is asked.
#[derive(Debug, Clone)]
pub enum At {
    /// A Unix socket.
    Unix(PathBuf),
    /// A port of the loopback interface.
    Tcp(u16),
}

/// A client of the admin API.
#[derive(Debug, Clone)]
pub struct Admin {
    at: At,
    fields: String,
    described: bool,
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The sentence of a problem.
    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_default().to_owned()
    }
}

impl Admin {
    /// A client of a gateway whose policy has [`ADMIN`]; it is the gateway's own user.
    pub fn of(gateway: &Gateway) -> Self {
        let socket = gateway.folder().join("admin.sock");
        until("the socket is there", || socket.exists());
        Self::at(At::Unix(socket))
    }

    /// A client of an address.
    pub const fn at(at: At) -> Self {
        Self { at, fields: String::new(), described: true }
    }

    /// What is asked is not described: `metrics` has only a part of the paths.
    #[must_use]
    pub fn undescribed(mut self) -> Self {
        self.described = false;
        self
    }

    /// Adds a line to every request's head.
    #[must_use]
    pub fn with(&self, field: &str) -> Self {
        Self { fields: format!("{}{field}\r\n", self.fields), ..self.clone() }
    }

    /// A client that shows a token.
    #[must_use]
    pub fn token(&self, token: &str) -> Self {
        self.with(&format!("authorization: Bearer {token}"))
    }

    /// The answer to a GET.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// The JSON that a GET brings.
    ///
    /// # Panics
    /// The answer is not 200.
    pub fn read(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// The answer to a POST of JSON.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.with("content-type: application/json").ask("POST", path, body)
    }

    /// The JSON that a POST brings.
    ///
    /// # Panics
    /// The answer is not 200.
    pub fn order(&self, path: &str, body: &str) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// The answer to a request.
    ///
    /// # Panics
    /// Nobody answers, or the answer does not fit the description.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let host = if self.fields.contains("host: ") { "" } else { "host: localhost\r\n" };
        let (fields, length) = (&self.fields, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}connection: close\r\n{fields}content-length: {length}\r\n\r\n{body}"
        );
        let text = match &self.at {
            At::Unix(socket) => exchange(UnixStream::connect(socket).expect("a connection"), &request),
            At::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).expect("a connection");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                exchange(stream, &request)
            }
        };
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let answer = Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() };
        if self.described {
            check(method, path, &answer);
        }
        answer
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    String::from_utf8(bytes).expect("text")
}

/// Holds an answer against the description: its path, its method, its status, its media type and its schema.
fn check(method: &str, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    let paths = DESCRIPTION["paths"].as_object().expect("paths");
    let Some((_, item)) = paths.iter().find(|(template, _)| is_of(template, path)) else {
        assert_eq!(answer.status, 404, "`{path}` is not described, and answers: {}", answer.body);
        return;
    };
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let Some(operation) = item.get(&method) else {
        assert!(matches!(answer.status, 401 | 403 | 405), "{method} {path}: {} {}", answer.status, answer.body);
        return;
    };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(!response.is_null(), "{method} {path} answers {}, which is not described: {}", answer.status, answer.body);
    let media_type =
        answer.head.split("content-type: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("");
    let content = &response["content"][media_type];
    assert!(!content.is_null(), "{method} {path} answers with `{media_type}`");
    if !content["schema"].is_null() && !answer.body.is_empty() {
        let wrong = fits::wrong(&content["schema"], &DESCRIPTION, &answer.json(), "");
        assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}");
    }
}

/// Whether a path is one of a template, whose segments in braces are any.
fn is_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(path).all(|(own, given)| own.starts_with('{') || *own == given)
}

/// The file of a gateway's Unix socket.
pub fn socket_of(gateway: &Gateway) -> PathBuf {
    gateway.folder().join(Path::new("admin.sock"))
}

/// Server-sent events, as they come.
pub struct EventReader(std::io::BufReader<UnixStream>);

impl EventReader {
    /// Opens a stream of a gateway whose policy has [`ADMIN`]; its first event has come when this returns.
    ///
    /// # Panics
    /// The answer is not 200, or nothing comes.
    pub fn open(gateway: &Gateway, path: &str) -> Self {
        let stream = UnixStream::connect(socket_of(gateway)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        (&stream).write_all(request.as_bytes()).expect("it is sent");
        let mut reader = Self(std::io::BufReader::new(stream));
        assert!(reader.line().starts_with("HTTP/1.1 200 "), "no stream");
        while !reader.line().is_empty() {}
        reader
    }

    /// The next event: its name, empty where it has none, and its data.
    pub fn event(&mut self) -> (String, Value) {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let line = self.line();
            if let Some(rest) = line.strip_prefix("event: ") {
                rest.clone_into(&mut name);
            } else if let Some(rest) = line.strip_prefix("data: ") {
                data.push_str(rest);
            } else if line.is_empty() && !data.is_empty() {
                return (name, serde_json::from_str(&data).expect("JSON"));
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = std::io::BufRead::read_line(&mut self.0, &mut line).expect("a line");
        assert!(read > 0, "the stream has ended");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }
}
