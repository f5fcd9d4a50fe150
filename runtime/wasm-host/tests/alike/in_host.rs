//! A case in the host, with its hooks called as the gateway calls them.

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tidegate_engine::exchange::{Exchange, Response};
use tidegate_engine::hook::{BodyVerdict, Capability, Hook, HookFault, Reply, Verdict};
use tidegate_wasm_host::{
    BodyMode, CalloutFailure, CalloutOutcome, CalloutResponse, Extension, ExtensionSpec, GroupState, Groups, LoadError,
    Pool, Reach, Reached,
};

use super::given::{Answer, Given, Step};
use super::outcome::{Outcome, fault, refused};
use crate::common::{self, Rig, rig, spec};

const SCRIPTED: &str = "tidegate_scripted_guest";
const ASKING: &str = "tidegate_asking_guest";

/// The time between two looks of a worker whether a tick is due.
const LOOK: Duration = Duration::from_millis(100);

/// The host, with the guests compiled once.
pub(crate) struct InHost {
    rig: Rig,
    /// The module of each guest, as the compiler makes it and as the component that it stands for.
    modules: Vec<(&'static str, [Arc<[u8]>; 2])>,
    /// Kept, so that nothing is compiled again.
    _loaded: Vec<Arc<Extension>>,
    cases: Cell<u32>,
}

impl InHost {
    pub(crate) fn new() -> Self {
        let (rig, mut modules, mut loaded) = (rig(), Vec::new(), Vec::new());
        for (guest, config) in [(SCRIPTED, "{}"), (ASKING, "{}")] {
            let spec = spec(guest, config);
            let component = wit_component::ComponentEncoder::default().module(&spec.module).unwrap().encode().unwrap();
            let forms = [Arc::clone(&spec.module), component.into()];
            for module in &forms {
                loaded.push(rig.host.load(&ExtensionSpec { module: Arc::clone(module), ..spec.clone() }).unwrap());
            }
            modules.push((guest, forms));
        }
        Self { rig, modules, _loaded: loaded, cases: Cell::new(0) }
    }

    fn spec(&self, given: &Given, as_component: bool) -> ExtensionSpec {
        let guest = if given.asking { ASKING } else { SCRIPTED };
        let (_, forms) = self.modules.iter().find(|(name, _)| *name == guest).unwrap();
        let reached = |groups: &Option<Vec<String>>| groups.clone().map_or(Reached::Every, Reached::These);
        let allowed = |capability: &Capability| !given.without.iter().any(|word| word == capability.word());
        self.cases.set(self.cases.get() + 1);
        ExtensionSpec {
            // A name of its own, so that it shares no store with other cases.
            name: format!("case-{}", self.cases.get()),
            module: Arc::clone(&forms[usize::from(as_component)]),
            memory: 64 << 20,
            // Time is not what these cases are about, and the machine may be busy.
            time: Duration::from_secs(5),
            reach: Reach { route: reached(&given.route), outbound: reached(&given.outbound) },
            allow: Capability::ALL.into_iter().filter(allowed).collect(),
            ..spec(guest, &given.config)
        }
    }
}

/// Runs a case in a module as the compiler makes it, or in the component that it stands for.
pub(crate) fn run(side: &InHost, given: &Given, as_component: bool) -> Vec<String> {
    let Rig { host, log } = &side.rig;
    let spec = side.spec(given, as_component);
    let extension = match host.load(&spec) {
        Ok(extension) => extension,
        Err(LoadError::Init(message) | LoadError::Interest(message)) => return vec![refused(&message)],
        Err(LoadError::InitFault(failed)) => return vec![fault(failed.kind.name(), &failed.message)],
        Err(other) => return vec![refused(&other.to_string())],
    };
    let mut pool = Pool::new(Arc::clone(&extension));
    pool.set_groups(Arc::new(Listed(given.groups.clone())));
    let (mut lines, start) = (Vec::new(), Instant::now());
    let (answers, mut ticked) = (RefCell::new(given.answers.clone()), Duration::ZERO);
    for step in &given.steps {
        match step {
            Step::Send => {
                log.lock().unwrap().clear();
                let way =
                    Way { pool: &mut pool, extension: &extension, given, answers: &answers, exchange: exchange(given) };
                match way.go() {
                    Ok(outcome) => lines.extend(finished(outcome, given, &side.rig, &spec.name).lines()),
                    Err(failed) => {
                        lines.push(fault(failed.kind.name(), &failed.message));
                        break;
                    }
                }
            }
            Step::Wait(ms) => std::thread::sleep(Duration::from_millis(*ms)),
            Step::Tick(ms) => {
                let end = ticked + Duration::from_millis(*ms);
                while ticked + LOOK <= end {
                    ticked += LOOK;
                    if let Err(failed) = pool.tick(start + ticked) {
                        lines.push(fault(failed.kind.name(), &failed.message));
                        return lines;
                    }
                }
            }
        }
    }
    lines
}

struct Listed(Vec<(String, u32, u32)>);

impl Groups for Listed {
    fn list(&self) -> Vec<GroupState> {
        let group = |(name, healthy, total): &(String, u32, u32)| GroupState {
            name: name.clone(),
            healthy: *healthy,
            total: *total,
        };
        self.0.iter().map(group).collect()
    }
}

fn headers(fields: &[(String, String)]) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

fn exchange(given: &Given) -> Box<Exchange> {
    let mut exchange = common::exchange(&[]);
    exchange.connection = Arc::new(tidegate_engine::exchange::Connection {
        peer: "192.0.2.1:50123".parse().unwrap(),
        local: exchange.connection.local,
        listener: "test".into(),
        tls: None,
    });
    exchange.client_ip = "192.0.2.1".parse().unwrap();
    let request = &mut exchange.request;
    request.method = given.method.parse().unwrap();
    request.authority = "example.com".parse().unwrap();
    request.target = given.target.parse().unwrap();
    request.headers = headers(&given.headers);
    request.has_body = !given.body.is_empty();
    exchange.response = None;
    for (name, value) in &given.vars {
        exchange.vars.set(name, value).unwrap();
    }
    exchange
}

/// The way of a request through the hooks, as the gateway goes it with one extension.
struct Way<'w> {
    pool: &'w mut Pool,
    extension: &'w Extension,
    given: &'w Given,
    answers: &'w RefCell<Vec<Answer>>,
    exchange: Box<Exchange>,
}

