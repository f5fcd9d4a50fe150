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

    fn ask(&self, method: Method, path: &str, media_type: &'static str, body: String) -> Result<Value, Failed> {
        let asked = async { tokio::time::timeout(PATIENCE, self.exchange(method, path, media_type, body)).await };
        let (status, bytes) = self
            .runtime
            .block_on(asked)
            .map_err(|_| self.failed("it does not answer"))?
            .map_err(|why| self.failed(&why))?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() && status != StatusCode::ACCEPTED {
            return Ok(value);
        }
        let detail = value["detail"].as_str().map_or_else(|| format!("it answers {status}"), str::to_owned);
        let token = if status == StatusCode::UNAUTHORIZED {
            "; set `TIDEGATE_TOKEN`, or write `--token-file FILE`"
        } else {
            ""
        };
        Err(Failed::Because(format!("{detail}{token}")))
    }

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
    ) -> Result<(StatusCode, Vec<u8>), String> {
        match &self.place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
                self.send(stream, address, method, path, media_type, body).await
            }
            Place::Unix(file) => {
                let stream = UnixStream::connect(file).await.map_err(|error| error.to_string())?;
                self.send(stream, "localhost", method, path, media_type, body).await
            }
        }
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        host: &str,
        method: Method,
        path: &str,
        media_type: &'static str,
        body: String,
    ) -> Result<(StatusCode, Vec<u8>), String> {
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
            let body = response.into_body().collect().await.map_err(broken)?;
            Ok((status, body.to_bytes().to_vec()))
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
