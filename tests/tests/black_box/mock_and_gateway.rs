//! The table of cases that holds the SDK's mock and the host together (`runtime/wasm-host/tests/alike`), in the gateway as it serves:
//! that the host's hooks are called there as the table's own driver calls them.

use std::fmt::Write;
use std::fs;

use tidegate_tests::{Backend, Behaviour, Gateway, Policy, Request, guest, workspace};

/// A case whose lines this test can play.
struct Case {
    name: String,
    given: Vec<(String, String)>,
    script: Vec<String>,
    expected: Vec<String>,
}

/// The cases of files that are about when hooks and pieces come, and what becomes of what they say. Left out is what needs another
/// policy, such as one that is refused.
fn cases() -> Vec<Case> {
    let folder = workspace().join("runtime/wasm-host/tests/alike/cases");
    let files = ["bodies", "hooks", "verdicts"].map(|name| fs::read_to_string(folder.join(name).with_extension("txt")));
    let texts: Vec<String> = files.into_iter().map(Result::unwrap).collect();
    texts.iter().flat_map(|text| text.split("== ").skip(1)).filter_map(case).collect()
}

fn case(block: &str) -> Option<Case> {
    const PLAYED: [&str; 7] = ["body", "header", "method", "response-body", "response-header", "status", "target"];
    let (head, expected) = block.split_once("\n--\n").unwrap();
    let (name, lines) = head.split_once('\n').unwrap();
    let (mut given, mut script) = (Vec::new(), Vec::new());
    for line in lines.lines() {
        match line.strip_prefix("given> ") {
            Some(line) => {
                let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
                given.push((what.to_owned(), rest.to_owned()));
            }
            None => script.push(line.to_owned()),
        }
    }
    let expected: Vec<String> = expected.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let played = given.iter().all(|(what, _)| PLAYED.contains(&what.as_str()))
        && !expected.iter().any(|line| line.starts_with("refused") || line.starts_with("verdict forward"))
        && !lines.contains("> forward ");
    played.then(|| Case { name: name.to_owned(), given, script, expected })
}

impl Case {
    fn given<'c>(&'c self, what: &str) -> impl Iterator<Item = &'c str> {
        self.given.iter().filter(move |(of, _)| of == what).map(|(_, value)| value.as_str())
    }

    /// The expectation of something: `status 404`, `var a: 1`.
    fn expected<'c>(&'c self, of: &'c str) -> impl Iterator<Item = &'c str> {
        self.expected.iter().filter_map(move |line| line.strip_prefix(of)).map(str::trim_start)
    }

    fn expects(&self, line: &str) -> bool {
        self.expected.iter().any(|expected| expected == line)
    }

    /// Chunks, each a piece; nothing where no body is given.
    fn chunks(&self, what: &str) -> Option<String> {
        let mut pieces = self.given(what).map(|piece| match piece.split_once('*') {
            Some((text, times)) => text.repeat(times.parse().unwrap()),
            None => piece.to_owned(),
        });
        let first = pieces.next()?;
        let pieces = std::iter::once(first).chain(pieces).filter(|piece| !piece.is_empty());
        let chunks: String = pieces.map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
        Some(format!("{chunks}0\r\n\r\n"))
    }

    /// A message of this first line, with a body of the case if it has one.
    fn message(&self, first: &str, fields: &str, body: &str) -> String {
        let (framing, body) = match self.chunks(body) {
            Some(chunks) => ("transfer-encoding: chunked\r\n", chunks),
            None if first.starts_with("HTTP") => ("content-length: 0\r\n", String::new()),
            None => ("", String::new()),
        };
        format!("{first}\r\n{fields}{framing}\r\n{body}")
    }

    fn response(&self) -> String {
        let fields: String = self.given("response-header").map(field).collect();
        let status = self.given("status").next().unwrap_or("200");
        self.message(&format!("HTTP/1.1 {status} Told"), &fields, "response-body")
    }

    fn request(&self, number: usize) -> String {
        let fields: String = self.given("header").map(field).collect();
        let method = self.given("method").next().unwrap_or("GET");
        let target = self.given("target").next().unwrap_or("/");
        let host = format!("host: example.com\r\nx-case: {number}\r\n");
        self.message(&format!("{method} {target} HTTP/1.1"), &format!("{host}{fields}"), "body")
    }

    /// The extension, the backend and the rule of this case.
    fn add_to(&self, policy: Policy, number: usize, backend: &Backend) -> Policy {
        let lines: String = self.script.iter().fold(String::new(), |mut all, line| {
            let text = line.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = write!(all, "line \"{text}\"; ");
            all
        });
        policy
            .top(&format!(
                "extension e{number} {{ module \"guest.wasm\"; config {{ {lines} }}; limits {{ time 1s; memory 64MiB }}
                 allow [read-request, write-request-headers, rewrite, read-response, write-response-headers, route [g{number}], \
                 respond, body, vars, log, clock, random, metrics, store] }}"
            ))
            .backend(&format!("g{number}"), backend)
            .rule(&format!("r{number}"), &format!("when header \"x-case\" is \"{number}\"\nrun e{number}\nforward g{number}"))
    }
}

