//! Properties that must hold for every request, whatever the policy: it is normalised once and for all, and `explain`
//! says what serving does.
//!
//! An input is the head of a request, an empty line, and a policy:
//!
//! ```text
//! GET /a/../b?c=d
//! shop.example:80
//! x-a: 1
//!
//! tidegate 1
//! …
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tidegate_dsl::plan::{ListenerId, Paths, Plan};
use tidegate_engine::exchange::{Changed, Connection, Exchange, Request, Response, Tls};
use tidegate_engine::hook::Verdict;
use tidegate_engine::target::Target;
use tidegate_engine::vars::Vars;
use tidegate_engine::{Decision, Ending, Engine, Moment, Progress, ResponseDecision, Silent, explain, normalise};

use super::policy;

/// Normalises a request, and takes it through every listener of a policy.
pub fn walk(text: &str) {
    let (head, policy) = text.split_once("\n\n").unwrap_or((text, ""));
    let Some(request) = Head::read(head) else { return };
    request.is_normal();
    let Some(plan) = policy::compiled(policy).plan else { return };
    let plan = Arc::new(plan);
    for listener in (0..plan.listeners.len()).map(ListenerId) {
        agree(&plan, listener, &request);
    }
}

/// The head of a request, normalised.
struct Head {
    method: Method,
    authority: http::uri::Authority,
    original: PathAndQuery,
    headers: HeaderMap,
}

impl Head {
    /// `None` if a gateway would refuse it.
    fn read(head: &str) -> Option<Self> {
        let mut lines = head.lines();
        let (method, target) = lines.next()?.split_once(' ')?;
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let original = PathAndQuery::try_from(target).ok()?;
        let authority = normalise::authority(lines.next()?.as_bytes()).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.take(50) {
            let (name, value) = line.split_once(": ")?;
            headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        Some(Self { method, authority, original, headers })
    }

    /// Normalising again changes nothing, and nothing is left that rules could be deceived by.
    fn is_normal(&self) {
        let Self { original, authority, .. } = self;
        assert_eq!(normalise::authority(authority.as_str().as_bytes()).as_ref(), Ok(authority));
        for paths in [Paths::Merge, Paths::Plain, Paths::Strict] {
            let Ok(target) = Target::read(original, paths) else { continue };
            assert_eq!(Target::read(&target, paths).as_ref(), Ok(&target));
            if target.as_str() == "*" {
                continue;
            }
            for path in [target.path(), target.tested_path()] {
                assert!(path.starts_with('/'), "{path}");
                assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path}");
                assert!(paths == Paths::Plain || !path.contains("//"), "{path}");
                let lower = path.to_ascii_lowercase();
                assert!(!lower.contains("%2e") && !lower.contains("%00") && !path.contains('\\'), "{path}");
            }
            assert!(paths == Paths::Plain || !target.tested_path().contains(';'), "{}", target.tested_path());
        }
    }

    /// The exchange as it comes to a listener; `None` if its path is refused there.
    fn exchange(&self, plan: &Plan, listener: ListenerId) -> Option<Box<Exchange>> {
        let listener = &plan.listeners[listener.0];
        let target = Target::read(&self.original, listener.paths).ok()?;
        let tls = Tls {
            sni: Some(self.authority.host().to_owned()),
            version: "tls1.3",
            cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
            group: Some("x25519"),
            client_cert: None,
        };
        let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Some(Box::new(Exchange {
            connection: Arc::new(Connection {
                peer: address(4711),
                local: address(listener.bind.port()),
                listener: listener.name.as_str().into(),
                tls: listener.tls.is_some().then_some(tls),
            }),
            request: Request {
                method: self.method.clone(),
                authority: self.authority.clone(),
                unnamed: false,
                target,
                original_authority: self.authority.clone(),
                original_target: self.original.clone(),
                websocket: false,
                has_body: false,
                changed: Changed::default(),
                version: Version::HTTP_11,
                headers: self.headers.clone(),
            },
            response: None,
            client_ip: [203, 0, 113, 9].into(),
            request_id: 42,
            trace: None,
            vars: Vars::new(),
            group: None,
            server: None,
            rule: None,
            log_lines: Vec::new(),
            parsed: tidegate_engine::parsed::Parsed::default(),
        }))
    }
}

/// Explains a request, serves it, and compares. Each has buckets of its own; extensions say `next`.
fn agree(plan: &Arc<Plan>, listener: ListenerId, head: &Head) {
    // What the language knows and the engine does not yet is refused, and not served.
    let (Ok(one), Ok(other)) = (Engine::build(Arc::clone(plan), None), Engine::build(Arc::clone(plan), None)) else {
        return;
    };
    let moment = Moment { nanos: 1, random: 7 };
    let (Some(exchange), Some(again)) = (head.exchange(plan, listener), head.exchange(plan, listener)) else { return };
    let explained =
        explain(&one, listener, exchange, moment, &mut |_, _, exchange| (exchange, Some(Ok(Verdict::Next))));
    let (rule, ending) = serve(&other, listener, again, moment);
    assert_eq!(explained.rule, rule);
    match (&explained.outcome, &ending) {
        (Ending::Forward { group, .. }, Ending::Forward { group: served, .. }) => assert_eq!(group, served),
        (explained, served) => assert_eq!(explained, served),
    }
    assert!(!explained.to_string().is_empty());
}

fn serve(engine: &Engine, id: ListenerId, mut exchange: Box<Exchange>, moment: Moment) -> (Option<String>, Ending) {
    if !engine.takes(id, exchange.connection.peer.ip()) {
        return (None, Ending::Close);
    }
    let mut walk = engine.start(id);
    let decision = loop {
        match engine.advance(&mut walk, &mut exchange, moment, &mut Silent) {
            Progress::Done(decision) => break decision,
            Progress::Run(_) => engine.resume(&mut walk, &mut exchange, Ok(Verdict::Next)),
        }
    };
    let rule = walk.rule_name(engine).map(str::to_owned);
    let mut body = match decision {
        Decision::Close => return (rule, Ending::Close),
        Decision::Forward(_) => {
            engine.add_forwarded(id, &mut exchange);
            let group = exchange.group.as_deref().unwrap_or_default().to_owned();
            return (rule, Ending::Forward { group, url: String::new() });
        }
        Decision::Reply(reply) => {
            exchange.response = Some(Response::new(reply.status, reply.headers));
            reply.body
        }
    };
    engine.start_response(&mut walk);
    loop {
        match engine.advance_response(&mut walk, &mut exchange, &mut Silent) {
            Progress::Run(_) => engine.resume_response(&mut walk, &mut exchange, Ok(Verdict::Next)),
            Progress::Done(ResponseDecision::Close) => return (rule, Ending::Close),
            Progress::Done(ResponseDecision::Pass) => break,
            Progress::Done(ResponseDecision::Replace(reply)) => {
                body = reply.body;
                break;
            }
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let response = exchange.response.map(|response| Ending::Reply {
        status: response.status.as_u16(),
        headers: response.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: text(&body),
    });
    (rule, response.unwrap_or(Ending::Close))
}
