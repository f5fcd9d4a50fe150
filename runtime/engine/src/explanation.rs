//! Explanations: the answer of `explain` as data, and as text for people.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use serde::Serialize;

use crate::blame;
use crate::exchange::Exchange;

/// The story of one request, and why it went so. `Display` is for people.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Method and URL, as they came.
    pub request: String,
    /// The client's address.
    pub client_ip: IpAddr,
    /// The listener's name.
    pub listener: String,
    /// The name of the listener's rule list, if it has one.
    pub rules: Option<String>,
    /// The rule that took the request.
    pub rule: Option<String>,
    /// The events of the request, in their order.
    pub lines: Vec<Line>,
    /// The end of the request.
    pub outcome: Ending,
    /// The exchange as the walk left it: the request that a backend would get, or the answer.
    #[serde(skip)]
    pub exchange: Box<Exchange>,
}

/// An event in the story of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Line {
    /// A rule was passed over.
    PassedOver {
        /// The name of the rule.
        rule: String,
        /// The first condition that did not hold, in the words of the policy.
        condition: String,
        /// The value that the request had instead.
        found: String,
    },
    /// A rule took the request.
    Matched {
        /// The name of the rule.
        rule: String,
        /// The outcome of the rule, in the words of the policy.
        outcome: String,
    },
    /// A test of a rule could not be decided.
    GaveUp {
        /// The rule's name.
        rule: String,
        /// The work that the test would have made.
        why: &'static str,
    },
    /// An extension was called.
    Hook {
        /// The name of the extension.
        extension: String,
        /// `request` or `response`.
        hook: &'static str,
        /// The verdict of the extension, or how it failed and what that means.
        verdict: String,
    },
    /// A step was done.
    Step {
        /// The step, in the words of the policy.
        step: String,
        /// The result of the step.
        result: String,
    },
    /// The way back begins: what follows was done to the answer. It stands only where something was.
    WayBack {
        /// The status of the answer, before anything was done to it.
        status: u16,
        /// Whether a backend would have given the answer; else it was made here.
        backend: bool,
    },
    /// An `on-response` block was passed over.
    BlockPassedOver {
        /// The first condition that did not hold, in the words of the policy.
        condition: String,
        /// The value that the response had instead.
        found: String,
    },
}

/// The end of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ending {
    /// A backend gets it.
    Forward {
        /// The group's name.
        group: String,
        /// Host and port, path and query that the backend gets.
        url: String,
    },
    /// The request was answered here.
    Reply {
        /// The status.
        status: u16,
        /// Names and values of the header fields.
        headers: Vec<(String, String)>,
        /// The body; what is no UTF-8 is replaced.
        body: String,
    },
    /// The connection is closed.
    Close,
}

// === for people ===

/// The widest that the left column becomes, in characters; what is longer pushes its right side out.
const MAX_LEFT_WIDTH: usize = 44;

impl Display for Explanation {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.request)?;
        write!(out, "from {} on listener {}", self.client_ip, self.listener)?;
        match &self.rules {
            Some(rules) => writeln!(out, ", rules {rules}\n")?,
            None => writeln!(out, "\n")?,
        }
        let mut inside_rule = false;
        let rows = self.lines.iter().map(|line| {
            inside_rule |= matches!(line, Line::Matched { .. } | Line::WayBack { .. });
            line.columns(inside_rule)
        });
        let rows: Vec<(String, String)> = rows.collect();
        let widths = rows.iter().map(|(left, _)| left.chars().count());
        let width = widths.filter(|width| *width <= MAX_LEFT_WIDTH).max().unwrap_or(0);
        for (left, right) in rows {
            writeln!(out, "  {left:width$}  {right}")?;
        }
        if !self.lines.is_empty() {
            writeln!(out)?;
        }
        self.outcome.fmt(out)
    }
}

impl Line {
    /// The event and its result, as two columns. Events inside a rule are indented.
    fn columns(&self, inside_rule: bool) -> (String, String) {
        let indent = if inside_rule { "  " } else { "" };
        match self {
            Self::PassedOver { rule, condition, found } => {
                (format!("rule {rule}"), format!("no: {condition} — {found}"))
            }
            Self::Matched { rule, outcome } => (format!("rule {rule}"), format!("yes: {outcome}")),
            Self::GaveUp { rule, why } => (format!("rule {rule}"), format!("gave up: {why}")),
            Self::Hook { extension, hook, verdict } => (format!("{indent}run {extension} ({hook})"), verdict.clone()),
            Self::Step { step, result } => (format!("{indent}{step}"), result.clone()),
            Self::WayBack { status, backend: true } => {
                ("on the way back".to_owned(), format!("if a server answers with {status}"))
            }
            Self::WayBack { status, backend: false } => {
                ("on the way back".to_owned(), format!("of the answer {status}, made here"))
            }
            Self::BlockPassedOver { condition, found } => {
                (format!("{indent}on-response"), format!("no: {condition} — {found}"))
            }
        }
    }
}

impl Display for Ending {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward { group, url } => writeln!(out, "forwarded to group {group}: {url}"),
            Self::Close => writeln!(out, "closed without an answer"),
            Self::Reply { status, headers, body } => {
                writeln!(out, "answered with {status}")?;
                for (name, value) in headers {
                    writeln!(out, "  {name}: {}", blame::shown(value))?;
                }
                if !body.is_empty() {
                    writeln!(out, "  {}", blame::shown(body.trim_end()))?;
                }
                Ok(())
            }
        }
    }
}