/// The end of a request: the exchange, both verdicts and both bodies.
type End = (Box<Exchange>, [String; 2], [Vec<u8>; 2]);

impl Way<'_> {
    fn go(mut self) -> Result<End, HookFault> {
        let mut body = pieces(&self.given.body);
        let mut back = pieces(&self.given.response_body);
        let server =
            Response::new(StatusCode::from_u16(self.given.status).unwrap(), headers(&self.given.response_headers));
        let mut verdict = String::new();
        let mut reply = None;
        if self.extension.wants(Hook::Request, &self.exchange) {
            match self.head(Hook::Request)? {
                Verdict::Next => {}
                Verdict::Respond(given) => reply = Some(given),
                Verdict::Forward(group) => verdict = format!("forward {group}"),
                Verdict::Close => verdict = "close".to_owned(),
            }
        }
        if reply.is_none() && verdict != "close" {
            match self.body(Hook::RequestBody, &mut body)? {
                BodyVerdict::Respond(given) => reply = Some(given),
                BodyVerdict::Close => verdict = "close".to_owned(),
                BodyVerdict::Next | BodyVerdict::Replace(_) => {}
            }
        }
        let mut response_verdict = String::new();
        if verdict != "close" {
            self.exchange.response = Some(server);
            if let Some(reply) = reply {
                verdict = "respond".to_owned();
                back = self.take(reply);
            }
            response_verdict = self.back(&mut back)?;
        }
        if self.extension.wants(Hook::Log, &self.exchange) {
            let told;
            (self.exchange, told) = self.pool.log(self.exchange);
            told?;
        }
        Ok((self.exchange, [verdict, response_verdict], [body.concat(), back.concat()]))
    }

    fn back(&mut self, body: &mut Vec<Bytes>) -> Result<String, HookFault> {
        let mut verdict = String::new();
        if self.extension.wants(Hook::Response, &self.exchange) {
            match self.head(Hook::Response)? {
                Verdict::Next | Verdict::Forward(_) => {}
                Verdict::Close => return Ok("close".to_owned()),
                Verdict::Respond(reply) => {
                    verdict = "respond".to_owned();
                    *body = self.take(reply);
                }
            }
        }
        match self.body(Hook::ResponseBody, body)? {
            BodyVerdict::Respond(reply) => {
                verdict = "respond".to_owned();
                *body = self.take(reply);
            }
            BodyVerdict::Close => verdict = "close".to_owned(),
            BodyVerdict::Next | BodyVerdict::Replace(_) => {}
        }
        Ok(verdict)
    }

    fn take(&mut self, reply: Reply) -> Vec<Bytes> {
        self.exchange.response = Some(Response::new(reply.status, reply.headers));
        if reply.body.is_empty() { Vec::new() } else { vec![reply.body] }
    }

    fn head(&mut self, hook: Hook) -> Result<Verdict, HookFault> {
        let exchange = std::mem::replace(&mut self.exchange, common::exchange(&[]));
        let verdict;
        if self.extension.waits() {
            let mut suspended = self.pool.begin(exchange.client_ip)?;
            let mut future = Box::pin(suspended.call(hook, exchange, |call| ready(self.answer(&call.group))));
            verdict = loop {
                if let Poll::Ready(verdict) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    break verdict;
                }
            };
            drop(future);
            self.exchange = suspended.exchange().unwrap();
            self.pool.end(suspended, &verdict);
        } else {
            (self.exchange, verdict) = self.pool.call(hook, exchange);
        }
        verdict
    }

    /// The answer to the next call of a group: the last one stays.
    fn answer(&self, group: &str) -> CalloutOutcome {
        let mut answers = self.answers.borrow_mut();
        let of_group = answers.iter().filter(|(of, _)| of == group).count();
        let Some(first) = answers.iter().position(|(of, _)| of == group) else {
            return Ok(Err(CalloutFailure::Offline));
        };
        let (_, answer) = if of_group > 1 { answers.remove(first) } else { answers[first].clone() };
        Ok(match answer {
            Ok((status, body)) => Ok(CalloutResponse {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: body.into(),
            }),
            Err(why) => Err(match why.as_str() {
                "unreachable" => CalloutFailure::Unreachable,
                "timeout" => CalloutFailure::Timeout,
                _ => CalloutFailure::Busy,
            }),
        })
    }

    /// Shows a body to the guest; what goes on is in `body`.
    fn body(&mut self, hook: Hook, body: &mut Vec<Bytes>) -> Result<BodyVerdict, HookFault> {
        let Some(mode) = self.pool.body(hook, &self.exchange).filter(|_| !body.is_empty()) else {
            return Ok(BodyVerdict::Next);
        };
        let (pieces, streams): (Vec<Bytes>, bool) = match mode {
            BodyMode::Buffer(most) => {
                let whole = Bytes::from(body.concat());
                if whole.len() > most {
                    return Err(self.pool.body_too_long(most));
                }
                (vec![whole], false)
            }
            BodyMode::Stream(most) => {
                let cut = body.iter().flat_map(|piece| piece.chunks(most).map(Bytes::copy_from_slice));
                (cut.chain([Bytes::new()]).collect(), true)
            }
        };
        let mut on = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let exchange = std::mem::replace(&mut self.exchange, common::exchange(&[]));
            let verdict;
            let last = at + 1 == pieces.len();
            (self.exchange, verdict) = self.pool.call_body(hook, exchange, (piece, last), streams);
            match verdict? {
                BodyVerdict::Next => on.push(piece.clone()),
                BodyVerdict::Replace(data) => on.push(data),
                end => {
                    *body = on;
                    return Ok(end);
                }
            }
        }
        *body = on;
        Ok(BodyVerdict::Next)
    }
}

