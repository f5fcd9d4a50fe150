//! `test "…" { … }`: a request, and what is expected of it.

use std::net::IpAddr;

use super::args::{Args, Line};
use super::checker::Checker;
use super::names::Kind;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::http_version::HttpVersion;
use crate::plan::{Condition, GroupId, Listener, ListenerAction, ListenerId, Piece, Plan, RuleSet, Template};
use crate::policy_test::{Expectation, Expected, PolicyTest, ShownCertificate};
use crate::source::Span;
use crate::suggest;
use crate::value;
use crate::vocabulary::{Place, Word};

/// The address that a request comes from, if its test names none.
const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The `request` line.
struct TestRequest {
    method: String,
    url: String,
    from: IpAddr,
    protocol: Option<HttpVersion>,
    /// `None` also if the policy has a mistake.
    listener: Option<ListenerId>,
}

impl<'t> Checker<'_, 't> {
    /// Checks every test against the plan, if there is one.
    pub(crate) fn policy_tests(&mut self, lines: Vec<Line<'_, 't>>, plan: Option<&Plan>) -> Vec<PolicyTest> {
        lines.into_iter().filter_map(|mut line| self.policy_test(&mut line.args, plan)).collect()
    }

    fn policy_test(&mut self, args: &mut Args<'_, 't>, plan: Option<&Plan>) -> Option<PolicyTest> {
        let (name, span) = self.text(args, "what the test is to show")?;
        let name = self.not_empty(name, span)?;
        let block = self.block(args)?;
        let lines = self.lines(block, Place::Test);
        let whole = lines.whole;
        let (mut requests, others): (Vec<_>, Vec<_>) =
            lines.all.into_iter().partition(|line| line.word.name == "request");
        if requests.is_empty() {
            self.must_have(args, whole, "its `request`", "write `request GET \"http://shop.example/\"`");
        }
        if !others.iter().any(|line| line.word.name == "expect") {
            self.must_have(args, whole, "an `expect`", "write what must come of the request, as `expect status 404`");
        }
        let asked = requests.first_mut().and_then(|line| self.request(&mut line.args, plan));
        let rules = asked.as_ref().and_then(|asked| rules_of(plan?, asked.listener?));
        let asks = asked.as_ref().and_then(|asked| plan?.listeners.get(asked.listener?.0));
        let (mut headers, mut certificate, mut expectations) = (Vec::new(), None, Vec::new());
        let mut right = whole;
        for mut line in others {
            if line.word.name == "header" {
                let header = self.test_header(&mut line.args);
                right &= header.is_some();
                headers.extend(header);
            } else if line.word.name == "client-cert" {
                let shown = certificate.get_or_insert_with(ShownCertificate::default);
                right &= self.shown_certificate(&mut line.args, shown, asks).is_some();
            } else {
                let span = line.args.head;
                let expected = self.expect(&mut line.args, rules);
                right &= expected.is_some();
                expectations.extend(expected.map(|expected| Expectation { span: span.to(line.args.last()), expected }));
            }
        }
        let TestRequest { method, url, from, protocol, listener } = asked?;
        let listener = listener?;
        right.then_some(PolicyTest {
            name,
            span,
            listener,
            method,
            url,
            from,
            protocol,
            headers,
            certificate,
            expectations,
        })
    }

    /// `request METHOD "URL" [from ADDRESS] [protocol h1|h2|h3]`
    fn request(&mut self, args: &mut Args<'_, 't>, plan: Option<&Plan>) -> Option<TestRequest> {
        let (method, span) = self.bare(args, "a method")?;
        self.check_method(method, span)?;
        let (url, span) = self.text(args, "a URL")?;
        let parts = url_parts(&url);
        if parts.is_none() {
            self.report(
                Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not a URL", quoted(&url)))
                    .help("write scheme, host and path, as `\"http://shop.example/items?page=2\"`"),
            );
        }
        let (mut from, mut protocol, mut seen) = (FROM, None, Vec::new());
        while args.peek().is_some() {
            match self.option(args, Place::Request, &mut seen)?.name {
                "from" => from = self.value(args, "an address", value::address)?.0,
                _ => protocol = Some(self.test_protocol(args)?),
            }
        }
        self.done(args)?;
        let (scheme, port) = parts?;
        let listener = match plan {
            Some(plan) => Some(self.listener_for(scheme, port, protocol, span, plan)?),
            None => None,
        };
        Some(TestRequest {
            method: method.to_owned(),
            url,
            from,
            protocol: protocol.map(|(protocol, _)| protocol),
            listener,
        })
    }

    /// `h1`, `h2` or `h3`, and where it stands.
    fn test_protocol(&mut self, args: &mut Args<'_, 't>) -> Option<(HttpVersion, Span)> {
        let (word, span) = self.bare(args, "`h1`, `h2` or `h3`")?;
        self.check_choice(word, span, "a protocol", &HttpVersion::WORDS)?;
        Some((HttpVersion::of_word(word)?, span))
    }

    /// The listener that takes requests for a URL.
    fn listener_for(
        &mut self,
        scheme: &str,
        port: u16,
        protocol: Option<(HttpVersion, Span)>,
        span: Span,
        plan: &Plan,
    ) -> Option<ListenerId> {
        let found = match protocol {
            None => plan.listener_for(scheme, port),
            Some((protocol, _)) => plan.listener_where(port, |listener| {
                listener.protocol.scheme() == scheme && protocol.is_spoken_at(listener)
            }),
        };
        if let Some((protocol, span)) = protocol
            && found.is_none()
            && plan.listener_for(scheme, port).is_some()
        {
            let message = format!("no listener of `{scheme}://` speaks `{}`", protocol.word());
            self.report(
                Diagnostic::new(codes::NO_LISTENER, span, message).help(
                    "clear text has `h1` and `h2`, `https` has `h1` and, unless `http2 off`, `h2`; `quic` has `h3`",
                ),
            );
        } else if found.is_none() {
            let report =
                Diagnostic::new(codes::NO_LISTENER, span, format!("no listener takes requests for `{scheme}://`"));
            self.report(match plan.listeners.first() {
                Some(first) => report.help(format!("write `{}://…`, or add a listener", first.protocol.scheme())),
                None => report.help("the policy has no listener: add one"),
            });
        }
        found
    }

    /// `header "NAME" "VALUE"`
    fn test_header(&mut self, args: &mut Args<'_, 't>) -> Option<(String, String)> {
        let (name, span) = self.header_name(args)?;
        if name == "host" {
            self.report(
                Diagnostic::new(codes::RESERVED_HEADER, span, "the host of a test's request is the host of its URL")
                    .help("write it into the URL"),
            );
            return None;
        }
        let (value, span) = self.text(args, "a value")?;
        self.check_header_value(&Template(vec![Piece::Text(value.clone())]), span)?;
        self.done(args)?;
        Some((name, value))
    }

    /// `client-cert subject|issuer|fingerprint "TEXT"`
    fn shown_certificate(
        &mut self,
        args: &mut Args<'_, 't>,
        shown: &mut ShownCertificate,
        listener: Option<&Listener>,
    ) -> Option<()> {
        let field = match self.choose(args, Place::ClientCertField)?.name {
            "subject" => &mut shown.subject,
            "issuer" => &mut shown.issuer,
            _ => &mut shown.fingerprint,
        };
        let (text, _) = self.text(args, "what the certificate says")?;
        self.done(args)?;
        *field = text;
        if let Some(listener) = listener
            && listener.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none())
        {
            let message = format!("the listener {} asks clients for no certificate", quoted(&listener.name));
            self.report(
                Diagnostic::new(codes::UNMET_TEST, args.head, message)
                    .help("remove the line, or write `client-ca NAME optional` in the listener"),
            );
        }
        Some(())
    }

    fn expect(&mut self, args: &mut Args<'_, 't>, rules: Option<Result<&RuleSet, &str>>) -> Option<Expected> {
        let word = self.choose(args, Place::Expect)?;
        // From here on it is this word that may lack something.
        args.of = word;
        let expected = match word.name {
            "rule" => Expected::Rule(self.expected_rule(args, rules)?),
            "forward" => Expected::Forward(self.expected_groups(args)?),
            "redirect" => {
                let (status, _) = self.value(args, "a status", value::status)?;
                Expected::Redirect(status, self.text(args, "the location")?.0)
            }
            "close" => Expected::Close,
            _ => Expected::Holds(self.expected_test(word, args)?),
        };
        self.done(args)?;
        Some(expected)
    }

    fn expected_test(&mut self, word: &'static Word, args: &mut Args<'_, 't>) -> Option<Condition> {
        let test = self.subject_test(word, args)?;
        Some(Condition { unless: false, test })
    }

    /// The name of a rule of the listener that takes the request.
    fn expected_rule(&mut self, args: &mut Args<'_, 't>, rules: Option<Result<&RuleSet, &str>>) -> Option<String> {
        let (name, span) = self.bare(args, "the name of a rule")?;
        let known = match rules {
            // What the rules are is not known, for something else is wrong.
            None => return Some(name.to_owned()),
            Some(Ok(rules)) => rules,
            Some(Err(listener)) => {
                let message = format!("the listener {} has no rules", quoted(listener));
                self.report(
                    Diagnostic::new(codes::UNKNOWN_NAME, span, message)
                        .help("it forwards everything: write `expect forward GROUP`"),
                );
                return None;
            }
        };
        if known.rules.iter().any(|rule| rule.name == name) {
            return Some(name.to_owned());
        }
        let names = || known.rules.iter().map(|rule| rule.name.as_str());
        let message = format!("there is no rule {} in the rules {}", quoted(name), quoted(&known.name));
        let report = Diagnostic::new(codes::UNKNOWN_NAME, span, message);
        self.report(match suggest::nearest(name, names()) {
            Some(meant) => report.meant(meant),
            None => report.help(format!("its rules are {}", one_of(names().take(MAX_SHOWN)))),
        });
        None
    }

    /// A group or several; being expected is no use of a group.
    fn expected_groups(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<GroupId>> {
        let mut groups = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, "the name of a server-group")? {
            match self.reference(&mut element, Kind::Group) {
                Some((group, _)) if self.element_done(&mut element).is_some() => groups.push(GroupId(group)),
                _ => right = false,
            }
        }
        right.then_some(groups)
    }
}

