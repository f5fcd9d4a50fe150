//! Guests, exchanges and instances without a module, for the tests of what the host decides alone.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tidegate_engine::exchange::{Connection, Exchange, Request, Response};
use tidegate_engine::hook::{Abi, Capability, Hook, HookFault, Reach};
use wasmtime::Engine;

use crate::abi::guest_abi::{InitResult, Linked, Running, Waiting};
use crate::abi::requests::{Context, Requests};
use crate::base::log::LogLevel;
use crate::extension::instance::Instance;
use crate::extension::spec::ExtensionSpec;
use crate::guest::callout::{Callout, CalloutResult};
use crate::guest::{Guest, Settings};
use crate::shared::ticker::Ticker;
use crate::wit;

/// Log lines that guests wrote.
pub(crate) type Lines = Arc<Mutex<Vec<(LogLevel, String)>>>;

/// A guest that may do this, of 1024 bytes of memory.
pub(crate) fn guest(allow: Vec<Capability>) -> Guest {
    guest_with_log(allow, &Lines::default())
}

/// As [`guest`], whose log lines go here.
pub(crate) fn guest_with_log(allow: Vec<Capability>, lines: &Lines) -> Guest {
    Guest::new(Arc::new(settings(allow, Reach::default(), lines)), 1024)
}

fn settings(allow: Vec<Capability>, reach: Reach, lines: &Lines) -> Settings {
    let lines = Arc::clone(lines);
    Settings {
        name: "test".to_owned(),
        allow,
        reach,
        log: Arc::new(move |record| {
            let line = (record.level, record.message.to_owned());
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }),
        log_level: LogLevel::Info,
        ticker: Arc::new(Ticker::start(Engine::default()).unwrap()),
        shared: Arc::default(),
    }
}

/// A guest that may do everything, in this hook of `GET http://shop.example/a?b` with a 200 on the way back.
pub(crate) fn guest_in(hook: Hook) -> Guest {
    let mut guest = guest(Capability::ALL.to_vec());
    guest.begin(Some((hook, exchange(7))), Duration::from_secs(1));
    guest
}

/// The exchange of a request of this id.
pub(crate) fn exchange(request_id: u128) -> Box<Exchange> {
    let fields = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    };
    let connection = Connection {
        peer: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50123)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        listener: "plain".into(),
        tls: None,
    };
    let target = ("/a?b".parse().unwrap(), "/a?b".parse().unwrap());
    let headers = fields(&[("accept", "*/*"), ("connection", "close"), ("x-a", "1")]);
    let request = Request::new(Method::GET, "shop.example".parse().unwrap(), target, Version::HTTP_11, headers);
    let client_ip = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let mut exchange = Exchange::new(Arc::new(connection), request, client_ip, request_id);
    exchange.response = Some(Response::new(StatusCode::OK, fields(&[("server", "backend")])));
    Box::new(exchange)
}

/// A callout to a server of this group.
pub(crate) fn callout(group: &str) -> Callout {
    Callout {
        group: group.to_owned(),
        method: Method::GET,
        authority: "shop.example".parse().unwrap(),
        target: "/".parse().unwrap(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        timeout: Duration::from_secs(1),
    }
}

/// An extension that may do everything, and keeps so many instances.
pub(crate) fn spec(abi: Abi, instances: u32) -> ExtensionSpec {
    ExtensionSpec {
        name: "test".to_owned(),
        module: Arc::from(&b""[..]),
        abi,
        config: "{}".to_owned(),
        memory: 1024,
        time: Duration::from_millis(50),
        instances,
        fresh: false,
        allow: Capability::ALL.to_vec(),
        reach: Reach::default(),
    }
}

/// An instance of a [`FakeGuest`], which knows these requests.
pub(crate) fn instance(spec: &ExtensionSpec, requests: &[u128]) -> Instance {
    let settings = Arc::new(settings(spec.allow.clone(), spec.reach.clone(), &Lines::default()));
    Instance::new(&Engine::default(), &linked(requests), &settings, spec).unwrap().0
}

/// Code that makes one [`FakeGuest`], which knows these requests and takes `{}` for a configuration.
pub(crate) fn linked(requests: &[u128]) -> Fake {
    let mut known = Requests::default();
    requests.iter().for_each(|request| known.insert(*request, Context::new(1)));
    Fake(Mutex::new(Some(known)))
}

/// Makes one [`FakeGuest`].
pub(crate) struct Fake(Mutex<Option<Requests>>);

impl Linked for Fake {
    fn start(&self, _: &Engine, guest: Guest, config: &str) -> Result<(Box<dyn Running>, InitResult), HookFault> {
        let requests = self.0.lock().unwrap().take().unwrap();
        let interest = wit::Interest {
            hooks: wit::Hooks::REQUEST,
            methods: Vec::new(),
            path_prefixes: Vec::new(),
            request_body: wit::BodyMode::None,
            response_body: wit::BodyMode::None,
            tick_ms: 0,
        };
        let result = if config == "{}" { Ok(interest) } else { Err("no".repeat(2000)) };
        Ok((Box::new(FakeGuest { guest, requests }), result))
    }
}

/// A guest without a module: it traps in response hooks, and takes 600 bytes of memory for each body.
struct FakeGuest {
    guest: Guest,
    requests: Requests,
}

impl Running for FakeGuest {
    fn guest(&self) -> &Guest {
        &self.guest
    }

    fn guest_mut(&mut self) -> &mut Guest {
        &mut self.guest
    }

    fn requests(&self) -> Option<&Requests> {
        Some(&self.requests)
    }

    fn requests_mut(&mut self) -> Option<&mut Requests> {
        Some(&mut self.requests)
    }

    fn run(&mut self, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        match hook {
            Hook::Response => Err(wasmtime::Trap::UnreachableCodeReached.into()),
            _ => Ok(wit::Verdict::Forward("web".to_owned())),
        }
    }

    fn run_waiting(&mut self, hook: Hook) -> Waiting<'_> {
        Box::pin(async move { self.run(hook) })
    }

    fn run_body(&mut self, _: Hook, _: &[u8], _: bool) -> wasmtime::Result<wit::BodyVerdict> {
        self.guest.memory.size += 600;
        Ok(wit::BodyVerdict::Next)
    }

    fn tell(&mut self, _: Hook) -> wasmtime::Result<()> {
        Ok(())
    }

    fn answer(&mut self, _: Hook, _: u32, _: CalloutResult) -> wasmtime::Result<wit::Verdict> {
        Ok(wit::Verdict::Next)
    }
}