fn pieces(body: &[String]) -> Vec<Bytes> {
    body.iter().map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect()
}

fn finished(
    (exchange, [verdict, response_verdict], [body, response_body]): End,
    given: &Given,
    Rig { host, log }: &Rig,
    extension: &str,
) -> Outcome {
    let text = |headers: &HeaderMap| {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        headers.iter().map(field).collect::<Vec<_>>()
    };
    let samples = host.samples();
    let metric = |name: &String| {
        let of = samples.iter().find(|sample| sample.extension == extension && sample.name == *name);
        of.map_or(0.0, |sample| sample.value)
    };
    let response = exchange.response.as_ref();
    Outcome {
        verdict,
        response_verdict,
        authority: exchange.request.authority.to_string(),
        target: exchange.request.target.to_string(),
        headers: text(&exchange.request.headers),
        body,
        status: response.map_or(0, |response| response.status.as_u16()),
        response_headers: response.map(|response| text(&response.headers)).unwrap_or_default(),
        response_body,
        vars: exchange.vars.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        log: log
            .lock()
            .unwrap()
            .iter()
            .map(|(level, line)| (format!("{level:?}").to_lowercase(), line.clone()))
            .collect(),
        metrics: given.metrics.iter().map(|name| (name.clone(), metric(name))).collect(),
    }
}
