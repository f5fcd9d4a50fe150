//! The paths of the admin API: one table, by which requests are answered and which the description of the API is held against.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tidegate_base::limits;

use super::access::{self, Needs, Peer};
use super::answer::{Answer, Body};
use super::console;
use super::context::Context;
use super::sockets::Role;
use super::views::{self, servers};

/// A path with what is answered there.
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path; `{name}` stands for a segment.
    pub path: &'static str,
    /// The permission that it asks for.
    pub needs: Needs,
    /// Whether it is there for those who read metrics, too.
    pub of_metrics: bool,
    endpoint: Endpoint,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Console,
    OpenApi,
    Live,
    Ready,
    Metrics,
    LiveEvents,
    Log,
    Errors,
    Status,
    Listeners,
    Listener,
    Start,
    Stop,
    Groups,
    Group,
    Server,
    Extensions,
    Certificates,
    Generations,
    Plan,
    Explain,
}

const fn get(path: &'static str, needs: Needs, of_metrics: bool, endpoint: Endpoint) -> Route {
    Route { method: "GET", path, needs, of_metrics, endpoint }
}

const fn post(path: &'static str, needs: Needs, endpoint: Endpoint) -> Route {
    Route { method: "POST", path, needs, of_metrics: false, endpoint }
}

/// Every path.
pub static ROUTES: [Route; 21] = [
    get("/", Needs::Nothing, false, Endpoint::Console),
    get("/v1/openapi.json", Needs::Nothing, false, Endpoint::OpenApi),
    get("/live", Needs::Read, true, Endpoint::Live),
    get("/ready", Needs::Read, true, Endpoint::Ready),
    get("/metrics", Needs::Read, true, Endpoint::Metrics),
    get("/v1/live", Needs::Read, false, Endpoint::LiveEvents),
    get("/v1/log", Needs::Read, false, Endpoint::Log),
    get("/v1/errors", Needs::Read, false, Endpoint::Errors),
    get("/v1/status", Needs::Read, false, Endpoint::Status),
    get("/v1/listeners", Needs::Read, false, Endpoint::Listeners),
    get("/v1/listeners/{listener}", Needs::Read, false, Endpoint::Listener),
    post("/v1/listeners/{listener}/start", Needs::Operate, Endpoint::Start),
    post("/v1/listeners/{listener}/stop", Needs::Operate, Endpoint::Stop),
    get("/v1/groups", Needs::Read, false, Endpoint::Groups),
    get("/v1/groups/{group}", Needs::Read, false, Endpoint::Group),
    post("/v1/groups/{group}/servers/{server}", Needs::Operate, Endpoint::Server),
    get("/v1/extensions", Needs::Read, false, Endpoint::Extensions),
    get("/v1/certificates", Needs::Read, false, Endpoint::Certificates),
    get("/v1/generations", Needs::Read, false, Endpoint::Generations),
    post("/v1/plan", Needs::Read, Endpoint::Plan),
    post("/v1/explain", Needs::Read, Endpoint::Explain),
];

/// The description of the API (OpenAPI 3.1).
const OPENAPI: &str = include_str!("openapi.json");

/// Segments of a path, by the name that they have in the table.
type Segments = HashMap<&'static str, String>;

