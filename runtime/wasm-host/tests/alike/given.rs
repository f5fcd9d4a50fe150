//! The beginning of a case.

/// The request, the server's response, the policy and what happens, in neither side's terms. What is not given is as in a plain
/// `GET http://example.com/` of `TestHost`, answered with an empty 200.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// The guest that asks other servers, and not the scripted one.
    pub(crate) asking: bool,
    pub(crate) config: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<String>,
    pub(crate) status: u16,
    pub(crate) response_headers: Vec<(String, String)>,
    pub(crate) response_body: Vec<String>,
    pub(crate) vars: Vec<(String, String)>,
    /// Words that are not in `allow`.
    pub(crate) without: Vec<String>,
    /// The groups that `route` and `outbound` list.
    pub(crate) route: Option<Vec<String>>,
    pub(crate) outbound: Option<Vec<String>>,
    /// Groups: name, healthy and total servers.
    pub(crate) groups: Vec<(String, u32, u32)>,
    /// The answers of other servers: group, status and body, or what went wrong.
    pub(crate) answers: Vec<Answer>,
    /// Metrics that are looked at.
    pub(crate) metrics: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// The answer of a group's servers, or what goes wrong: status and body.
pub(crate) type Answer = (String, Result<(u16, String), String>);

/// An event of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Send,
    /// Time passes: what is at least so long in the past is over.
    Wait(u64),
    /// Time passes for the ticks of a worker.
    Tick(u64),
}

impl Given {
    pub(crate) fn read(lines: impl Iterator<Item = String>) -> Self {
        let mut given = Self {
            asking: false,
            config: String::new(),
            method: "GET".to_owned(),
            target: "/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            status: 200,
            response_headers: Vec::new(),
            response_body: Vec::new(),
            vars: Vec::new(),
            without: Vec::new(),
            route: None,
            outbound: None,
            groups: Vec::new(),
            answers: Vec::new(),
            metrics: Vec::new(),
            steps: Vec::new(),
        };
        let mut script = Vec::new();
        for line in lines {
            match line.strip_prefix("given> ") {
                Some(line) => given.line(line),
                None => script.push(line),
            }
        }
        if given.config.is_empty() {
            given.config = serde_json::json!({ "line": script }).to_string();
        }
        if given.steps.is_empty() {
            given.steps.push(Step::Send);
        }
        given
    }

    fn line(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let pair = || (first.to_owned(), second.to_owned());
        let list = || rest.split(' ').map(str::to_owned).collect::<Vec<_>>();
        match what {
            "asking" => self.asking = true,
            "config" => self.config = rest.to_owned(),
            "method" => self.method = rest.to_owned(),
            "target" => self.target = rest.to_owned(),
            "header" => self.headers.push(pair()),
            "body" => self.body.push(repeated(rest)),
            "status" => self.status = rest.parse().unwrap(),
            "response-header" => self.response_headers.push(pair()),
            "response-body" => self.response_body.push(repeated(rest)),
            "var" => self.vars.push(pair()),
            "without" => self.without = list(),
            "route" => self.route = Some(list()),
            "outbound" => self.outbound = Some(list()),
            "group" => {
                let (healthy, total) = second.split_once('/').unwrap();
                self.groups.push((first.to_owned(), healthy.parse().unwrap(), total.parse().unwrap()));
            }
            "answer" => {
                let answer = match second.split_once(' ') {
                    Some((status, body)) => Ok((status.parse().unwrap(), repeated(body))),
                    None => Err(second.to_owned()),
                };
                self.answers.push((first.to_owned(), answer));
            }
            "metric" => self.metrics.push(rest.to_owned()),
            "send" => self.steps.extend(vec![Step::Send; rest.parse().unwrap_or(1)]),
            "wait" => self.steps.push(Step::Wait(rest.parse().unwrap())),
            "tick" => self.steps.push(Step::Tick(rest.parse().unwrap())),
            other => panic!("`given> {other}` is no line"),
        }
    }
}

/// A body, with `a*3` written out.
fn repeated(text: &str) -> String {
    let many = text.split_once('*').and_then(|(text, times)| Some(text.repeat(times.parse().ok()?)));
    many.unwrap_or_else(|| text.to_owned())
}
