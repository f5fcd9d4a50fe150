//! The acts that a line can name.

use std::time::{Duration, SystemTime};

use tidegate_guest::log::Level;
use tidegate_guest::metrics::{Counter, Gauge, Histogram};
use tidegate_guest::{Piece, Reply, Request, Response, clock, groups, log, random, store, vars};

/// The end of a hook, if it is not `next`.
#[derive(Debug)]
pub(crate) enum End {
    Respond(Reply),
    Forward(String),
    Replace(Vec<u8>),
    Close,
    /// Of `init`.
    Refuse(String),
}

/// One run of a hook.
#[derive(Debug)]
pub(crate) struct Script<'p> {
    piece: Option<Piece<'p>>,
    /// Header fields of the reply.
    fields: Vec<(String, String)>,
    /// The text that was read, and whether it goes to a variable.
    saw: Vec<String>,
}

impl<'p> Script<'p> {
    pub(crate) const fn new(piece: Option<Piece<'p>>) -> Self {
        Self { piece, fields: Vec::new(), saw: Vec::new() }
    }

    /// Does the lines, up to the one that ends the hook. A line that begins with `times N` is done so often, with its number in
    /// place of `{n}`; `{a*N}` stands for N of a.
    pub(crate) fn run<'l>(mut self, lines: impl Iterator<Item = &'l str>) -> Option<End> {
        let mut end = None;
        for line in lines {
            let (times, line) = match line.strip_prefix("times ").and_then(|rest| rest.split_once(' ')) {
                Some((times, line)) => (times.parse().unwrap_or(0), line),
                None => (1, line),
            };
            for n in 0..times {
                end = self.line(&repeated(&line.replace("{n}", &n.to_string())));
                if end.is_some() {
                    break;
                }
            }
            if end.is_some() {
                break;
            }
        }
        self.keep();
        end
    }

    /// Adds what it saw to the variable.
    fn keep(&self) {
        if self.saw.is_empty() {
            return;
        }
        let saw = self.saw.join("; ");
        let before = vars::get("saw").map(|before| format!("{before}; ")).unwrap_or_default();
        vars::set("saw", &format!("{before}{saw}"));
    }

    fn see(&mut self, what: impl Into<String>) {
        self.saw.push(what.into());
    }

    fn line(&mut self, line: &str) -> Option<End> {
        let (act, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match act {
            "respond" => return Some(End::Respond(super::reply(first, &self.fields, second))),
            "field" => self.fields.push((first.to_owned(), second.to_owned())),
            "forward" => return Some(End::Forward(rest.to_owned())),
            "close" => return Some(End::Close),
            "replace" => return Some(End::Replace(rest.as_bytes().to_vec())),
            "refuse" => return Some(End::Refuse(rest.to_owned())),
            "last" => return self.piece.filter(|piece| piece.last).and_then(|_| self.line(rest)),
            #[expect(clippy::panic, reason = "that is the point")]
            "panic" => panic!("{rest}"),
            "piece" => {
                let piece =
                    self.piece.map(|piece| format!("{}{}", piece.data.len(), if piece.last { " last" } else { "" }));
                self.see(piece.unwrap_or_default());
            }
            _ => match act.split_once('.').unwrap_or((act, "")) {
                ("request", act) => self.request(act, rest, first, second),
                ("response", act) => self.response(act, first, second),
                ("var", "get") => self.see(shown(vars::get(rest))),
                ("var", _) => vars::set(first, second),
                ("log", "enabled") => self.see(log::enabled(level(rest)).to_string()),
                ("log", of) => log::write(level(of), rest),
                ("metric", act) => metric(act, first, second),
                ("store", act) => self.store(act, rest, first, second),
                ("groups", "count") => Gauge::new("groups").set(groups::list().len() as f64),
                ("groups", _) => {
                    let group = |group: groups::Group| format!("{} {}/{}", group.name, group.healthy, group.total);
                    let groups: Vec<String> = groups::list().into_iter().map(group).collect();
                    self.see(groups.join(", "));
                }
                ("clock", _) => {
                    let (before, now) = (clock::monotonic(), clock::now());
                    let year = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600);
                    self.see(format!("{} {}", now > year, clock::monotonic() >= before));
                }
                ("random", _) => self.see((random::u64() != random::u64()).to_string()),
                _ => self.see(format!("`{line}` is no line")),
            },
        }
        None
    }

    fn request(&mut self, act: &str, rest: &str, name: &str, value: &str) {
        let mut request = Request::current();
        match act {
            "set" => request.set_header(name, value),
            "add" => request.add_header(name, value),
            "remove" => request.remove_header(rest),
            "path" => request.set_path(rest),
            "query" => request.set_query(Some(rest)),
            "no-query" => request.set_query(None),
            "authority" => request.set_authority(rest),
            "get" => self.see(shown(request.header(rest).map(|value| value.to_text().into_owned()))),
            "get-all" => {
                let values = request.header_all(rest);
                self.see(values.iter().map(|value| value.to_text()).collect::<Vec<_>>().join(","));
            }
            "headers" => {
                self.see(fields(request.headers().iter().map(|(name, value)| (name.as_str(), value.to_text()))));
            }
            "head" => {
                let head = [request.method(), request.scheme(), request.authority(), request.path(), request.version()];
                self.see(format!("{} {}", head.join(" "), shown(request.query())));
            }
            _ => {
                let conn = request.connection();
                let tls = conn.tls().map(|tls| format!("{} {}", tls.version, tls.cipher));
                let at = format!("{} {} {}", conn.peer_text(), conn.client_ip_text(), conn.listener());
                self.see(format!("{at} {} {}", conn.protocol(), shown(tls)));
            }
        }
    }

    fn response(&mut self, act: &str, name: &str, value: &str) {
        let mut response = Response::current();
        match act {
            "set" => response.set_header(name, value),
            "add" => response.add_header(name, value),
            "remove" => response.remove_header(name),
            "set-status" => response.set_status(name.parse().unwrap_or(0)),
            "get" => self.see(shown(response.header(name).map(|value| value.to_text().into_owned()))),
            "get-all" => {
                let values = response.header_all(name);
                self.see(values.iter().map(|value| value.to_text()).collect::<Vec<_>>().join(","));
            }
            "headers" => {
                self.see(fields(response.headers().iter().map(|(name, value)| (name.as_str(), value.to_text()))));
            }
            _ => self.see(response.status().to_string()),
        }
    }

    fn store(&mut self, act: &str, rest: &str, key: &str, value: &str) {
        let (number, more) = value.split_once(' ').unwrap_or((value, "0"));
        match act {
            "get" => {
                let value = store::get(rest);
                self.see(shown(value.map(|value| String::from_utf8_lossy(&value).into_owned())));
            }
            // Keys that no earlier request had; how many were kept.
            "fill" => {
                let request = store::incr("request", 1, 0).unwrap_or(0);
                let kept = (0..255).filter(|n| store::set(&format!("{request} {n}"), "", 0)).count();
                self.see(kept.to_string());
            }
            // Without telling.
            "put" => drop(store::set(key, value, 0)),
            "set" => self.see(store::set(key, value, 0).to_string()),
            "set-for" => self.see(store::set(key, more, number.parse().unwrap_or(0)).to_string()),
            "delete" => self.see(store::delete(rest).to_string()),
            "incr" => {
                let sum = store::incr(key, number.parse().unwrap_or(0), more.parse().unwrap_or(0));
                self.see(shown(sum.map(|sum| sum.to_string())));
            }
            _ => {
                let taken = store::take(key, number.parse().unwrap_or(0), more.parse().unwrap_or(f64::NAN));
                self.see(format!("{taken:?}"));
            }
        }
    }
}

fn metric(act: &str, name: &str, value: &str) {
    let value = value.parse().unwrap_or(f64::NAN);
    match act {
        "define" => drop(Counter::new(name)),
        "count" => Counter::new(name).add(value),
        "gauge-add" => Gauge::new(name).add(value),
        "gauge" => Gauge::new(name).set(value),
        _ => Histogram::new(name).record(value),
    }
}

fn level(name: &str) -> Level {
    match name {
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        _ => Level::Error,
    }
}

/// Fields by their names, as the order of names is nobody's promise.
fn fields<'f>(fields: impl Iterator<Item = (&'f str, std::borrow::Cow<'f, str>)>) -> String {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by(|one, other| one.0.cmp(other.0));
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

fn shown(text: Option<String>) -> String {
    text.unwrap_or_else(|| "none".to_owned())
}

/// The line, with `{a*3}` written out.
fn repeated(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, (inside, after))) =
        rest.split_once('{').and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
    {
        out.push_str(before);
        match inside.split_once('*').and_then(|(text, times)| Some(text.repeat(times.parse().ok()?))) {
            Some(many) => out.push_str(&many),
            None => {
                out.push('{');
                out.push_str(inside);
                out.push('}');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
