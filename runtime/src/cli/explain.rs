//! `tidegate explain`: one request through the policy, by the walk that serves.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use tidegate_dsl::plan::{Bind, ListenerId};
use tidegate_engine::exchange::{Connection, Exchange};
use tidegate_engine::hook::Verdict;
use tidegate_engine::vars::Vars;
use tidegate_engine::{Moment, explain as walk};
use tidegate_wasm_host::Pool;

use super::check::compile;
use super::{Failed, answer};
use crate::downstream::head;
use crate::policy::snapshot::Snapshot;

/// What the command line asks.
pub(super) struct Asked {
    /// `GET http://host/path`.
    pub request: String,
    /// `name: value`.
    pub headers: Vec<String>,
    /// The peer.
    pub from: IpAddr,
    /// A listener by name.
    pub listener: Option<String>,
    /// Write JSON.
    pub json: bool,
}

/// Explains one request.
pub(super) fn explain(file: &Path, asked: &Asked) -> Result<(), Failed> {
    let (method, uri) = request_line(&asked.request)?;
    let headers = headers(&asked.headers, &uri)?;
    let snapshot = compile(file)?;
    let listener = listener(&snapshot, &uri, asked.listener.as_deref())?;
    let plan = snapshot.plan().listeners.get(listener.0).ok_or_else(|| Failed::Because("no listener".to_owned()))?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    let head =
        head::read(request.into_parts().0, &plan.limits, &head::KnownHost::default()).map_err(|(failure, _)| {
            let row = failure.row();
            Failed::Because(format!("the request is refused with {} before any rule: {}", row.status, row.text))
        })?;
    let info = Arc::new(Connection {
        peer: SocketAddr::new(asked.from, 0),
        local: SocketAddr::new(asked.from, plan.bind.port()),
        listener: Arc::from(plan.name.as_str()),
        tls: None,
    });
    let exchange = Box::new(Exchange {
        client_ip: snapshot.engine.client_ip(listener, asked.from, &head.headers),
        connection: info,
        request: head,
        response: None,
        request_id: 0,
        vars: Vars::default(),
        group: None,
        server: None,
        log_lines: Vec::new(),
    });
    let pools: Vec<_> =
        snapshot.extensions.iter().map(|extension| RefCell::new(Pool::new(Arc::clone(extension)))).collect();
    let explanation =
        walk(&snapshot.engine, listener, exchange, Moment { nanos: 1, random: 0 }, &mut |id, hook, exchange| match (
            snapshot.extensions.get(id.0),
            pools.get(id.0),
        ) {
            (Some(extension), Some(pool)) if extension.wants(hook, &exchange) => pool.borrow_mut().call(hook, exchange),
            _ => (exchange, Ok(Verdict::Next)),
        });
    if asked.json {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| Failed::Because(error.to_string()))?;
        answer(&json)
    } else {
        answer(&explanation.to_string())
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
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    Ok(headers)
}

/// The listener that would take the request.
fn listener(snapshot: &Snapshot, uri: &Uri, name: Option<&str>) -> Result<ListenerId, Failed> {
    let listeners = &snapshot.plan().listeners;
    let found = match name {
        Some(name) => listeners.iter().position(|listener| listener.name == name),
        None => {
            let port = uri.port_u16();
            let by_port = |bind: Bind| Some(bind.port()) == port;
            listeners
                .iter()
                .position(|listener| by_port(listener.bind))
                .or_else(|| listeners.iter().position(|_| uri.scheme_str() == Some("http")))
        }
    };
    found.map(ListenerId).ok_or_else(|| match name {
        Some(name) => Failed::Usage(format!("the policy has no listener `{name}`")),
        None => Failed::Usage("the policy has no listener for this URL; name one with `--listener`".to_owned()),
    })
}
