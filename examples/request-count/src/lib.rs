//! Counts requests, and gives each client a quota, which the response shows.

use std::time::UNIX_EPOCH;

use serde::Deserialize;
use tidegate_guest::metrics::Counter;
use tidegate_guest::{Error, Filter, Reply, Request, Response, Result, Verdict, clock, export, store, vars};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests that a client has in each window.
    quota: i64,
    /// The length of a window, in seconds.
    window: u64,
    /// The header that tells clients apart; their address if it is not written, or not sent.
    #[serde(default)]
    key: Option<String>,
}

/// The extension.
pub struct RequestCount {
    config: Config,
    counted: Counter,
    refused: Counter,
    /// Requests that the store had no room to count.
    uncounted: Counter,
}

/// The variables that carry the count to the response hook.
const REMAINING: &str = "quota.remaining";
const RESET: &str = "quota.reset";

impl Filter for RequestCount {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        if config.quota < 1 {
            return Err(Error::new(format!("quota is {}: write 1 or more", config.quota)));
        }
        if !(1..=86_400).contains(&config.window) {
            return Err(Error::new(format!("window is {}: write 1 to 86400 seconds", config.window)));
        }
        Ok(Self {
            config,
            counted: Counter::new("requests"),
            refused: Counter::new("refused"),
            uncounted: Counter::new("uncounted"),
        })
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        self.counted.add(1.0);
        let now = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let window = now / self.config.window;
        let reset = (window + 1) * self.config.window - now;
        let ttl_ms = u32::try_from(reset * 1000).unwrap_or(u32::MAX);
        let Some(count) = store::incr(&format!("{window} {}", self.client(request)), 1, ttl_ms) else {
            self.uncounted.add(1.0);
            return Verdict::next();
        };
        let remaining = self.config.quota - count;
        vars::set(REMAINING, &remaining.max(0).to_string());
        vars::set(RESET, &reset.to_string());
        if remaining >= 0 {
            return Verdict::next();
        }
        self.refused.add(1.0);
        let reply = Reply::new(429).header("retry-after", reset.to_string());
        Verdict::respond(reply.text("your quota is used up\n"))
    }

    fn on_response(&self, _: &Request, response: &mut Response) -> Verdict {
        if let (Some(remaining), Some(reset)) = (vars::get(REMAINING), vars::get(RESET)) {
            response.set_header("ratelimit-limit", self.config.quota.to_string());
            response.set_header("ratelimit-remaining", remaining);
            response.set_header("ratelimit-reset", reset);
        }
        Verdict::next()
    }
}

export!(RequestCount: request, response);

impl RequestCount {
    fn client(&self, request: &Request) -> String {
        let key = self.config.key.as_deref().and_then(|name| request.header(name));
        match key {
            Some(key) => format!("key {}", key.to_text().chars().take(128).collect::<String>()),
            None => request.connection().client_ip_text(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use tidegate_guest::{Outcome, TestHost};

    use super::*;

    const CONFIG: &str = r#"{"quota": 2, "window": 60, "key": "x-api-key"}"#;

    fn seen(outcome: &Outcome) -> (u16, Option<&str>) {
        (outcome.status(), outcome.response_header("ratelimit-remaining"))
    }

    #[test]
    fn a_client_has_its_quota_in_each_window() {
        let gateway = TestHost::new().config(CONFIG).start::<RequestCount>();
        assert_eq!(seen(&gateway.send(|host| host)), (200, Some("1")));
        gateway.advance(Duration::from_secs(20));
        let second = gateway.send(|host| host);
        assert_eq!(seen(&second), (200, Some("0")));
        assert_eq!(second.response_header("ratelimit-limit"), Some("2"));
        assert_eq!(second.response_header("ratelimit-reset"), Some("40"));
        let third = gateway.send(|host| host);
        assert_eq!(seen(&third), (429, Some("0")));
        assert_eq!(third.response_header("retry-after"), Some("40"));
        assert_eq!(seen(&gateway.send(|host| host.client_ip("192.0.2.2"))), (200, Some("1")), "another client");
        assert_eq!(seen(&gateway.send(|host| host.header("x-api-key", "a"))), (200, Some("1")), "a key of its own");
        gateway.advance(Duration::from_secs(40));
        assert_eq!(seen(&gateway.send(|host| host)), (200, Some("1")), "another window");
        assert_eq!((gateway.metric("requests"), gateway.metric("refused")), (vec![6.0], vec![1.0]));
    }

    #[test]
    fn what_cannot_be_counted_passes() {
        let outcome = TestHost::new().config(CONFIG).full_store().run::<RequestCount>();
        assert_eq!(seen(&outcome), (200, None));
        assert_eq!(outcome.metric("uncounted"), [1.0]);
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = |config: &str| TestHost::new().config(config).try_run::<RequestCount>().unwrap_err().to_string();
        assert_eq!(refused(r#"{"quota": 0, "window": 1}"#), "quota is 0: write 1 or more");
        assert_eq!(refused(r#"{"quota": 1, "window": 0}"#), "window is 0: write 1 to 86400 seconds");
    }
}
