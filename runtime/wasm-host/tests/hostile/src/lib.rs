//! A guest that misbehaves on demand: the request header `x-do` says how, and the configuration how `init` does.
#![expect(clippy::panic, reason = "panics are what it is for")]

use std::cell::{Cell, RefCell};
use std::time::SystemTime;

use serde::Deserialize;
use tidegate_guest::log::Level;
use tidegate_guest::metrics::{Counter, Gauge, Histogram};
use tidegate_guest::{
    BodyMode, BodyVerdict, Error, Filter, Interest, Piece, Reply, Request, Response, Result, Verdict, clock, export,
    groups, log, random, store, vars,
};

mod raw;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    init: Option<String>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    /// The mode of both bodies: `stream` or `buffer`, and how many bytes.
    #[serde(default)]
    body: Option<(String, u32)>,
    #[serde(default)]
    tick_ms: u32,
    /// Do what a common filter does, and nothing else.
    #[serde(default)]
    plain: bool,
}

struct Hostile {
    config: Config,
    calls: Cell<u32>,
    hoard: RefCell<Vec<Vec<u8>>>,
}

impl Filter for Hostile {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        match config.init.as_deref() {
            Some("refuse") => return Err(Error::new("the colour is missing: write colour \"red\"")),
            Some("panic") => panic!("no way"),
            Some("loop") => forever(),
            // The store is shared by the instances: what the first one left, the second one finds.
            Some("once") if store::incr("instances", 1, 0) != Some(1) => {
                return Err(Error::new("one instance of me is enough"));
            }
            Some("read") => drop(Request::current().path()),
            _ => {}
        }
        Ok(Self { config, calls: Cell::new(0), hoard: RefCell::default() })
    }

    fn interest(&self) -> Interest {
        let interest = Interest::everything()
            .methods(self.config.methods.clone())
            .path_prefixes(self.config.paths.clone())
            .tick_ms(self.config.tick_ms);
        match &self.config.body {
            Some((mode, bytes)) => {
                let mode = if mode == "stream" { BodyMode::Stream(*bytes) } else { BodyMode::Buffer(*bytes) };
                interest.request_body(mode).response_body(mode)
            }
            None => interest,
        }
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        if self.config.plain {
            return plain(request);
        }
        self.calls.set(self.calls.get() + 1);
        request.set_header("x-calls", self.calls.get().to_string());
        let act = request.header("x-do");
        match act.as_ref().and_then(|value| value.to_str()).unwrap_or_default() {
            "loop" => forever(),
            "panic" => panic!("the tide\r\nis out"),
            "abort" => std::process::abort(),
            "memory" => loop {
                self.hoard.borrow_mut().push(vec![1; 1 << 20]);
            },
            "leak" => self.hoard.borrow_mut().push(vec![1; 1 << 16]),
            "stack" => drop(deep(u64::from(self.calls.get()))),
            "crlf" => request.set_header("x-evil", "a\r\nx-smuggled: b"),
            "bad-name" => request.set_header("x evil", "a"),
            "length" => request.set_header("Content-Length", "5"),
            "drop-host" => request.remove_header("host"),
            "many" => (0..1000).for_each(|n| request.add_header("x-many", n.to_string())),
            "large" => request.set_header("x-large", vec![b'a'; 100_000]),
            "huge" => request.set_header("x-huge", vec![b'a'; 3_000_000]),
            "flood" => (0..1000).for_each(|n| log::write(Level::Info, &format!("line {n}\nfeed"))),
            "long-line" => log::write(Level::Error, &"x".repeat(10_000)),
            "quiet" => log::write(Level::Debug, "nobody reads this"),
            "var-bomb" => (0..1000).for_each(|n| vars::set(&format!("v{n}"), "x")),
            "vars" => vars::set("colour", &format!("{}!", vars::get("colour").unwrap_or_default())),
            "store" => keep(request),
            "store-flood" => {
                for n in 0..200 {
                    let _ = store::set(&format!("{}-{n}", self.calls.get()), "x".repeat(1000), 0);
                }
            }
            "store-calls" => (0..1000).for_each(|n| drop(store::get(&n.to_string()))),
            "store-key" => request.set_header("x-set", store::set(&"k".repeat(2000), "x", 0).to_string()),
            "store-large" => {
                let set = store::set("large", vec![0; 1_500_000], 0);
                request.set_header("x-set", set.to_string());
            }
            "metrics" => {
                Counter::new("hits").add(2.0);
                Gauge::new("level").set(-1.5);
                Histogram::new("sizes").record(3.0);
            }
            "metric-flood" => (0..1000).for_each(|n| Counter::new(&format!("m{n}")).add(1.0)),
            "metric-name" => Counter::new("no name").add(1.0),
            "metric-less" => Counter::new("hits").add(-1.0),
            "groups" => {
                let groups = groups::list();
                let groups = groups.iter().map(|group| format!("{} {}/{};", group.name, group.healthy, group.total));
                request.set_header("x-groups", groups.collect::<String>());
            }
            "raw" => raw::calls(request),
            "early" => drop(Response::current().header("x-a")),
            "path" => request.set_path("/a/../c"),
            "path-query" => request.set_path("/a?b"),
            "query" => request.set_query(Some("k=v")),
            "authority" => request.set_authority("Other.Example:8443"),
            "bad-authority" => request.set_authority("user@host"),
            "forward" => return Verdict::forward("blue"),
            "close" => return Verdict::close(),
            "respond" => return Verdict::respond(Reply::new(403).header("x-why", "hostile").text("no")),
            "big-reply" => return Verdict::respond(Reply::new(200).body(vec![0; 1_100_000])),
            "bad-reply" => return Verdict::respond(Reply::new(200).header("x-a", "b\nc")),
            "describe" => describe(request),
            _ => {}
        }
        Verdict::next()
    }

    fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
        let act = request.header("x-do-back");
        match act.as_ref().and_then(|value| value.to_str()).unwrap_or_default() {
            "write-request" => Request::current().set_header("x-late", "1"),
            "rewrite" => Request::current().set_path("/late"),
            "no-content" => response.set_status(204),
            "status" => response.set_status(418),
            "informational" => response.set_status(101),
            "forward" => return Verdict::forward("blue"),
            "crlf" => response.set_header("x-evil", "a\r\nb"),
            "panic" => panic!("on the way back"),
            _ => {
                let was = response.status();
                response.set_header("x-was", was.to_string());
                response.remove_header("server");
            }
        }
        Verdict::next()
    }

    fn on_request_body(&self, request: &mut Request, piece: Piece<'_>) -> BodyVerdict {
        body(piece, || request.set_header("x-body", piece.data.len().to_string()))
    }

    fn on_response_body(&self, _: &Request, response: &mut Response, piece: Piece<'_>) -> BodyVerdict {
        body(piece, || response.set_header("x-body", piece.data.len().to_string()))
    }

    fn on_log(&self, request: &Request, response: &Response) {
        vars::set("logged", &format!("{} {}", request.method(), response.status()));
        match request.header("x-do-log").as_ref().and_then(|value| value.to_str()).unwrap_or_default() {
            "write" => Response::current().set_header("x-late", "1"),
            "panic" => panic!("at the end"),
            _ => {}
        }
    }

    fn on_tick(&self) {
        Counter::new("ticks").add(1.0);
    }
}