impl Route {
    /// The segments of a path, if it is this one.
    fn matches(&self, path: &str) -> Option<Segments> {
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        let mut segments = Segments::new();
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(segments),
                (Some(own), Some(given)) => match own.strip_prefix('{').and_then(|own| own.strip_suffix('}')) {
                    Some(name) if !given.is_empty() => {
                        segments.insert(name, percent_decode_str(given).decode_utf8().ok()?.into_owned());
                    }
                    None if own == given => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
    }
}

/// Answers a request.
pub async fn answer(context: &Arc<Context>, role: Role, peer: Peer, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let head_only = parts.method == Method::HEAD;
    let reply = match route(context, role, peer, &parts) {
        Ok((Route { endpoint: Endpoint::LiveEvents, .. }, _)) if !head_only => {
            let once = query(&parts).split('&').any(|word| word == "once");
            views::live::answer(context, once).await
        }
        Ok((Route { endpoint: Endpoint::Log, .. }, _)) if !head_only => views::log::answer(context, query(&parts)),
        Ok((route, segments)) => act(context, route, segments, &parts, body).await.into(),
        Err(answer) => answer.into(),
    };
    reply.into_response(head_only)
}

/// The route of a request that may be answered.
fn route(context: &Context, role: Role, peer: Peer, parts: &Parts) -> Result<(&'static Route, Segments), Answer> {
    let here = ROUTES.iter().filter(|route| role == Role::Admin || route.of_metrics);
    let found: Vec<_> = here.filter_map(|route| Some((route, route.matches(parts.uri.path())?))).collect();
    let method = if parts.method == Method::HEAD { "GET" } else { parts.method.as_str() };
    let Some((first, _)) = found.first() else {
        return Err(Answer::problem(StatusCode::NOT_FOUND, "there is no such path here"));
    };
    // Whoever may not read is told nothing of methods either.
    let needs = found.iter().find(|(route, _)| route.method == method).map_or(first.needs, |(route, _)| route.needs);
    if role == Role::Admin {
        access::check(peer, needs, &parts.headers, &context.snapshot().tls.certificates.tokens)?;
    }
    let allowed: Vec<_> = found.iter().map(|(route, _)| route.method).collect();
    let allowed = allowed.join(", ").replace("GET", "GET, HEAD");
    found.into_iter().find(|(route, _)| route.method == method).ok_or_else(|| Answer::not_allowed(&allowed))
}

async fn act(context: &Context, route: &Route, segments: Segments, parts: &Parts, body: Incoming) -> Answer {
    let named = |name: &str| segments.get(name).cloned().unwrap_or_default();
    let listener = named("listener");
    let body = if route.method == "POST" {
        match read(route.endpoint, parts, body).await {
            Ok(body) => body,
            Err(answer) => return answer,
        }
    } else {
        Bytes::new()
    };
    match route.endpoint {
        Endpoint::Console => console::page(),
        Endpoint::OpenApi => Answer::json_text(OPENAPI.to_owned()),
        Endpoint::Live => Answer::text("text/plain", "alive\n"),
        Endpoint::Ready => views::status::ready(context),
        Endpoint::Metrics => views::metrics::answer(context, &parts.headers),
        Endpoint::LiveEvents | Endpoint::Log => Answer::text("text/event-stream", ""),
        Endpoint::Errors => views::errors::all(context),
        Endpoint::Status => views::status::answer(context),
        Endpoint::Listeners => views::listeners::all(context),
        Endpoint::Listener => views::listeners::one(context, &listener),
        Endpoint::Start => views::listeners::start(context, listener, &body).await,
        Endpoint::Stop => views::listeners::stop(context, listener, &body).await,
        Endpoint::Groups => views::groups::all(context),
        Endpoint::Group => views::groups::one(context, &named("group")),
        Endpoint::Server => servers::change(context, named("group"), named("server"), &body).await,
        Endpoint::Extensions => views::extensions::all(context),
        Endpoint::Certificates => views::certificates::all(context),
        Endpoint::Generations => views::generations::all(context),
        Endpoint::Plan => views::plan::answer(context, is_text(parts), body).await,
        Endpoint::Explain => views::explain::answer(context, &body).await,
    }
}

fn query(parts: &Parts) -> &str {
    parts.uri.query().unwrap_or_default()
}

/// The media type of a request's body, without parameters.
fn media_type(parts: &Parts) -> String {
    let value = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_text(parts: &Parts) -> bool {
    media_type(parts) == "text/plain"
}

/// The body of an order.
async fn read(endpoint: Endpoint, parts: &Parts, body: Incoming) -> Result<Bytes, Answer> {
    let is_plan = endpoint == Endpoint::Plan;
    if media_type(parts) != "application/json" && !(is_plan && is_text(parts)) {
        let also = if is_plan { ", or a policy as `text/plain`" } else { "" };
        let detail = format!("send `content-type: application/json`{also}");
        return Err(Answer::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let most = if is_plan { limits::ADMIN_POLICY_BYTES } else { limits::ADMIN_BODY_BYTES };
    match tokio::time::timeout(limits::ADMIN_BODY_TIME, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Answer::problem(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes")))
        }
        Ok(Err(_)) => Err(Answer::problem(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(Answer::problem(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Vec<(&'static str, Vec<String>)> {
        let found = ROUTES.iter().filter_map(|route| Some((route.path, route.matches(path)?)));
        found.map(|(route, segments)| (route, segments.into_values().collect())).collect()
    }

    #[test]
    fn a_path_has_one_route_and_its_names() {
        assert_eq!(found("/v1/listeners/a%20b"), [("/v1/listeners/{listener}", vec!["a b".to_owned()])]);
        let server = found("/v1/groups/web/servers/%5B::1%5D:80");
        assert_eq!(server.len(), 1);
        assert!(server[0].1.contains(&"[::1]:80".to_owned()), "{server:?}");
        for path in ["//", "", "/v1", "/v1/", "/v1/listeners/", "/v1/listeners/a/", "/v1/listeners/%ff", "/V1/status"] {
            assert!(found(path).is_empty(), "{path}");
        }
    }

    #[test]
    fn the_description_has_every_path_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let mut described: Vec<_> = paths
            .flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |(method, _)| (path, method)))
            .filter(|(_, method)| *method != "parameters")
            .map(|(path, method)| format!("{} {path}", method.to_uppercase()))
            .collect();
        let mut here: Vec<_> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        described.sort();
        here.sort();
        assert_eq!(described, here);
    }

    #[test]
    fn nothing_is_changed_by_get() {
        for route in &ROUTES {
            assert!(route.needs != Needs::Operate || route.method == "POST", "{}", route.path);
            assert!(!route.of_metrics || route.method == "GET", "{}", route.path);
        }
    }
}
