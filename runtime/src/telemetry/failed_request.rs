//! A request that failed, as an operator is shown it: nothing of a body, and no value that looks like a secret.

use serde::Serialize;

/// A request that failed, or was refused.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FailedRequest {
    /// When it ended.
    pub time: String,
    /// The request's name in logs; null where it was refused before it had one.
    pub request_id: Option<String>,
    /// The listener.
    pub listener: String,
    /// The rule that took the request.
    pub rule: Option<String>,
    /// The client's address.
    pub client_ip: String,
    /// The method; null for a head that could not be read.
    pub method: Option<String>,
    /// The host that the client asked for.
    pub host: Option<String>,
    /// The request target, with the values of parameters that look like secrets masked.
    pub uri: Option<String>,
    /// `http/1.1`, `h2` or `h3`.
    pub protocol: String,
    /// The status that the client got; 499 and 444 are only logged.
    pub status: u16,
    /// What went wrong, by the table of failures.
    pub failure: String,
    /// Whose fault it was.
    pub side: String,
    /// The server group that was asked.
    pub group: Option<String>,
    /// The server that was asked last.
    pub server: Option<String>,
    /// The status of that server.
    pub upstream_status: Option<u16>,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// The bytes that were read of a head that could not be: the offending one is the last of them, or is near.
    pub offset: Option<u64>,
    /// The number of the policy that served it.
    pub generation: u64,
}

/// Words in the names of parameters whose values are not shown.
const SECRET: [&str; 11] =
    ["token", "key", "secret", "password", "passwd", "auth", "code", "signature", "sig", "session", "credential"];

/// A request target without the values of parameters that look like secrets.
pub fn masked(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if looks_secret(name) => format!("{name}=***"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_look_like_secrets_are_not_shown() {
        for (target, shown) in [
            ("/a", "/a"),
            ("/a?b=c&d", "/a?b=c&d"),
            ("/a?access_token=abc&b=c", "/a?access_token=***&b=c"),
            ("/a?X-Amz-Signature=abc&API_KEY=d", "/a?X-Amz-Signature=***&API_KEY=***"),
            ("/token?x=password", "/token?x=password"),
        ] {
            assert_eq!(masked(target), shown);
        }
    }
}
