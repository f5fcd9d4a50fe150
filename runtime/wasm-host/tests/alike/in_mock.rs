//! A case in the mock of the SDK.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidegate_asking_guest::Asking;
use tidegate_engine::hook::Capability;
use tidegate_guest::outbound::{Answer, Failure};
use tidegate_guest::{Exported, Started, TestHost, Verdict};
use tidegate_scripted_guest::Scripted;

use super::given::{Given, Step};
use super::outcome::{Outcome, fault, refused};

pub(crate) fn run(given: &Given) -> Vec<String> {
    if given.asking { run_with::<Asking>(given) } else { run_with::<Scripted>(given) }
}

fn run_with<F: Exported>(given: &Given) -> Vec<String> {
    let lines = RefCell::new(Vec::new());
    let end = catch_unwind(AssertUnwindSafe(|| match host(given).try_start::<F>() {
        Ok(started) => steps(&started, given, &lines),
        Err(error) => lines.borrow_mut().push(refused(&error.to_string())),
    }));
    let mut lines = lines.into_inner();
    if let Err(panic) = end {
        let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        let stopped = said.strip_prefix("the gateway stops this call (").and_then(|rest| rest.split_once("): "));
        lines.push(stopped.map_or_else(|| fault("trap", &said), |(kind, message)| fault(kind, message)));
    }
    lines
}

fn steps<F: Exported>(started: &Started<F>, given: &Given, lines: &RefCell<Vec<String>>) {
    for step in &given.steps {
        match step {
            Step::Send => {
                let outcome = started.send(|host| host);
                lines.borrow_mut().extend(told(started, &outcome, given).lines());
            }
            Step::Wait(ms) | Step::Tick(ms) => started.advance(Duration::from_millis(*ms)),
        }
    }
}

fn host(given: &Given) -> TestHost {
    let list = |groups: &Option<Vec<String>>| groups.as_ref().map(|names| format!(" [{}]", names.join(", ")));
    let word = |capability: Capability| {
        let groups = match capability {
            Capability::Route => list(&given.route),
            Capability::Outbound => list(&given.outbound),
            _ => None,
        };
        format!("{}{}", capability.word(), groups.unwrap_or_default())
    };
    let listed =
        Capability::ALL.into_iter().filter(|capability| !given.without.iter().any(|it| it == capability.word()));
    let allow = format!("[{}]", listed.map(word).collect::<Vec<_>>().join(", "));
    let mut host = TestHost::new()
        .allow(&allow)
        .config(&given.config)
        .method(&given.method)
        .target(&given.target)
        .body_pieces(given.body.iter().map(String::as_str))
        .status(given.status)
        .response_body_pieces(given.response_body.iter().map(String::as_str));
    for (name, value) in &given.headers {
        host = host.header(name, value);
    }
    for (name, value) in &given.response_headers {
        host = host.response_header(name, value);
    }
    for (name, value) in &given.vars {
        host = host.var(name, value);
    }
    for (name, healthy, total) in &given.groups {
        host = host.group(name, *healthy, *total);
    }
    for (group, answer) in &given.answers {
        let answer = match answer {
            Ok((status, body)) => Ok(Answer::new(*status).with_body(body.as_bytes())),
            Err(why) => Err(match why.as_str() {
                "unreachable" => Failure::Unreachable,
                "timeout" => Failure::Timeout,
                _ => Failure::Busy,
            }),
        };
        host = host.outbound(group, answer);
    }
    host
}

fn told<F: Exported>(started: &Started<F>, outcome: &tidegate_guest::Outcome, given: &Given) -> Outcome {
    let text = |(name, value): (&str, &[u8])| (name.to_owned(), String::from_utf8_lossy(value).into_owned());
    let query = outcome.query().map(|query| format!("?{query}")).unwrap_or_default();
    Outcome {
        verdict: verdict(&outcome.verdict, outcome.group()),
        response_verdict: outcome.response_verdict.as_ref().map(|said| verdict(said, None)).unwrap_or_default(),
        authority: outcome.authority().to_owned(),
        target: format!("{}{query}", outcome.path()),
        headers: outcome.request_headers().map(text).collect(),
        body: outcome.request_body().to_vec(),
        status: outcome.status(),
        response_headers: outcome.response_headers().map(text).collect(),
        response_body: outcome.response_body().to_vec(),
        vars: outcome.vars().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        log: outcome.log().map(|(level, line)| (format!("{level:?}").to_lowercase(), line.to_owned())).collect(),
        metrics: given.metrics.iter().map(|name| (name.clone(), started.metric(name).iter().sum())).collect(),
    }
}

fn verdict(said: &Verdict, group: Option<&str>) -> String {
    match group {
        Some(group) => format!("forward {group}"),
        None if *said == Verdict::next() => String::new(),
        None if format!("{said:?}").contains("Respond") => "respond".to_owned(),
        None => "close".to_owned(),
    }
}
