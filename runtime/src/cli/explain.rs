//! `tidegate explain`: one request through the policy, by the walk that serves.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use tidegate_dsl::ShownCertificate;
use tidegate_dsl::plan::ListenerId;
use tidegate_engine::hook::Reply;

use super::check::compile;
use super::trial::{self, Client, Guests};
use super::{Failed, answer};
use crate::policy::snapshot::Snapshot;

/// What the command line asks.
pub(super) struct Asked {
    /// `GET http://host/path`.
    pub request: String,
    /// `name: value`.
    pub headers: Vec<String>,
    /// The peer.
    pub from: IpAddr,
    /// The subject of the certificate that the client shows.
    pub client_cert: Option<String>,
    /// The status that a server would answer with.
    pub answer: StatusCode,
    /// A listener by name.
    pub listener: Option<String>,
    /// Write JSON.
    pub json: bool,
    /// Show what came from the environment.
    pub show_env: bool,
}

/// Explains one request.
pub(super) fn explain(file: &Path, asked: &Asked) -> Result<(), Failed> {
    let (method, uri) = request_line(&asked.request)?;
    let headers = headers(&asked.headers, &uri)?;
    let (snapshot, mask) = compile(file, asked.show_env)?;
    let listener = listener(&snapshot, &uri, asked.listener.as_deref())?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let certificate =
        asked.client_cert.clone().map(|subject| ShownCertificate { subject, ..ShownCertificate::default() });
    let version = trial::versions(snapshot.plan(), listener, request.headers()).first().copied();
    let client = Client { from: asked.from, certificate: certificate.as_ref(), version };
    let exchange = trial::exchange(&snapshot, listener, request, &client).map_err(|failure| {
        let row = failure.row();
        Failed::Because(format!("the request is refused with {} before any rule: {}", row.status, row.text))
    })?;
    let mut guests = Guests::new(&snapshot);
    let answered = Reply { status: asked.answer, headers: HeaderMap::new(), body: Bytes::new() };
    let explanation =
        snapshot.engine.explain_answered(listener, exchange, trial::MOMENT, answered, &mut |id, hook, exchange| {
            guests.call(id, hook, exchange)
        });
    if asked.json {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| Failed::Because(error.to_string()))?;
        answer(&mask.text(&json))
    } else {
        answer(&mask.text(&explanation.to_string()))
    }
}

fn request_line(request: &str) -> Result<(Method, Uri), Failed> {
    let usage = || Failed::Usage(format!("`{request}` is not a request: write it as 'GET http://host/path'"));
    let (method, url) = request.trim().split_once(char::is_whitespace).ok_or_else(usage)?;
    let method = Method::from_str(method).map_err(|_| usage())?;
    let uri = Uri::from_str(url.trim()).map_err(|_| usage())?;
    if uri.scheme().is_none() || uri.authority().is_none() {
        return Err(usage());
    }
    Ok((method, uri))
}

fn headers(lines: &[String], uri: &Uri) -> Result<HeaderMap, Failed> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let usage = || Failed::Usage(format!("`{line}` is not a header: write it as 'name: value'"));
        let (name, value) = line.split_once(':').ok_or_else(usage)?;
        let name = HeaderName::from_str(name.trim()).map_err(|_| usage())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| usage())?);
    }
    trial::set_host(&mut headers, uri);
    Ok(headers)
}

/// The listener that would take the request.
fn listener(snapshot: &Snapshot, uri: &Uri, name: Option<&str>) -> Result<ListenerId, Failed> {
    let listeners = &snapshot.plan().listeners;
    let scheme = uri.scheme_str().unwrap_or_default();
    let default_port = if scheme == "https" { 443 } else { 80 };
    match name {
        Some(name) => listeners
            .iter()
            .position(|listener| listener.name == name)
            .map(ListenerId)
            .ok_or_else(|| Failed::Usage(format!("the policy has no listener `{name}`"))),
        None => snapshot.plan().listener_for(scheme, uri.port_u16().unwrap_or(default_port)).ok_or_else(|| {
            let message = format!("no listener of the policy takes requests for `{scheme}://`");
            Failed::Usage(match listeners.first() {
                Some(first) => format!("{message}: write `{}://…`", first.protocol.scheme()),
                None => format!("{message}: it has none"),
            })
        }),
    }
}
