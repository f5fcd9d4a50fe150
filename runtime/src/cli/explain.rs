//! `tidegate explain`: one request through the policy, by the walk that serves.

use std::path::Path;

use super::check::compile;
use super::{Failed, answer};
use crate::request::explain::{self, NoAnswer, Question};

/// How the command line wants the answer.
pub(super) struct Shown {
    /// Write JSON.
    pub json: bool,
    /// Show what came from the environment.
    pub show_env: bool,
}

/// Explains one request.
pub(super) fn explain(file: &Path, question: Question, shown: &Shown) -> Result<(), Failed> {
    let (snapshot, mask) = compile(file, shown.show_env)?;
    let explanation = explain::explain(&snapshot, question).map_err(|why| match why {
        NoAnswer::Wrong(why) => Failed::Usage(why),
        NoAnswer::Refused(why) => Failed::Because(why),
    })?;
    if shown.json {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| Failed::Because(error.to_string()))?;
        answer(&mask.text(&json))
    } else {
        answer(&mask.text(&explanation.to_string()))
    }
}

/// A header of the command line: `name: value`.
///
/// # Errors
/// It is none.
pub(super) fn header(line: &str) -> Result<(String, String), String> {
    let parts = line.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    parts.ok_or_else(|| format!("`{line}` is not a header: write it as 'name: value'"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tests::snapshot;

    /// The sentence about a command line that is wrong.
    fn usage<T>(result: Result<T, Failed>) -> String {
        match result {
            Err(Failed::Usage(said)) => said,
            _ => panic!("it is no mistake of the command line"),
        }
    }

    #[test]
    fn a_request_is_a_method_and_a_whole_url() {
        for (written, method, uri) in [
            ("GET http://a.test/x?y", "GET", "http://a.test/x?y"),
            ("  PURGE\thttps://a.test:8443  ", "PURGE", "https://a.test:8443/"),
        ] {
            let (got, url) = request_line(written).ok().unwrap();
            assert_eq!((got.as_str(), url.to_string().as_str()), (method, uri), "{written}");
        }
        for wrong in ["", "GET", "http://a.test/", "GET /x", "GET a.test", "G@T http://a.test/", "GET http://a b/"] {
            assert_eq!(
                usage(request_line(wrong)),
                format!("`{wrong}` is not a request: write it as 'GET http://host/path'")
            );
        }
    }

    #[test]
    fn headers_may_repeat_and_the_host_is_that_of_the_url() {
        let uri = Uri::from_static("http://a.test:8080/");
        let lines = ["x: 1", " X :2:3 ", "host: b.test", "empty:"].map(str::to_owned);
        let headers = headers(&lines, &uri).ok().unwrap();
        assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), ["1", "2:3"]);
        assert_eq!(headers.get_all("host").iter().collect::<Vec<_>>(), ["a.test:8080"]);
        assert_eq!(headers["empty"], "");
        for wrong in ["x", ": 1", "x y: 1", "x: a\u{1}"] {
            let said = usage(super::headers(&[wrong.to_owned()], &uri));
            assert_eq!(said, format!("`{wrong}` is not a header: write it as 'name: value'"));
        }
    }

    #[test]
    fn the_listener_is_the_named_one_else_that_of_the_port_else_the_first_of_the_scheme() {
        let rules = "rules site { otherwise { close } }\n";
        let snapshot = snapshot(
            &format!(
                "tidegate 1\nlistener http first {{ port 8080; rules site }}\n\
                 listener http second {{ port 80; rules site }}\n{rules}"
            ),
            None,
        );
        let found = |url: &str, name| listener(&snapshot, &url.parse().unwrap(), name);
        for (url, name, at) in [
            ("http://a.test/", None, 1),
            ("http://a.test:8080/", None, 0),
            ("http://a.test:9/", None, 0),
            ("http://a.test/", Some("first"), 0),
            // Whoever names one knows why.
            ("https://a.test/", Some("second"), 1),
        ] {
            assert_eq!(found(url, name).ok(), Some(ListenerId(at)), "{url} {name:?}");
        }
        assert_eq!(usage(found("http://a.test/", Some("third"))), "the policy has no listener `third`");
        let said = "no listener of the policy takes requests for `https://`: write `http://…`";
        assert_eq!(usage(found("https://a.test/", None)), said);
    }
}