export!(Hostile: request, response, request_body, response_body, log, tick);

/// Does what the piece says.
fn body(piece: Piece<'_>, write: impl FnOnce()) -> BodyVerdict {
    match piece.data {
        b"write" => write(),
        b"upper" => return BodyVerdict::replace("UPPER"),
        b"drop" => return BodyVerdict::replace(""),
        b"huge" => return BodyVerdict::replace(vec![b'x'; 3_000_000]),
        b"respond" => return BodyVerdict::respond(Reply::new(403).text("no")),
        b"close" => return BodyVerdict::close(),
        b"panic" => panic!("in the body"),
        b"loop" => forever(),
        data if data.starts_with(b"set ") => vars::set(&String::from_utf8_lossy(&data[4..]), "yes"),
        b"last" if piece.last => return BodyVerdict::replace("the last"),
        _ => {}
    }
    BodyVerdict::next()
}

/// Uses every function of the store.
fn keep(request: &mut Request) {
    let taken: Vec<_> = (0..3).map(|_| store::take("bucket", 2, 0.001)).collect();
    let facts = [
        format!("{:?}", store::get("a")),
        store::set("a", "1", 0).to_string(),
        format!("{:?}", store::get("a")),
        store::delete("a").to_string(),
        store::delete("a").to_string(),
        format!("{:?}", store::incr("n", -7, 60_000)),
        format!("{:?}", store::incr("n", 10, 0)),
        format!("{taken:?}"),
    ];
    request.set_header("x-store", facts.join(" "));
}

/// Gets three headers, sets two and removes one.
fn plain(request: &mut Request) -> Verdict {
    let agent = request.header("user-agent");
    let list = request.header("x-forwarded-for");
    let first = list.as_ref().and_then(|list| list.to_str()?.split(',').next());
    request.set_header("x-client", first.unwrap_or("none"));
    let kind = if agent.is_some() && request.header("cookie").is_some() { "browser" } else { "other" };
    request.set_header("x-kind", kind);
    request.remove_header("x-internal");
    Verdict::next()
}

fn forever() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn deep(n: u64) -> u64 {
    std::hint::black_box(deep(std::hint::black_box(n) + 1)) + n
}

/// Everything that can be read, as headers.
fn describe(request: &mut Request) {
    let connection = request.connection();
    let tls = connection.tls().map_or_else(|| "none".to_owned(), |tls| format!("{} {}", tls.version, tls.cipher));
    let facts = [
        ("x-head", format!("{} {} {} {}", request.method(), request.scheme(), request.authority(), request.version())),
        ("x-target", format!("{} {:?}", request.path(), request.query())),
        ("x-peer", format!("{} {}", connection.peer_text(), connection.client_ip_text())),
        ("x-conn", format!("{} {} {tls}", connection.listener(), connection.protocol())),
        ("x-all", request.headers().iter().map(|(name, value)| format!("{name}={};", value.to_text())).collect()),
        ("x-multi", request.header_all("x-m").iter().map(|value| format!("{};", value.to_text())).collect()),
        ("x-random", (random::u64() != random::u64()).to_string()),
        ("x-clock", (clock::now() > SystemTime::UNIX_EPOCH && clock::monotonic() <= clock::monotonic()).to_string()),
    ];
    for (name, value) in facts {
        request.set_header(name, value);
    }
}
