//! What a hook costs: `cargo bench -p tidegate-wasm-host --bench hook_cost`.
//!
//! It builds the `client-headers` guest and prints the CPU time of a request hook (read one header, set one) and a
//! response hook (set one header), with reused and with fresh instances; of a hook that gets three of fifteen headers, sets
//! two and removes one; and the memory of an instance. Each figure is
//! the best and the median of many batches.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people, who see where it fails")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{exchange, resident, rig, spec};
use http::HeaderValue;
use rustix::time::{ClockId, clock_gettime};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::Hook;
use tidegate_wasm_host::{ExtensionSpec, Pool};

const CONFIG: &str = r#"{"request": {"x-ext-client": "{first.x-forwarded-for}"}, "response": {"x-ext": "1"}}"#;

fn main() {
    let host = rig().host;
    let spec = spec("client_headers", CONFIG);
    println!("module                  {:>9} bytes", spec.module.len());
    let start = Instant::now();
    let extension = host.load(&spec).unwrap();
    println!("compile, link, init     {:>9.1} ms", start.elapsed().as_secs_f64() * 1e3);

    println!("\n                            best    median   ns of CPU");
    let native = batches(20_000, native);
    print("native, both hooks", native);
    let mut pool = Pool::new(Arc::clone(&extension));
    print("reused, request hook", batches(20_000, |exchange| call(&mut pool, Hook::Request, exchange)));
    print("reused, response hook", batches(20_000, |exchange| call(&mut pool, Hook::Response, exchange)));
    let both = batches(20_000, |exchange| {
        let exchange = call(&mut pool, Hook::Request, exchange);
        call(&mut pool, Hook::Response, exchange)
    });
    print("reused, both hooks", both);
    let fresh = host.load(&ExtensionSpec { fresh: true, ..spec }).unwrap();
    let mut fresh = Pool::new(fresh);
    print("fresh, request hook", batches(500, |exchange| call(&mut fresh, Hook::Request, exchange)));

    let plain = common::spec("tidegate_hostile_guest", r#"{"plain": true}"#);
    let mut pool = Pool::new(host.load(&plain).unwrap());
    print("reused, 3 get 2 set 1 rm", batches(20_000, |exchange| call(&mut pool, Hook::Request, exchange)));
    let mut pool = Pool::new(host.load(&ExtensionSpec { fresh: true, ..plain.clone() }).unwrap());
    print("fresh, 3 get 2 set 1 rm", batches(500, |exchange| call(&mut pool, Hook::Request, exchange)));
    let component = wit_component::ComponentEncoder::default().module(&plain.module).unwrap().encode().unwrap();
    let plain = ExtensionSpec { module: component.into(), ..plain };
    let mut pool = Pool::new(host.load(&plain).unwrap());
    print("same, as component", batches(20_000, |exchange| call(&mut pool, Hook::Request, exchange)));
    let mut pool = Pool::new(host.load(&ExtensionSpec { fresh: true, ..plain }).unwrap());
    print("same, fresh", batches(500, |exchange| call(&mut pool, Hook::Request, exchange)));

    let before = resident();
    let mut pools: Vec<Pool> = (0..100).map(|_| Pool::new(Arc::clone(&extension))).collect();
    for pool in &mut pools {
        call(pool, Hook::Request, request());
    }
    println!("\na live instance         {:>9} KiB", (resident() - before) / 100 / 1024);
    println!("the process             {:>9} KiB", resident() / 1024);
}

fn print(what: &str, (best, median): (f64, f64)) {
    println!("{what:<24} {best:>9.0} {median:>9.0}");
}

fn call(pool: &mut Pool, hook: Hook, exchange: Box<Exchange>) -> Box<Exchange> {
    let (exchange, verdict) = pool.call(hook, exchange);
    assert!(verdict.is_ok(), "{verdict:?}");
    exchange
}

/// The same work without a guest.
fn native(mut exchange: Box<Exchange>) -> Box<Exchange> {
    let list = exchange.request.headers.get("x-forwarded-for").unwrap().as_bytes();
    let first = list.split(|byte| *byte == b',').next().unwrap();
    let value = HeaderValue::from_bytes(first).unwrap();
    exchange.request.headers.insert("x-ext-client", value);
    exchange.response.as_mut().unwrap().headers.insert("x-ext", HeaderValue::from_static("1"));
    exchange
}

fn request() -> Box<Exchange> {
    exchange(&[
        ("accept", "*/*"),
        ("cache-control", "no-cache"),
        ("dnt", "1"),
        ("origin", "https://shop.example"),
        ("referer", "https://shop.example/a"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("x-internal", "1"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en"),
        ("cookie", "session=0123456789abcdef"),
        ("user-agent", "hook_cost"),
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
        ("x-request-id", "0123456789abcdef"),
    ])
}

/// CPU time of one round, in nanoseconds: best and median of 50 batches. The exchange goes round, as it does not
/// change after the first.
fn batches(rounds: u32, mut round: impl FnMut(Box<Exchange>) -> Box<Exchange>) -> (f64, f64) {
    let mut exchange = Some(round(request()));
    let mut costs: Vec<f64> = (0..50)
        .map(|_| {
            let start = cpu();
            for _ in 0..rounds {
                exchange = exchange.take().map(&mut round);
            }
            (cpu() - start).as_secs_f64() * 1e9 / f64::from(rounds)
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    (costs[0], costs[25])
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
