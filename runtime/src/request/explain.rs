//! A question about a request that nobody sent, and its answer: the walk that serves, observed.

use std::net::IpAddr;
use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use tidegate_dsl::ShownCertificate;
use tidegate_dsl::plan::ListenerId;
use tidegate_engine::Explanation;
use tidegate_engine::hook::Reply;

use crate::policy::snapshot::Snapshot;
use crate::request::trial::{self, Client, Guests};

/// A request that is asked about.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method and the URL: `GET http://host/path`.
    pub request: String,
    /// The header fields: name and value.
    pub headers: Vec<(String, String)>,
    /// The peer.
    pub from: IpAddr,
    /// The subject of the certificate that the client shows, where the listener asks for one.
    pub client_cert: Option<String>,
    /// The status that a server would answer with.
    pub answer: StatusCode,
    /// A listener by name; else the one whose port the URL names, else the first of its scheme.
    pub listener: Option<String>,
}

/// The reason why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The question is none.
    Wrong(String),
    /// The request is refused before any rule sees it.
    Refused(String),
}

/// Follows a request through a policy. Its extensions are asked, with instances of their own.
///
/// # Errors
/// The question is none, or the request comes to no rule.
pub fn explain(snapshot: &Snapshot, question: Question) -> Result<Explanation, NoAnswer> {
    let (method, uri) = request_line(&question.request)?;
    let headers = headers(&question.headers, &uri)?;
    let listener = listener(snapshot, &uri, question.listener.as_deref())?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let certificate = question.client_cert.map(|subject| ShownCertificate { subject, ..ShownCertificate::default() });
    let version = trial::versions(snapshot.plan(), listener, request.headers()).first().copied();
    let client = Client { from: question.from, certificate: certificate.as_ref(), version };
    let exchange = trial::exchange(snapshot, listener, request, &client).map_err(|failure| {
        let row = failure.row();
        NoAnswer::Refused(format!("the request is refused with {} before any rule: {}", row.status, row.text))
    })?;
    let mut guests = Guests::new(snapshot);
    let answered = Reply { status: question.answer, headers: HeaderMap::new(), body: Bytes::new() };
    Ok(snapshot.engine.explain_answered(listener, exchange, trial::MOMENT, answered, &mut |id, hook, exchange| {
        guests.call(id, hook, exchange)
    }))
}

fn request_line(request: &str) -> Result<(Method, Uri), NoAnswer> {
    let wrong = || NoAnswer::Wrong(format!("`{request}` is not a request: write it as 'GET http://host/path'"));
    let (method, url) = request.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    let method = Method::from_str(method).map_err(|_| wrong())?;
    let uri = Uri::from_str(url.trim()).map_err(|_| wrong())?;
    if uri.scheme().is_none() || uri.authority().is_none() {
        return Err(wrong());
    }
    Ok((method, uri))
}

fn headers(fields: &[(String, String)], uri: &Uri) -> Result<HeaderMap, NoAnswer> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let wrong = || NoAnswer::Wrong(format!("`{name}: {value}` is not a header: write it as 'name: value'"));
        let name = HeaderName::from_str(name.trim()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
    }
    trial::set_host(&mut headers, uri);
    Ok(headers)
}

/// The listener that would take the request.
fn listener(snapshot: &Snapshot, uri: &Uri, name: Option<&str>) -> Result<ListenerId, NoAnswer> {
    let listeners = &snapshot.plan().listeners;
    let scheme = uri.scheme_str().unwrap_or_default();
    let default_port = if scheme == "https" { 443 } else { 80 };
    match name {
        Some(name) => listeners
            .iter()
            .position(|listener| listener.name == name)
            .map(ListenerId)
            .ok_or_else(|| NoAnswer::Wrong(format!("the policy has no listener `{name}`"))),
        None => snapshot.plan().listener_for(scheme, uri.port_u16().unwrap_or(default_port)).ok_or_else(|| {
            let message = format!("no listener of the policy takes requests for `{scheme}://`");
            NoAnswer::Wrong(match listeners.first() {
                Some(first) => format!("{message}: write `{}://…`", first.protocol.scheme()),
                None => format!("{message}: it has none"),
            })
        }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tests::snapshot;

    /// The sentence about a question that is none.
    fn usage<T>(result: Result<T, NoAnswer>) -> String {
        match result {
            Err(NoAnswer::Wrong(said)) => said,
            _ => panic!("it is a question"),
        }
    }

    #[test]
    fn a_request_is_a_method_and_a_whole_url() {
        for (written, method, uri) in [
            ("GET http://a.test/x?y", "GET", "http://a.test/x?y"),
            ("  PURGE\thttps://a.test:8443  ", "PURGE", "https://a.test:8443/"),
        ] {
            let (got, url) = request_line(written).unwrap();
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
        let fields = |fields: &[(&str, &str)]| -> Vec<_> {
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let given = fields(&[("x", " 1"), (" X ", "2:3 "), ("host", " b.test"), ("empty", "")]);
        let headers = headers(&given, &uri).unwrap();
        assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), ["1", "2:3"]);
        assert_eq!(headers.get_all("host").iter().collect::<Vec<_>>(), ["a.test:8080"]);
        assert_eq!(headers["empty"], "");
        for (name, value) in [("", "1"), ("x y", "1"), ("x", "a\u{1}")] {
            let said = usage(super::headers(&fields(&[(name, value)]), &uri));
            assert_eq!(said, format!("`{name}: {value}` is not a header: write it as 'name: value'"));
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
