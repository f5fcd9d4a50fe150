//! Sends chosen clients to a canary group: by header, by cookie, or a fixed share of the client addresses; and keeps them there.

use serde::Deserialize;
use tidegate_guest::{Error, Filter, Hooks, Interest, Request, Response, Result, Verdict, export, vars};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server group that the chosen requests go to.
    group: String,
    /// Requests with this header are chosen, whatever its value; `off` as the value opts out.
    #[serde(default)]
    header: Option<String>,
    /// Requests with this cookie are chosen; `off` as the value opts out.
    #[serde(default)]
    cookie: Option<String>,
    /// The share of the client addresses that is chosen, in percent. A client stays on its side.
    #[serde(default)]
    percent: f64,
    /// The cookie that keeps a client on its side, though its address or the share changes.
    #[serde(default)]
    sticky: Option<String>,
}

/// The extension.
pub struct CanaryRouter {
    config: Config,
    /// Hashes below this are chosen.
    threshold: u64,
}

impl Filter for CanaryRouter {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        if !(0.0..=100.0).contains(&config.percent) {
            return Err(Error::new(format!("percent is {}: write 0 to 100", config.percent)));
        }
        if config.header.is_none() && config.cookie.is_none() && config.percent == 0.0 {
            return Err(Error::new("nothing is ever chosen: write header, cookie or percent"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "percent is within 0 to 100, so the product is within u64"
        )]
        let threshold = (config.percent / 100.0 * HASHES as f64) as u64;
        Ok(Self { config, threshold })
    }

    fn interest(&self) -> Interest {
        Interest::everything().hooks(Hooks { response: self.config.sticky.is_some(), ..Hooks::all() })
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        if self.is_chosen(request) { Verdict::forward(self.config.group.as_str()) } else { Verdict::next() }
    }

    fn on_response(&self, _: &Request, response: &mut Response) -> Verdict {
        if let (Some(cookie), Some(side)) = (&self.config.sticky, vars::get(SIDE)) {
            response
                .add_header("set-cookie", format!("{cookie}={side}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"));
        }
        Verdict::next()
    }
}

export!(CanaryRouter: request, response);

impl CanaryRouter {
    /// An explicit mark decides first, then the side that the client was on, then the share.
    fn is_chosen(&self, request: &Request) -> bool {
        let header = self.config.header.as_deref().and_then(|name| request.header(name)).map(|value| value != *OFF);
        let cookie = |name: &Option<String>| name.as_deref().and_then(|name| request.cookie(name));
        if let Some(marked) = header.or_else(|| cookie(&self.config.cookie).map(|value| value != OFF)) {
            return marked;
        }
        match cookie(&self.config.sticky).as_deref() {
            Some(CANARY) => true,
            Some(STABLE) => false,
            _ => {
                let chosen = self.threshold > 0 && hash(&request.connection().client_ip_text()) < self.threshold;
                if self.config.sticky.is_some() {
                    vars::set(SIDE, if chosen { CANARY } else { STABLE });
                }
                chosen
            }
        }
    }
}

/// The variable that tells the response hook which side a new client is on.
const SIDE: &str = "canary.side";

/// The values of the cookie that keeps a client on its side.
const CANARY: &str = "canary";
const STABLE: &str = "stable";

/// The value that opts a request out.
const OFF: &str = "off";

/// The number of values that [`hash`] has: enough for a share of a hundredth of a percent.
const HASHES: u64 = 1 << 32;

/// The hash of a text: FNV-1a, 64 bits, of which the mixed upper half is used: stable over restarts, so that a client
/// stays on its side.
fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    // Addresses of one network differ in their last byte alone, which FNV leaves in the lower bits: spread it.
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_guest::TestHost;

    use super::*;

    const CONFIG: &str = r#"{"group": "canary", "header": "x-canary", "cookie": "canary", "percent": 10}"#;

    fn run(host: TestHost) -> Verdict {
        host.config(CONFIG).run::<CanaryRouter>().verdict
    }

    #[test]
    fn header_and_cookie_choose_and_opt_out() {
        let canary = Verdict::forward("canary");
        let outside =
            (0..=255).map(|n| format!("10.0.0.{n}")).find(|ip| run(TestHost::new().client_ip(ip)) != canary).unwrap();
        let inside =
            (0..=255).map(|n| format!("10.0.0.{n}")).find(|ip| run(TestHost::new().client_ip(ip)) == canary).unwrap();
        assert_eq!(run(TestHost::new().client_ip(&outside).header("x-canary", "1")), canary);
        assert_eq!(run(TestHost::new().client_ip(&outside).header("cookie", "a=b; canary=1")), canary);
        assert_eq!(run(TestHost::new().client_ip(&inside).header("x-canary", "off")), Verdict::next());
        assert_eq!(run(TestHost::new().client_ip(&inside).header("cookie", "canary=off")), Verdict::next());
    }

    #[test]
    fn the_share_is_about_right_and_stable() {
        let chosen = |ip: &String| run(TestHost::new().client_ip(ip)) == Verdict::forward("canary");
        let addresses: Vec<String> = (0..5000).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
        let first: Vec<&String> = addresses.iter().filter(|ip| chosen(ip)).collect();
        assert!((400..=600).contains(&first.len()), "10 % of 5000 is 500, got {}", first.len());
        assert!(first.iter().all(|ip| chosen(ip)));
    }

    #[test]
    fn a_client_stays_on_its_side() {
        let config = r#"{"group": "canary", "header": "x-canary", "percent": 100, "sticky": "side"}"#;
        let host = || TestHost::new().config(config);
        let first = host().run::<CanaryRouter>();
        assert_eq!(first.group(), Some("canary"));
        let cookie = first.response_header("set-cookie").unwrap();
        assert!(cookie.starts_with("side=canary; Path=/; Max-Age="), "{cookie}");
        let later = host().header("cookie", "side=stable").run::<CanaryRouter>();
        assert_eq!((later.group(), later.response_header("set-cookie")), (None, None));
        let none = r#"{"group": "canary", "header": "x-canary", "sticky": "side"}"#;
        let kept = TestHost::new().config(none).header("cookie", "side=canary").run::<CanaryRouter>();
        assert_eq!(kept.group(), Some("canary"), "though the share is nothing now");
        let marked = TestHost::new().config(config).header("x-canary", "off").run::<CanaryRouter>();
        assert_eq!((marked.group(), marked.response_header("set-cookie")), (None, None), "a mark is for one request");
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = |config: &str| TestHost::new().config(config).try_run::<CanaryRouter>().unwrap_err().to_string();
        assert_eq!(refused(r#"{"group": "c", "percent": 101}"#), "percent is 101: write 0 to 100");
        assert_eq!(refused(r#"{"group": "c"}"#), "nothing is ever chosen: write header, cookie or percent");
        assert!(refused("{}").contains("missing field `group`"));
    }
}
