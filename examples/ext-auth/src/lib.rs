//! Asks a server group whether a request may pass, and tells the server what the answer said of the user.

use serde::Deserialize;
use tidegate_guest::config::Many;
use tidegate_guest::log::{self, Level};
use tidegate_guest::outbound::{Answer, Call, fetch};
use tidegate_guest::{Error, Filter, Reply, Request, Result, Verdict, export};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server group that is asked.
    group: String,
    /// The path that is asked for.
    path: String,
    /// The time that an answer may take, in milliseconds.
    #[serde(default = "timeout_ms", rename = "timeout-ms")]
    timeout_ms: u32,
    /// Request headers that are sent along.
    #[serde(default = "send")]
    send: Many<String>,
    /// Headers of the answer that the server gets. What a client sends under these names is taken out.
    #[serde(default)]
    take: Many<String>,
    /// The fate of a request if there is no answer.
    #[serde(default, rename = "without-answer")]
    without_answer: WithoutAnswer,
}

/// The fate of a request if there is no answer.
#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum WithoutAnswer {
    #[default]
    Deny,
    Allow,
}

const fn timeout_ms() -> u32 {
    500
}

fn send() -> Many<String> {
    ["authorization", "cookie"].map(str::to_owned).into_iter().collect()
}

/// The extension.
pub struct ExtAuth(Config);

impl Filter for ExtAuth {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        if !config.path.starts_with('/') {
            return Err(Error::new(format!("path is `{}`: begin it with `/`", config.path)));
        }
        Ok(Self(config))
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        // Nobody but the answer says who the user is.
        self.0.take.iter().for_each(|name| request.remove_header(name));
        match fetch(&self.call(request)) {
            Ok(answer) if (200..300).contains(&answer.status()) => {
                for name in self.0.take.iter() {
                    if let Some(value) = answer.header(name) {
                        request.set_header(name, value);
                    }
                }
                Verdict::next()
            }
            Ok(answer) if matches!(answer.status(), 302 | 303 | 307 | 401 | 403) => Verdict::respond(refusal(&answer)),
            Ok(answer) => self.without_answer(&format!("it answered {}", answer.status())),
            Err(failure) => self.without_answer(&failure.to_string()),
        }
    }
}

export!(ExtAuth: request);

impl ExtAuth {
    fn call(&self, request: &Request) -> Call {
        let target = match request.query() {
            Some(query) => format!("{}?{query}", request.path()),
            None => request.path(),
        };
        let call = Call::get(&self.0.group, &self.0.path)
            .timeout_ms(self.0.timeout_ms)
            .header("x-original-method", request.method())
            .header("x-original-host", request.authority())
            .header("x-original-uri", target)
            .header("x-client-ip", request.connection().client_ip_text());
        let sent = self.0.send.iter().filter_map(|name| Some((name, request.header(name)?)));
        sent.fold(call, |call, (name, value)| call.header(name, value))
    }

    fn without_answer(&self, why: &str) -> Verdict {
        log::write(Level::Warn, &format!("`{}` did not say whether a request may pass: {why}", self.0.group));
        match self.0.without_answer {
            WithoutAnswer::Allow => Verdict::next(),
            WithoutAnswer::Deny => Verdict::respond(Reply::new(503).text("nobody can say whether you may\n")),
        }
    }
}

/// The refusal as it came: with what tells a client how to sign in.
fn refusal(answer: &Answer) -> Reply {
    let told = ["www-authenticate", "location", "set-cookie", "content-type"];
    let told = answer.headers().filter(|(name, _)| told.contains(name));
    told.fold(Reply::new(answer.status()), |reply, (name, value)| reply.header(name, value)).body(answer.body())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_guest::TestHost;
    use tidegate_guest::outbound::Failure;

    use super::*;

    fn host() -> TestHost {
        let config = r#"{"group": "authz", "path": "/check", "take": "x-user"}"#;
        TestHost::new().config(config).target("/a?b=1").header("authorization", "Bearer t").header("x-user", "admin")
    }

    #[test]
    fn who_may_pass_is_known_to_the_server() {
        let answer = Answer::new(200).with_header("x-user", "ada").with_header("x-more", "1");
        let outcome = host().outbound("authz", Ok(answer)).run::<ExtAuth>();
        assert_eq!(outcome.status(), 200);
        assert_eq!(outcome.request_header_all("x-user"), ["ada"]);
        assert_eq!(outcome.request_header("x-more"), None);
        let call = &outcome.outbound()[0];
        assert_eq!((call.group(), call.target()), ("authz", "/check"));
        let sent = |name| call.header_value(name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(sent("authorization").as_deref(), Some("Bearer t"));
        assert_eq!(sent("x-original-uri").as_deref(), Some("/a?b=1"));
        assert_eq!(sent("x-client-ip").as_deref(), Some("192.0.2.1"));
        assert_eq!(sent("x-user"), None, "what a client says of itself is not passed on");
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let answer = Answer::new(401).with_header("www-authenticate", "Bearer").with_body("who are you?\n");
        let outcome = host().outbound("authz", Ok(answer)).run::<ExtAuth>();
        assert_eq!(outcome.status(), 401);
        assert_eq!(outcome.response_header("www-authenticate"), Some("Bearer"));
        assert_eq!(outcome.response_body(), b"who are you?\n");
    }

    #[test]
    fn without_an_answer_nobody_passes_unless_the_policy_says_so() {
        for answer in [Err(Failure::Timeout), Ok(Answer::new(500))] {
            let outcome = host().outbound("authz", answer.clone()).run::<ExtAuth>();
            assert_eq!(outcome.status(), 503);
            assert!(outcome.log().next().unwrap().1.starts_with("`authz` did not say"));
            let config = r#"{"group": "authz", "path": "/check", "take": "x-user", "without-answer": "allow"}"#;
            let outcome = host().config(config).outbound("authz", answer).run::<ExtAuth>();
            assert_eq!((outcome.status(), outcome.request_header("x-user")), (200, None));
        }
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let config = r#"{"group": "authz", "path": "check"}"#;
        let refused = TestHost::new().config(config).try_run::<ExtAuth>().unwrap_err().to_string();
        assert_eq!(refused, "path is `check`: begin it with `/`");
    }
}
