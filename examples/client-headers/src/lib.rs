//! Sets request and response headers from its configuration; values may hold inserts such as `{client-ip}`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_guest::{Filter, Request, Response, Result, Verdict, export};

use crate::template::Template;

mod template;

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Request headers to set: name and value.
    #[serde(default)]
    request: BTreeMap<String, String>,
    /// Response headers to set: name and value.
    #[serde(default)]
    response: BTreeMap<String, String>,
}

/// The extension.
pub struct ClientHeaders {
    request: Vec<(String, Template)>,
    response: Vec<(String, Template)>,
}

impl Filter for ClientHeaders {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { request: parse(config.request)?, response: parse(config.response)? })
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        for (name, template) in &self.request {
            if let Some(value) = template.render(request) {
                request.set_header(name, value.as_ref());
            }
        }
        Verdict::next()
    }

    fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
        for (name, template) in &self.response {
            if let Some(value) = template.render(request) {
                response.set_header(name, value.as_ref());
            }
        }
        Verdict::next()
    }
}

export!(ClientHeaders);

fn parse(headers: BTreeMap<String, String>) -> Result<Vec<(String, Template)>> {
    headers.into_iter().map(|(name, value)| Ok((name, Template::parse(&value)?))).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_guest::TestHost;

    use super::*;

    #[test]
    fn headers_are_set_on_both_sides() {
        let config = r#"{"request": {"x-client": "{client-ip}"}, "response": {"x-served-for": "{method} {path}"}}"#;
        let outcome = TestHost::new().config(config).client_ip("203.0.113.9").target("/a?b").run::<ClientHeaders>();
        assert_eq!(outcome.request_header("x-client"), Some("203.0.113.9"));
        assert_eq!(outcome.response_header("x-served-for"), Some("GET /a"));
    }

    #[test]
    fn what_a_client_sent_is_replaced() {
        let config = r#"{"request": {"x-client": "{client-ip}"}}"#;
        let outcome = TestHost::new().config(config).header("x-client", "10.0.0.1").run::<ClientHeaders>();
        assert_eq!(outcome.request_header("x-client"), Some("192.0.2.1"));
    }

    #[test]
    fn the_first_entry_of_a_list() {
        let config = r#"{"request": {"x-ext-client": "{first.x-forwarded-for}"}, "response": {"x-ext": "1"}}"#;
        let outcome =
            TestHost::new().config(config).header("x-forwarded-for", "203.0.113.9, 10.0.0.1").run::<ClientHeaders>();
        assert_eq!(outcome.request_header("x-ext-client"), Some("203.0.113.9"));
        assert_eq!(outcome.response_header("x-ext"), Some("1"));
    }

    #[test]
    fn an_insert_without_a_value_leaves_the_header_alone() {
        let config = r#"{"request": {"x-copy": "<{header.x-missing}>"}}"#;
        let outcome = TestHost::new().config(config).run::<ClientHeaders>();
        assert_eq!(outcome.request_header("x-copy"), None);
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = |config: &str| TestHost::new().config(config).try_run::<ClientHeaders>().unwrap_err().to_string();
        assert_eq!(
            refused(r#"{"request": {"x": "{client}"}}"#),
            "unknown insert `{client}`: use {client-ip}, {peer}, {listener}, {method}, {scheme}, {authority}, {path}, \
             {header.NAME} or {first.NAME}"
        );
        assert!(refused(r#"{"requests": {}}"#).contains("unknown field `requests`"));
    }
}
