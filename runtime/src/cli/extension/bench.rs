//! `tidegate extension bench`: what a module costs.
//!
//! Each figure is processor time of this thread, the median over batches of calls with one request that has fifteen headers.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tidegate_engine::exchange::{Connection, Exchange, Request, Response};
use tidegate_engine::hook::{Hook, HookFault};
use tidegate_engine::target::Target;
use tidegate_wasm_host::{BodyMode, Extension, ExtensionSpec, Pool};

use super::super::{AnswerFormat, Failed, answer};
use super::{Looked, size};

/// Batches of a measurement.
const BATCHES: usize = 25;
/// Calls of a batch: in reused instances, and in fresh ones.
const CALLS: (usize, usize) = (400, 20);
/// A measurement ends early after this time, for guests that are slow.
const PATIENCE: Duration = Duration::from_secs(2);
/// The body that body hooks get.
const BODY_BYTES: usize = 1024;
/// Live instances of which the memory is taken.
const LIVE: usize = 20;

/// What was measured.
#[derive(Serialize)]
struct Report {
    module: String,
    bytes: usize,
    /// Compiling, or taking the compiled code from the cache; linking, and one `init`.
    load_ms: f64,
    hooks: Vec<Cost>,
    instance: Instance,
}

#[derive(Serialize)]
struct Cost {
    hook: &'static str,
    reused_ns: f64,
    fresh_ns: f64,
}

#[derive(Serialize)]
struct Instance {
    /// Making one, `init` included.
    ns: f64,
    /// Linear memory after the first calls.
    memory_bytes: u64,
    /// What the process grew by for each that is live.
    resident_bytes: u64,
}

/// Measures, and prints.
pub(super) fn bench(looked: &Looked, format: AnswerFormat) -> Result<(), Failed> {
    let report = measure(looked)?;
    match format {
        AnswerFormat::Human => answer(&human(&report)),
        AnswerFormat::Json => {
            let json = serde_json::to_string_pretty(&report).map_err(|error| Failed::Because(error.to_string()))?;
            answer(&json)
        }
    }
}

fn measure(looked: &Looked) -> Result<Report, Failed> {
    let spec = looked.spec();
    let load = |spec: &ExtensionSpec| looked.host.load(spec).map_err(|error| refused(&error.to_string(), looked));
    let started = Instant::now();
    let extension = load(&spec)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let fresh = load(&ExtensionSpec { fresh: true, ..spec })?;
    let mut hooks = Vec::new();
    for hook in extension.interest().hooks() {
        let cost =
            |extension: &Arc<Extension>, calls| median(extension, hook, calls).map_err(|fault| failed(hook, &fault));
        hooks.push(Cost { hook: hook.name(), reused_ns: cost(&extension, CALLS.0)?, fresh_ns: cost(&fresh, CALLS.1)? });
    }
    let instance = instance(&extension, &hooks)?;
    Ok(Report { module: looked.file.display().to_string(), bytes: looked.bytes.len(), load_ms, hooks, instance })
}

fn refused(why: &str, looked: &Looked) -> Failed {
    let help = if looked.has_config { "" } else { "; `--config` gives it a configuration" };
    Failed::Because(format!("`{}` cannot be run: {why}{help}", looked.file.display()))
}

fn failed(hook: Hook, fault: &HookFault) -> Failed {
    Failed::Because(format!("the hook `{}` failed ({}): {}", hook.name(), fault.kind.name(), fault.message))
}

/// The median cost of a call, in nanoseconds.
fn median(extension: &Arc<Extension>, hook: Hook, calls: usize) -> Result<f64, HookFault> {
    let mut pool = Pool::new(Arc::clone(extension));
    let mut clock = Clock::new(extension);
    call(&mut pool, hook, exchange(), &mut clock)?;
    let begun = Instant::now();
    let mut costs = Vec::with_capacity(BATCHES);
    while costs.len() < BATCHES && (costs.is_empty() || begun.elapsed() < PATIENCE) {
        let requests: Vec<Box<Exchange>> = (0..calls).map(|_| exchange()).collect();
        let mut done = Vec::with_capacity(calls);
        let start = cpu();
        for request in requests {
            done.push(call(&mut pool, hook, request, &mut clock)?);
        }
        #[expect(clippy::cast_precision_loss, reason = "a few hundred calls")]
        costs.push((cpu().saturating_sub(start)).as_secs_f64() * 1e9 / calls as f64);
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs.get(costs.len() / 2).copied().unwrap_or_default())
}

