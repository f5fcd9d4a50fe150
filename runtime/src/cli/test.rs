//! `tidegate test`: runs the `test` blocks of policies by the walk that serves, without sockets.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{self, Condition, GroupId, ListenerAction, Outcome, Plan, Predicate, Subject, Test};
use tidegate_dsl::{Expected, HttpVersion, PolicyTest, Sources};
use tidegate_engine::hook::Reply;
use tidegate_engine::{Ending, Engine, Explanation, Line};
use tidegate_wasm_host::Host;

use super::check::report;
use super::{Failed, Format, answer, host};
use crate::policy::prepare::{Prepared, Reading, prepare};
use crate::policy::snapshot::Snapshot;
use crate::request::trial::{self, Client, Guests};

/// Runs every test of every file.
pub(super) fn test(paths: &[PathBuf], show_env: bool) -> Result<(), Failed> {
    let host = host()?;
    let (mut passed, mut failed) = (0, 0);
    for path in paths {
        for file in policies(path)? {
            let (right, wrong) = run_file(&file, &host, show_env)?;
            passed += right;
            failed += wrong;
        }
    }
    answer(&format!("{passed} passed, {failed} failed"))?;
    if failed == 0 { Ok(()) } else { Err(Failed::Said) }
}

/// A file itself; of a directory, its policies in the order of their names.
fn policies(path: &Path) -> Result<Vec<PathBuf>, Failed> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: std::io::Error| Failed::Because(format!("cannot read `{}`: {error}", path.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "gate") && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failed::Because(format!("there is no `*.gate` in `{}`", path.display())));
    }
    Ok(found)
}

/// Runs the tests of a policy: how many passed and failed. A policy with errors is one failure.
fn run_file(file: &Path, host: &Host, show_env: bool) -> Result<(usize, usize), Failed> {
    let prepared = prepare(Reading::of(file, host));
    report(&prepared, Format::Human);
    let Prepared { snapshot: Some(snapshot), tests, sources, mask, .. } = prepared else {
        answer(&format!("FAILED  {}: the policy has errors", file.display()))?;
        return Ok((0, 1));
    };
    let mut failed = 0;
    for test in &tests {
        let text = run(test, &snapshot, &sources)?;
        failed += usize::from(text.starts_with("FAILED"));
        answer(&if show_env { text.into() } else { mask.text(&text) })?;
    }
    Ok((tests.len() - failed, failed))
}

/// What came of a request.
enum Came {
    /// The request was refused before any rule saw it.
    Refused(Failure),
    /// The request took the walk.
    Walked(Box<Explanation>),
}

/// Runs a test, in each version of HTTP in which clients bring its request; the answer is its lines, those of the first
/// that fails.
fn run(test: &PolicyTest, snapshot: &Snapshot, sources: &Sources) -> Result<String, Failed> {
    let chosen = test.protocol.map(|protocol| match protocol {
        HttpVersion::H1 => Version::HTTP_11,
        HttpVersion::H2 => Version::HTTP_2,
        HttpVersion::H3 => Version::HTTP_3,
    });
    let headers = request(test).map(|request| request.headers().clone()).unwrap_or_default();
    let versions = match chosen {
        Some(version) => vec![version],
        None => trial::versions(snapshot.plan(), test.listener, &headers),
    };
    let mut said = String::new();
    for version in &versions {
        said = run_in(test, *version, versions.len() > 1, snapshot, sources)?;
        if said.starts_with("FAILED") {
            break;
        }
    }
    Ok(said)
}

