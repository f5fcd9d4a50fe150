//! A guest that asks other servers, well and badly: the request header `x-do` says how.

use tidegate_guest::outbound::{Call, fetch};
use tidegate_guest::{BodyMode, Error, Filter, Interest, Reply, Request, Response, Result, Verdict, export, store};

/// The configuration of the guest.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Config {
    /// The body that the guest wants without having the hook for it.
    wants: String,
    /// Whether it accepts the configuration in its first instance alone.
    once: bool,
}

/// The guest.
#[derive(Debug)]
pub struct Asking(Config);

impl Filter for Asking {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        if config.once && store::incr("instances", 1, 0) != Some(1) {
            return Err(Error::new("one instance of me is enough"));
        }
        Ok(Self(config))
    }

    fn interest(&self) -> Interest {
        let everything = Interest::everything();
        match self.0.wants.as_str() {
            "request bodies" => everything.request_body(BodyMode::Buffer(1024)),
            "response bodies" => everything.response_body(BodyMode::Stream(1024)),
            "ticks" => everything.tick_ms(1000),
            _ => everything,
        }
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        let call = match &*text(request, "x-do") {
            "ask" => return ask(request),
            "flood" => {
                (0..1000).for_each(|_| drop(fetch(&Call::get("web", "/flood"))));
                return Verdict::next();
            }
            "loop" => forever(),
            "ask-then-loop" => {
                drop(fetch(&Call::get("web", "/")));
                forever()
            }
            "trace" => Call::new("TRACE", "web", "/"),
            "line" => Call::get("web", "/").header("x-a", "a\r\nb: c"),
            "length" => Call::get("web", "/").header("content-length", "5"),
            "target" => Call::get("web", "http://other/"),
            "authority" => Call::get("web", "/").authority("user@host"),
            "large" => Call::post("web", "/", vec![0; 1_100_000]),
            "huge" => Call::post("web", "/", vec![0; 3_000_000]),
            "many" => (0..200).fold(Call::get("web", "/"), |call, _| call.header("x-many", "1")),
            _ => return Verdict::next(),
        };
        drop(fetch(&call));
        Verdict::next()
    }

    fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
        if text(request, "x-do-back") == "ask" {
            let answer = fetch(&Call::get("web", "/on-the-way-back"));
            response.set_header("x-back", answer.map_or(0, |answer| answer.status()).to_string());
        }
        Verdict::next()
    }

    fn on_log(&self, request: &Request, _: &Response) {
        if text(request, "x-do-log") == "ask" {
            drop(fetch(&Call::get("web", "/log")));
        }
    }
}

export!(Asking: request, response, log);

/// Asks the group `x-group` for `x-target`, and goes on or answers as it says.
fn ask(request: &mut Request) -> Verdict {
    let call = Call::post(&text(request, "x-group"), &text(request, "x-target"), text(request, "x-body"))
        .header("x-asked-by", "guest")
        .timeout_ms(text(request, "x-timeout").parse().unwrap_or(0));
    match fetch(&call) {
        Ok(answer) if answer.status() == 200 => {
            request.set_header("x-said", answer.body());
            request.set_header("x-said-type", answer.header("content-type").unwrap_or_default());
            Verdict::next()
        }
        Ok(answer) => Verdict::respond(Reply::new(403).text(format!("{} said {}", call.group(), answer.status()))),
        Err(failure) => Verdict::respond(Reply::new(503).text(format!("{failure:?}"))),
    }
}

fn text(request: &Request, name: &str) -> String {
    request.header(name).map(|value| value.to_text().into_owned()).unwrap_or_default()
}

fn forever() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}