/// The time that ticks are told, so that each is due.
struct Clock {
    now: Instant,
    every: Duration,
}

impl Clock {
    fn new(extension: &Extension) -> Self {
        Self { now: Instant::now(), every: extension.tick().unwrap_or_default() }
    }

    fn next(&mut self) -> Instant {
        self.now += self.every;
        self.now
    }
}

fn call(pool: &mut Pool, hook: Hook, exchange: Box<Exchange>, clock: &mut Clock) -> Result<Box<Exchange>, HookFault> {
    match hook {
        Hook::Request | Hook::Response => {
            let (exchange, verdict) = pool.call(hook, exchange);
            verdict.map(|_| exchange)
        }
        Hook::RequestBody | Hook::ResponseBody => {
            let streams = matches!(pool.extension().interest().body_mode(hook), Some(BodyMode::Stream(_)));
            let (exchange, verdict) = pool.call_body(hook, exchange, (&[b'a'; BODY_BYTES], true), streams);
            verdict.map(|_| exchange)
        }
        Hook::Log => {
            let (exchange, told) = pool.log(exchange);
            told.map(|()| exchange)
        }
        Hook::Tick => pool.tick(clock.next()).map(|()| exchange),
    }
}

/// What an instance costs: a fresh call less a reused one, and the memory of some that are kept alive.
fn instance(extension: &Arc<Extension>, hooks: &[Cost]) -> Result<Instance, Failed> {
    let Some(hook) = extension.interest().hooks().next() else {
        return Err(Failed::Because("it asks for no hook: there is nothing to measure".to_owned()));
    };
    let before = resident();
    let mut pools: Vec<Pool> = (0..LIVE).map(|_| Pool::new(Arc::clone(extension))).collect();
    for pool in &mut pools {
        call(pool, hook, exchange(), &mut Clock::new(extension)).map_err(|fault| failed(hook, &fault))?;
    }
    let resident_bytes = resident().saturating_sub(before) / LIVE as u64;
    let ns = hooks.first().map(|cost| (cost.fresh_ns - cost.reused_ns).max(0.0)).unwrap_or_default();
    let memory_bytes = pools.first().and_then(Pool::memory).unwrap_or_default();
    Ok(Instance { ns, memory_bytes, resident_bytes })
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
    kib * 1024
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// `GET http://shop.example/a?b` as a browser sends it, and a 200 on the way back.
fn exchange() -> Box<Exchange> {
    const FIELDS: [(&str, &str); 15] = [
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en"),
        ("authorization", "Bearer 0123456789abcdef"),
        ("cache-control", "no-cache"),
        ("cookie", "session=0123456789abcdef"),
        ("dnt", "1"),
        ("origin", "https://shop.example"),
        ("referer", "https://shop.example/a"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("user-agent", "tidegate"),
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
        ("x-request-id", "0123456789abcdef"),
    ];
    let fields = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    };
    let target = PathAndQuery::from_static("/a?b");
    let normalised = Target::root().replaced(&target).unwrap_or_else(|_| Target::root());
    let authority = Authority::from_static("shop.example");
    let request = Request::new(Method::GET, authority, (normalised, target), Version::HTTP_11, fields(&FIELDS));
    let connection = Connection {
        peer: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50123)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        listener: "bench".into(),
        tls: None,
    };
    let client_ip = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let mut exchange = Exchange::new(Arc::new(connection), request, client_ip, 1);
    let fields = fields(&[("content-type", "text/html"), ("server", "backend")]);
    exchange.response = Some(Response::new(StatusCode::OK, fields));
    Box::new(exchange)
}

// Writing into a string cannot fail.
fn human(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "module          {}, {}", report.module, size(report.bytes as u64));
    let _ = writeln!(out, "load            {:.1} ms: compile or take from the cache, link, init", report.load_ms);
    let _ = writeln!(out, "\nns a call           reused     fresh");
    for Cost { hook, reused_ns, fresh_ns } in &report.hooks {
        let _ = writeln!(out, "{hook:<15} {reused_ns:>10.0} {fresh_ns:>9.0}");
    }
    let Instance { ns, memory_bytes, resident_bytes } = &report.instance;
    let _ = writeln!(
        out,
        "\nan instance     {:.1} µs to make; {} of linear memory, {} resident",
        ns / 1e3,
        size(*memory_bytes),
        size(*resident_bytes)
    );
    out
}