/// Runs a test in one version of HTTP; if it is `told`, the lines of a failure name the version.
fn run_in(
    test: &PolicyTest,
    version: Version,
    told: bool,
    snapshot: &Snapshot,
    sources: &Sources,
) -> Result<String, Failed> {
    // Each test has buckets of its own, so that none depends on those before it.
    let engine = Engine::build(Arc::new(snapshot.plan().clone()), None)
        .map_err(|error| Failed::Because(format!("the policy cannot be used: {error}")))?;
    let client = Client { from: test.from, certificate: test.certificate.as_ref(), version: Some(version) };
    let came = match request(test).and_then(|request| trial::exchange(snapshot, test.listener, request, &client)) {
        Err(failure) => Came::Refused(failure),
        Ok(exchange) => {
            let mut guests = Guests::new(snapshot);
            let backend = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() };
            let explanation =
                engine.explain_answered(test.listener, exchange, trial::MOMENT, backend, &mut |id, hook, exchange| {
                    guests.call(id, hook, exchange)
                });
            Came::Walked(Box::new(explanation))
        }
    };
    let path = sources.get(test.span.source).map(|source| source.path.display().to_string()).unwrap_or_default();
    let mut lines = String::new();
    for expectation in &test.expectations {
        if let Some((expected, got)) = unmet(&expectation.expected, &came, &engine) {
            let line = sources.position(expectation.span).line;
            // Writing to a String cannot fail.
            let _ = write!(lines, "\n    line {line}: expected {expected}\n    {:1$}got {got}", "", line_width(line));
        }
    }
    if lines.is_empty() {
        return Ok(format!("ok      {path}: {}", test.name));
    }
    let line = sources.position(test.span).line;
    let explanation = match &came {
        Came::Walked(explanation) => explanation.to_string(),
        Came::Refused(failure) => refused(*failure),
    };
    let over = if told {
        format!(" (over {})", if version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" })
    } else {
        String::new()
    };
    let explanation = explanation.trim_end().replace('\n', "\n        ");
    Ok(format!("FAILED  {path}:{line}: {}{over}{lines}\n\n        {explanation}\n", test.name)
        .replace("\n        \n", "\n\n"))
}

/// How far `got` stands in, to end where `expected` does.
fn line_width(line: usize) -> usize {
    format!("line {line}: ").len() + "expected".len() - "got".len()
}

/// The request of a test. What cannot be one is refused as it would be on the wire.
fn request(test: &PolicyTest) -> Result<Request<()>, Failure> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_str(&test.method).map_err(|_| Failure::BadMethod)?;
    let uri = Uri::from_str(&test.url).map_err(|_| Failure::BadTarget)?;
    let headers = request.headers_mut();
    for (name, value) in &test.headers {
        let name = HeaderName::from_str(name).map_err(|_| Failure::BadTarget)?;
        headers.append(name, HeaderValue::from_str(value).map_err(|_| Failure::BadTarget)?);
    }
    trial::set_host(headers, &uri);
    *request.uri_mut() = uri;
    Ok(request)
}

// === expectations ===

/// `None` if the expectation is met; else what was expected and what came, in words.
fn unmet(expected: &Expected, came: &Came, engine: &Engine) -> Option<(String, String)> {
    let explanation = match came {
        Came::Walked(explanation) => explanation,
        Came::Refused(failure) => return unmet_by_refusal(expected, *failure, engine),
    };
    let plan = engine.plan();
    let got = || ending(explanation, plan);
    match expected {
        Expected::Holds(condition) => unmet_condition(condition, explanation, engine),
        Expected::Rule(name) => {
            let rule = explanation.rule.as_deref();
            (rule != Some(name)).then(|| {
                (
                    words(expected, engine),
                    rule.map_or_else(|| format!("no rule: {}", got()), |rule| format!("rule {rule}")),
                )
            })
        }
        Expected::Forward(groups) => {
            let wanted = |group: &str| groups.iter().any(|id| group_name(*id, plan) == group);
            let possible = possible_groups(explanation, plan);
            let met = !possible.is_empty() && possible.iter().all(|group| wanted(group));
            (!met).then(|| (words(expected, engine), got()))
        }
        Expected::Redirect(status, location) => {
            let met = matches!(&explanation.outcome, Ending::Reply { status: got, headers, .. }
                if got == status && header(headers, LOCATION.as_str()) == Some(location));
            (!met).then(|| (words(expected, engine), got()))
        }
        Expected::Close => (!matches!(explanation.outcome, Ending::Close)).then(|| (words(expected, engine), got())),
    }
}

