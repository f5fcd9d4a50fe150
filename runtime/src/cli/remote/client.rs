//! A client of the admin API.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;

use super::super::Failed;
use super::place::Place;

/// How long an answer is waited for: an order may wait for a policy that is being read.
const PATIENCE: Duration = Duration::from_secs(60);

/// Characters that a segment of a path cannot have as they are (RFC 3986, 3.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A text as a segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A client of one gateway.
pub(super) struct Client {
    place: Place,
    token: Option<HeaderValue>,
    runtime: Runtime,
}

impl Client {
    /// A client of the gateway that the command line or the environment names.
    ///
    /// # Errors
    /// Nothing names one, or the token cannot be read.
    pub(super) fn new(admin: Option<&str>, token_file: Option<&Path>) -> Result<Self, Failed> {
        let place = Place::find(admin)?;
        let token =
            match token_file {
                Some(file) => Some(fs::read_to_string(file).map_err(|error| {
                    Failed::Because(format!("cannot read the token in `{}`: {error}", file.display()))
                })?),
                None => std::env::var("TIDEGATE_TOKEN").ok(),
            };
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {}", token.trim()))).transpose();
        let token = token.map_err(|_| Failed::Because("the token has characters that cannot be sent".to_owned()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failed::Because(error.to_string()))?;
        Ok(Self { place, token, runtime })
    }

    /// Asks.
    ///
    /// # Errors
    /// The gateway cannot be reached, or says no; in its words.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failed> {
        self.ask(Method::GET, path, "application/json", String::new())
    }

    /// Gives an order.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) fn post(&self, path: &str, media_type: &'static str, body: String) -> Result<Value, Failed> {
        self.ask(Method::POST, path, media_type, body)
    }

    /// Reads server-sent events: `take` gets the name of each, and its data, and says whether it wants more.
    ///
    /// # Errors
    /// As [`Self::get`]; or the gateway ends the stream.
    pub(super) fn follow(&self, path: &str, mut take: impl FnMut(&str, &str) -> bool) -> Result<(), Failed> {
        let mut events = EventLines::default();
        let mut refused = Vec::new();
        let status = self.runtime.block_on(self.exchange(
            Method::GET,
            path,
            "application/json",
            String::new(),
            |status, data| {
                if status != StatusCode::OK {
                    refused.extend_from_slice(data);
                    return true;
                }
                events.push(data, &mut take)
            },
        ));
        match status.map_err(|why| self.failed(&why))? {
            StatusCode::OK if events.has_enough => Ok(()),
            StatusCode::OK => Err(self.failed("it has ended the stream")),
            status => Err(refusal(status, &refused)),
        }
    }

    fn ask(&self, method: Method, path: &str, media_type: &'static str, body: String) -> Result<Value, Failed> {
        let mut bytes = Vec::new();
        let exchange = self.exchange(method, path, media_type, body, |_, data| {
            bytes.extend_from_slice(data);
            true
        });
        let asked = async { tokio::time::timeout(PATIENCE, exchange).await };
        let asked = self.runtime.block_on(asked).map_err(|_| self.failed("it does not answer"))?;
        let status = asked.map_err(|why| self.failed(&why))?;
        if status.is_success() && status != StatusCode::ACCEPTED {
            return Ok(serde_json::from_slice(&bytes).unwrap_or_default());
        }
        Err(refusal(status, &bytes))
    }
}

/// What a gateway says that does not do what was asked.
fn refusal(status: StatusCode, body: &[u8]) -> Failed {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = value["detail"].as_str().map_or_else(|| format!("it answers {status}"), str::to_owned);
    let token =
        if status == StatusCode::UNAUTHORIZED { "; set `TIDEGATE_TOKEN`, or write `--token-file FILE`" } else { "" };
    Failed::Because(format!("{detail}{token}"))
}

/// Server-sent events, put together from what comes (HTML, 9.2.6).
#[derive(Default)]
struct EventLines {
    text: Vec<u8>,
    has_enough: bool,
}

impl EventLines {
    /// Takes what came; whether more is wanted.
    fn push(&mut self, data: &[u8], take: &mut impl FnMut(&str, &str) -> bool) -> bool {
        self.text.extend_from_slice(data);
        while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.text.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event).into_owned();
            let of =
                |field: &str| event.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default().to_owned();
            if !take(&of("event: "), &of("data: ")) {
                self.has_enough = true;
                return false;
            }
        }
        true
    }
}

impl Client {
    fn failed(&self, why: &str) -> Failed {
        let place = match &self.place {
            Place::Tcp(address) => address.clone(),
            Place::Unix(path) => path.display().to_string(),
        };
        Failed::Because(format!("cannot ask the gateway at `{place}`: {why}"))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        media_type: &'static str,
        body: String,
        take: impl FnMut(StatusCode, &[u8]) -> bool,
    ) -> Result<StatusCode, String> {
        match &self.place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
                self.send(stream, address, (method, path, media_type, body), take).await
            }
            Place::Unix(file) => {
                let stream = UnixStream::connect(file).await.map_err(|error| error.to_string())?;
                self.send(stream, "localhost", (method, path, media_type, body), take).await
            }
        }
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        host: &str,
        (method, path, media_type, body): (Method, &str, &'static str, String),
        mut take: impl FnMut(StatusCode, &[u8]) -> bool,
    ) -> Result<StatusCode, String> {
        let broken = |error: hyper::Error| format!("it breaks off: {error}");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = Request::new(Full::<bytes::Bytes>::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| format!("`{path}` is no path"))?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| format!("`{host}` is no host"))?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let asked = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                if frame.map_err(broken)?.data_ref().is_some_and(|data| !take(status, data)) {
                    break;
                }
            }
            Ok(status)
        };
        tokio::pin!(asked);
        tokio::select! {
            answered = &mut asked => answered,
            ended = connection => {
                ended.map_err(broken)?;
                asked.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_pieces() {
        let (mut lines, mut seen) = (EventLines::default(), Vec::new());
        let mut take = |name: &str, data: &str| {
            seen.push(format!("{name}|{data}"));
            data != "3"
        };
        let mut wants_more = Vec::new();
        for piece in ["event: a\nda", "ta: 1\n\ndata: 2\n", "\n", "data: 3\n\ndata: 4\n\n"] {
            wants_more.push(lines.push(piece.as_bytes(), &mut take));
        }
        assert_eq!(seen, ["a|1", "|2", "|3"]);
        assert_eq!((wants_more, lines.has_enough), (vec![true, true, true, false], true));
    }

    #[test]
    fn a_segment_of_a_path_is_encoded() {
        assert_eq!(segment("127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(segment("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(segment("a b/c?d"), "a%20b%2Fc%3Fd");
    }
}
