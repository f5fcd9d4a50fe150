//! A guest that does what its configuration says: a list of lines, each the hook that it is for and what to do there, such as
//! `request> request.set x-a 1`. What it reads it keeps in the variable `saw`; where there is no request, in the store.

mod act;

use act::{End, Script};
use tidegate_guest::config::Many;
use tidegate_guest::{
    BodyMode, BodyVerdict, Error, Filter, Hooks, Interest, Piece, Reply, Request, Response, Result, Verdict, export,
};

/// The configuration of the guest: `line "…"` again and again.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    line: Many<String>,
}

/// The lines of the guest, by the hook that they are for.
#[derive(Debug)]
pub struct Scripted(Vec<(String, String)>);

impl Scripted {
    fn lines(&self, of: &str) -> impl Iterator<Item = &str> {
        let of = of.to_owned();
        self.0.iter().filter(move |(hook, _)| *hook == of).map(|(_, line)| line.as_str())
    }

    /// Does what the lines of a hook say.
    fn run(&self, hook: &str, piece: Option<Piece<'_>>) -> Option<End> {
        Script::new(piece).run(self.lines(hook))
    }
}

impl Filter for Scripted {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        let line = |line: &String| match line.split_once("> ") {
            Some((hook, act)) => Ok((hook.to_owned(), act.to_owned())),
            None => Err(Error::new(format!("`{line}` is no line"))),
        };
        let scripted = Self(config.line.iter().map(line).collect::<Result<_>>()?);
        match scripted.run("init", None) {
            Some(End::Refuse(why)) => Err(Error::new(why)),
            _ => Ok(scripted),
        }
    }

    fn interest(&self) -> Interest {
        self.lines("interest").fold(Interest::everything(), |interest, line| {
            let (what, of) = line.split_once(' ').unwrap_or((line, ""));
            let list = || of.split(',').filter(|item| !item.is_empty());
            match what {
                "request-body" => mode(of).map_or(interest.clone(), |mode| interest.request_body(mode)),
                "response-body" => mode(of).map_or(interest.clone(), |mode| interest.response_body(mode)),
                "methods" => interest.methods(list()),
                "paths" => interest.path_prefixes(list()),
                "many-paths" => interest.path_prefixes((0..of.parse().unwrap_or(0)).map(|at| format!("/{at}"))),
                "tick" => interest.tick_ms(of.parse().unwrap_or(0)),
                _ => interest.hooks(Hooks {
                    request: list().any(|hook| hook == "request"),
                    response: list().any(|hook| hook == "response"),
                    log: list().any(|hook| hook == "log"),
                    ..Hooks::none()
                }),
            }
        })
    }

    fn on_request(&self, _: &mut Request) -> Verdict {
        verdict(self.run("request", None))
    }

    fn on_response(&self, _: &Request, _: &mut Response) -> Verdict {
        verdict(self.run("response", None))
    }

    fn on_request_body(&self, _: &mut Request, piece: Piece<'_>) -> BodyVerdict {
        body_verdict(self.run("request-body", Some(piece)))
    }

    fn on_response_body(&self, _: &Request, _: &mut Response, piece: Piece<'_>) -> BodyVerdict {
        body_verdict(self.run("response-body", Some(piece)))
    }

    fn on_log(&self, _: &Request, _: &Response) {
        self.run("log", None);
    }

    fn on_tick(&self) {
        self.run("tick", None);
    }
}

export!(Scripted: request, response, request_body, response_body, log, tick);

fn mode(text: &str) -> Option<BodyMode> {
    match text.split_once(' ')? {
        ("stream", most) => most.parse().ok().map(BodyMode::Stream),
        (_, most) => most.parse().ok().map(BodyMode::Buffer),
    }
}

fn verdict(end: Option<End>) -> Verdict {
    match end {
        Some(End::Respond(reply)) => Verdict::respond(reply),
        Some(End::Forward(group)) => Verdict::forward(group),
        Some(End::Close) => Verdict::close(),
        _ => Verdict::next(),
    }
}

fn body_verdict(end: Option<End>) -> BodyVerdict {
    match end {
        Some(End::Respond(reply)) => BodyVerdict::respond(reply),
        Some(End::Replace(data)) => BodyVerdict::replace(data),
        Some(End::Close) => BodyVerdict::close(),
        _ => BodyVerdict::next(),
    }
}

/// A reply with these header fields.
fn reply(status: &str, headers: &[(String, String)], body: &str) -> Reply {
    let reply = Reply::new(status.parse().unwrap_or(0)).body(body);
    headers.iter().fold(reply, |reply, (name, value)| reply.header(name, value))
}
