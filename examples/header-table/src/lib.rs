//! Changes headers by a table: each row says which requests it is for, and what it sets, adds and removes.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_guest::config::Many;
use tidegate_guest::{Error, Filter, Request, Response, Result, Verdict, export};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rows. All that fit a request are applied, from top to bottom.
    row: Many<Row>,
}

/// A row. What it does not name fits every request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Paths below this, by whole segments.
    path: Option<String>,
    /// The methods of which the request must have one.
    #[serde(default)]
    method: Many<String>,
    /// The host that the request must have.
    host: Option<String>,
    /// Requests that have this header.
    header: Option<String>,
    /// The changes of the request.
    #[serde(default)]
    request: Changes,
    /// The changes of the response.
    #[serde(default)]
    response: Changes,
}

/// Changes of headers: first those that are removed, then those that are set, then those that are added.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    #[serde(default)]
    remove: Many<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    add: BTreeMap<String, String>,
}

/// The extension.
pub struct HeaderTable(Vec<Row>);

impl Filter for HeaderTable {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        let rows = config.row.into_vec();
        for row in &rows {
            if let Some(path) = row.path.as_deref().filter(|path| !path.starts_with('/')) {
                return Err(Error::new(format!("path is `{path}`: begin it with `/`")));
            }
        }
        Ok(Self(rows))
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        for row in self.0.iter().filter(|row| row.fits(request)).collect::<Vec<_>>() {
            row.request.remove.iter().for_each(|name| request.remove_header(name));
            row.request.set.iter().for_each(|(name, value)| request.set_header(name, value));
            row.request.add.iter().for_each(|(name, value)| request.add_header(name, value));
        }
        Verdict::next()
    }

    fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
        for row in self.0.iter().filter(|row| row.fits(request)) {
            row.response.remove.iter().for_each(|name| response.remove_header(name));
            row.response.set.iter().for_each(|(name, value)| response.set_header(name, value));
            row.response.add.iter().for_each(|(name, value)| response.add_header(name, value));
        }
        Verdict::next()
    }
}

export!(HeaderTable: request, response);

impl Row {
    fn fits(&self, request: &Request) -> bool {
        self.path.as_deref().is_none_or(|path| is_under(&request.tested_path(), path))
            && (self.method.is_empty() || self.method.contains(&request.method()))
            && self.host.as_ref().is_none_or(|host| request.authority().eq_ignore_ascii_case(host))
            && self.header.as_ref().is_none_or(|name| request.header(name).is_some())
    }
}

/// Whether `path` is `prefix` or below it: `/api` covers `/api/x`, and not `/apix`.
fn is_under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_guest::TestHost;

    use super::*;

    const CONFIG: &str = r#"{"row": [
        {"request": {"remove": "x-debug", "set": {"x-edge": "tidegate"}}},
        {"path": "/assets", "method": ["GET", "HEAD"], "response": {"set": {"cache-control": "max-age=3600"}}},
        {"host": "beta.example", "header": "x-beta", "response": {"add": {"vary": "x-beta"}, "remove": ["server"]}}
    ]}"#;

    fn host() -> TestHost {
        TestHost::new().config(CONFIG).response_header("server", "apache").response_header("vary", "accept")
    }

    #[test]
    fn every_row_that_fits_is_applied() {
        let outcome = host().target("/assets/logo.svg").header("x-debug", "1").run::<HeaderTable>();
        assert_eq!(outcome.request_header("x-edge"), Some("tidegate"));
        assert_eq!(outcome.request_header("x-debug"), None);
        assert_eq!(outcome.response_header("cache-control"), Some("max-age=3600"));
        assert_eq!(outcome.response_header("server"), Some("apache"));
    }

    #[test]
    fn a_row_fits_if_all_of_it_does() {
        let cached = |target: &str, method: &str| {
            let outcome = host().target(target).method(method).run::<HeaderTable>();
            outcome.response_header("cache-control").is_some()
        };
        assert!(cached("/assets", "HEAD"));
        assert!(!cached("/assetsx", "GET") && !cached("/assets", "POST") && !cached("/", "GET"));
        let beta = host().authority("Beta.example").header("x-beta", "1").run::<HeaderTable>();
        assert_eq!(beta.response_header_all("vary"), ["accept", "x-beta"]);
        assert_eq!(beta.response_header("server"), None);
        let other = host().authority("beta.example").run::<HeaderTable>();
        assert_eq!(other.response_header_all("vary"), ["accept"]);
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = |config: &str| TestHost::new().config(config).try_run::<HeaderTable>().unwrap_err().to_string();
        assert_eq!(refused(r#"{"row": {"path": "api"}}"#), "path is `api`: begin it with `/`");
        assert!(refused(r#"{"row": {"paths": "/"}}"#).contains("unknown field `paths`"));
    }
}
