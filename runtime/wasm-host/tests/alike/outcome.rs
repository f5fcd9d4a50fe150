//! The outcome of a case, as lines: what differs from a plain request that passed, and no more.

/// The end of a request, in neither side's terms.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `respond`, `close` or `forward GROUP`; empty, if the request went on.
    pub(crate) verdict: String,
    /// The same of the response.
    pub(crate) response_verdict: String,
    /// The request that the server would get, if it went on.
    pub(crate) authority: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The answer that the client would get, if it is not closed.
    pub(crate) status: u16,
    pub(crate) response_headers: Vec<(String, String)>,
    pub(crate) response_body: Vec<u8>,
    pub(crate) vars: Vec<(String, String)>,
    pub(crate) log: Vec<(String, String)>,
    pub(crate) metrics: Vec<(String, f64)>,
}

impl Outcome {
    pub(crate) fn lines(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.verdict.is_empty() {
            lines.push(format!("verdict {}", self.verdict));
        }
        if !self.response_verdict.is_empty() {
            lines.push(format!("response verdict {}", self.response_verdict));
        }
        if self.verdict.is_empty() || self.verdict.starts_with("forward") {
            if (self.authority.as_str(), self.target.as_str()) != ("example.com", "/") {
                lines.push(format!("to server {}{}", self.authority, short(&self.target)));
            }
            lines.extend(named("request header", &mut self.headers));
            lines.extend(body("request body", &self.body));
        }
        if self.verdict != "close" && self.response_verdict != "close" {
            if self.status != 200 {
                lines.push(format!("status {}", self.status));
            }
            lines.extend(named("response header", &mut self.response_headers));
            lines.extend(body("response body", &self.response_body));
        }
        lines.extend(named("var", &mut self.vars));
        lines.extend(self.log.iter().map(|(level, line)| format!("log {level}: {}", short(line))));
        lines.extend(self.metrics.iter().map(|(name, value)| format!("metric {name}: {value}")));
        lines
    }
}

/// Lines that come again and again, once.
pub(crate) fn counted(lines: &[String]) -> Vec<String> {
    let once = |same: &[String]| match same.len() {
        1 => same[0].clone(),
        times => format!("{} ({times} times)", same[0]),
    };
    lines.chunk_by(|one, next| one == next).map(once).collect()
}

/// A fault, with the words of `allow` that are missing if that is what it is about.
pub(crate) fn fault(kind: &str, message: &str) -> String {
    if message.starts_with("the module imports what it is not allowed") {
        let mut words: Vec<&str> =
            message.split("(allow it with `").skip(1).filter_map(|rest| rest.split('`').next()).collect();
        words.dedup();
        return format!("refused: `allow` lacks {}", words.join(", "));
    }
    match kind {
        // Where a guest panicked is written in other ways on the two sides.
        "trap" => format!("fault trap: {}", message.rsplit(": ").next().unwrap_or_default().trim()),
        _ => format!("fault {kind}: {message}"),
    }
}

/// The words against a configuration.
pub(crate) fn refused(message: &str) -> String {
    if message.starts_with("the module imports what it is not allowed") {
        return fault("", message);
    }
    format!("refused: {}", short(message))
}

/// Sorted, because the order of names is nobody's promise; values of one name stay in order.
fn named(what: &str, fields: &mut [(String, String)]) -> Vec<String> {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    match fields.len() {
        0..=12 => fields.iter().map(|(name, value)| format!("{what} {}: {}", short(name), short(value))).collect(),
        many => {
            let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
            vec![format!("{what}: {many}, of {bytes} bytes")]
        }
    }
}

fn body(what: &str, data: &[u8]) -> Option<String> {
    (!data.is_empty()).then(|| format!("{what}: {}", short(&String::from_utf8_lossy(data))))
}

fn short(text: &str) -> String {
    if text.len() <= 240 { text.escape_debug().to_string() } else { format!("{} bytes", text.len()) }
}