fn field(line: &str) -> String {
    let (name, value) = line.split_once(' ').unwrap();
    format!("{name}: {value}\r\n")
}

/// Whether a text is what the table says, which gives long ones by their length.
fn is(text: &str, expected: &str) -> bool {
    text == expected || expected == format!("{} bytes", text.len())
}

#[test]
fn the_gateway_does_what_the_table_says() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let backends: Vec<Backend> = cases.iter().map(|case| Backend::start(Behaviour::Raw(case.response()))).collect();
    let mut policy = Policy::new().top("gateway { workers 1 }").otherwise("respond 404");
    for (number, (case, backend)) in cases.iter().zip(&backends).enumerate() {
        policy = case.add_to(policy, number, backend);
    }
    let gateway = Gateway::start_with(&policy, |folder| {
        fs::copy(guest("tidegate_scripted_guest"), folder.join("guest.wasm")).unwrap();
    });
    let mut wrong = String::new();
    for (number, (case, backend)) in cases.iter().zip(&backends).enumerate() {
        let seen = played(&gateway, case, number, backend);
        if let Err(why) = seen {
            let _ = writeln!(wrong, "case `{}`: {why}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Plays a case. The error is where the gateway does something else.
fn played(gateway: &Gateway, case: &Case, number: usize, backend: &Backend) -> Result<(), String> {
    let mark = gateway.log().mark();
    let mut client = gateway.client();
    let answer = client.send(case.request(number)).try_receive();
    if let Some(fault) = case.expected("fault ").next() {
        // What a request gets then is no matter of the guest's.
        let (kind, message) = fault.split_once(": ").unwrap();
        let line = gateway.wait_for(mark, &format!("fault=\"{kind}\""));
        return if line.contains(message) { Ok(()) } else { Err(line) };
    }
    let closed = case.expects("verdict close") || case.expects("response verdict close");
    match answer {
        Err(_) if closed => {}
        Ok(answer) if !closed => {
            let status = case.expected("status ").next().unwrap_or("200");
            if answer.status.to_string() != status {
                return Err(format!("status {}, and not {status}", answer.status));
            }
            let body = case.expected("response body:").next().unwrap_or_default();
            if !is(&answer.text(), body) {
                return Err(format!("the body `{}`, and not `{body}`", answer.text()));
            }
            fields(case, "response header ", |name| answer.all(name).into_iter().map(str::to_owned).collect())?;
        }
        other => {
            return Err(format!("{other:?}, where the connection {} closed", if closed { "is" } else { "is not" }));
        }
    }
    let answered = case.expected.iter().any(|line| line.starts_with("verdict "));
    match (backend.requests().first(), answered) {
        (None, true) => {}
        (Some(request), false) => sent(case, request)?,
        (request, _) => return Err(format!("the server got {request:?}")),
    }
    let logged = gateway.access_where(case.given("target").next().unwrap_or("/"), |line| {
        line["rule"].as_str() == Some(&format!("r{number}"))
    });
    fields(case, "var ", |name| logged["vars"][name].as_str().map(str::to_owned).into_iter().collect())
}

/// The request that the server got.
fn sent(case: &Case, request: &Request) -> Result<(), String> {
    let given = case.given("target").next().unwrap_or("/");
    let target = case.expected("to server example.com").next().unwrap_or(given);
    let body = case.expected("request body:").next().unwrap_or_default();
    if request.target != target || !is(&request.text(), body) && body != format!("{} bytes", request.length) {
        return Err(format!("the server got {} with `{}`", request.target, request.text()));
    }
    fields(case, "request header ", |name| request.all(name).into_iter().map(str::to_owned).collect())
}

/// Compares each name's values with those that are expected.
fn fields(case: &Case, of: &str, all: impl Fn(&str) -> Vec<String>) -> Result<(), String> {
    let mut names: Vec<&str> =
        case.expected(of).filter_map(|line| line.split_once(": ").map(|(name, _)| name)).collect();
    names.dedup();
    for name in names {
        let expected: Vec<&str> =
            case.expected(of).filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect();
        let values = all(name);
        if values.len() != expected.len() || !values.iter().zip(&expected).all(|(value, expected)| is(value, expected))
        {
            return Err(format!("{of}{name}: {values:?}, and not {expected:?}"));
        }
    }
    Ok(())
}