/// A refused request has a status and nothing else.
fn unmet_by_refusal(expected: &Expected, failure: Failure, engine: &Engine) -> Option<(String, String)> {
    let status = failure.row().status;
    if let Expected::Holds(Condition { test: Test::Is(Subject::Status, Predicate::Status(ranges)), .. }) = expected
        && ranges.iter().any(|range| (range.first..=range.last).contains(&status))
    {
        return None;
    }
    Some((words(expected, engine), refused(failure)))
}

fn unmet_condition(condition: &Condition, explanation: &Explanation, engine: &Engine) -> Option<(String, String)> {
    let forwarded = matches!(explanation.outcome, Ending::Forward { .. });
    let unknown = match &condition.test {
        Test::Is(Subject::Status, _) if forwarded => Some("what a backend answers is not known"),
        Test::Is(Subject::Host | Subject::Path | Subject::Query(_) | Subject::Header(_), _) if !forwarded => {
            Some("no backend gets the request")
        }
        _ => None,
    };
    match unknown {
        Some(why) => Some((engine.words(condition), format!("{}: {why}", ending(explanation, engine.plan())))),
        None => Some((engine.words(condition), engine.unmet(condition, &explanation.exchange)?)),
    }
}

/// The groups that chance may send the request to. A guest's choice is one of its own.
fn possible_groups<'e>(explanation: &'e Explanation, plan: &'e Plan) -> Vec<&'e str> {
    let Ending::Forward { group, .. } = &explanation.outcome else { return Vec::new() };
    let targets = targets(explanation, plan).filter(|targets| {
        let chosen = |target: &plan::Target| target.weight > 0 && group_name(target.group, plan) == group;
        !chosen_by_guest(explanation, group) && targets.iter().any(chosen)
    });
    match targets {
        None => vec![group],
        Some(targets) => {
            targets.iter().filter(|target| target.weight > 0).map(|target| group_name(target.group, plan)).collect()
        }
    }
}

/// The `forward` that ended the walk, if a guest did not.
fn targets<'p>(explanation: &Explanation, plan: &'p Plan) -> Option<&'p [plan::Target]> {
    let listener = plan.listeners.iter().find(|listener| listener.name == explanation.listener)?;
    match &listener.action {
        ListenerAction::Forward(targets) => Some(targets),
        ListenerAction::Rules(id) => {
            let rules = &plan.rule_sets.get(id.0)?.rules;
            match &rules.iter().find(|rule| Some(&rule.name) == explanation.rule.as_ref())?.outcome {
                Outcome::Forward(forward) => Some(&forward.targets),
                _ => None,
            }
        }
    }
}

fn chosen_by_guest(explanation: &Explanation, group: &str) -> bool {
    let choice = format!("forward {group}");
    explanation.lines.iter().any(|line| matches!(line, Line::Hook { verdict, .. } if *verdict == choice))
}

// === words ===

fn words(expected: &Expected, engine: &Engine) -> String {
    let plan = engine.plan();
    match expected {
        Expected::Rule(name) => format!("rule {name}"),
        Expected::Forward(groups) => {
            let names: Vec<_> = groups.iter().map(|id| group_name(*id, plan)).collect();
            format!("forward to {}", names.join(" or "))
        }
        Expected::Redirect(status, location) => format!("redirect {status} to `{location}`"),
        Expected::Close => "close".to_owned(),
        Expected::Holds(condition) => engine.words(condition),
    }
}

fn ending(explanation: &Explanation, plan: &Plan) -> String {
    match &explanation.outcome {
        Ending::Forward { .. } => format!("forward to {}", possible_groups(explanation, plan).join(" or ")),
        Ending::Close => "close".to_owned(),
        Ending::Reply { status, headers, .. } => match header(headers, LOCATION.as_str()) {
            Some(location) => format!("redirect {status} to `{location}`"),
            None => format!("status {status}"),
        },
    }
}

fn refused(failure: Failure) -> String {
    let row = failure.row();
    format!("status {} before any rule: {}", row.status, row.text)
}

fn group_name(id: GroupId, plan: &Plan) -> &str {
    plan.groups.get(id.0).map_or("", |group| &group.name)
}

fn header<'h>(headers: &'h [(String, String)], wanted: &str) -> Option<&'h String> {
    headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