/// Names of rules that a message lists.
const MAX_SHOWN: usize = 12;

/// The rules of a listener, or its name if it has none.
fn rules_of(plan: &Plan, listener: ListenerId) -> Option<Result<&RuleSet, &str>> {
    let listener = plan.listeners.get(listener.0)?;
    Some(match listener.action {
        ListenerAction::Rules(id) => Ok(plan.rule_sets.get(id.0)?),
        ListenerAction::Forward(_) => Err(&listener.name),
    })
}

/// Scheme and port of a URL (RFC 9110, 4.2); `None` if it is none. Path and query are read by whoever takes the request.
fn url_parts(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    if url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        return None;
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    let rightly = host.starts_with('[') == host.ends_with(']') && !host.contains('@');
    (!host.is_empty() && rightly).then_some((scheme, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_scheme_and_a_port() {
        for (url, wanted) in [
            ("http://a.example/b?c", Some(("http", 80))),
            ("https://a.example", Some(("https", 443))),
            ("http://a.example:8080/", Some(("http", 8080))),
            ("http://[::1]/", Some(("http", 80))),
            ("http://[::1]:81/", Some(("http", 81))),
            ("http://a.example?b", Some(("http", 80))),
            ("ftp://a.example/", None),
            ("a.example/b", None),
            ("http:///b", None),
            ("http://a:b/", None),
            ("http://a:99999/", None),
            ("http://[::1", None),
            ("http://me@a/", None),
            ("http://a/#b", None),
            ("http://a /", None),
        ] {
            assert_eq!(url_parts(url), wanted, "{url}");
        }
    }
}
