//! The fields that pass the gateway, in heads and in trailers: what a client may not bring, what ends here, what
//! `Connection` takes out. The names stand in one table ([`field_names`]).

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_dsl::field_names::{self, Class, Known};
use tidegate_dsl::plan::ListenerId;

use crate::engine::Engine;
use crate::exchange::Changed;

impl Engine {
    /// Takes out of a request's head what its client may not bring, and what it said about its own connection. It comes before
    /// rules and hooks, so that they see what a server will get, and so that nothing of theirs is taken out.
    pub fn receive(&self, listener: ListenerId, peer: IpAddr, headers: &mut HeaderMap, kinds: FieldKinds) {
        if kinds.connection {
            remove_nominated(headers);
        }
        let Some(listener) = self.listeners.get(listener.0).filter(|_| kinds.forged) else { return };
        if !listener.client_ip.trusts(peer) {
            remove_where(headers, is_forged);
        } else if listener.forwarded.asks_for_cert() {
            remove_where(headers, |name| is_about_cert(name.as_str()));
        }
    }
}

/// The kinds of fields that a head has, found in one look at its names: what most heads have none of is then looked for no more.
#[derive(Debug, Clone, Copy, Default)]
pub struct FieldKinds {
    /// `Connection`.
    pub connection: bool,
    /// `Transfer-Encoding`.
    pub transfer_encoding: bool,
    /// `Upgrade`.
    pub upgrade: bool,
    /// `Via`.
    pub via: bool,
    /// Fields that end at a gateway.
    pub end_here: bool,
    /// Fields that the gateway says about clients, or that could be taken for its own.
    forged: bool,
}

impl FieldKinds {
    /// The passage of a head as it came.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut kinds = Self::default();
        for name in headers.keys() {
            // Nearly every head has these; they are compared by number.
            if *name == HOST || *name == CONTENT_LENGTH || *name == CONTENT_TYPE {
                continue;
            }
            let Some(Known { class, exact }) = field_names::find(name.as_str()) else { continue };
            kinds.forged |= counts_as_forged(class, exact);
            if exact && class.ends_here() {
                kinds.end_here = true;
                match name.as_str() {
                    "connection" => kinds.connection = true,
                    "transfer-encoding" => kinds.transfer_encoding = true,
                    "upgrade" => kinds.upgrade = true,
                    _ => {}
                }
            } else if name == VIA {
                kinds.via = true;
            }
        }
        kinds
    }
}

const fn counts_as_forged(class: Class, exact: bool) -> bool {
    matches!(class, Class::Gateway) || !exact && !matches!(class, Class::Head)
}

/// Whether a name is one that the gateway says about clients, or could be taken for one of its own.
fn is_forged(name: &HeaderName) -> bool {
    field_names::find(name.as_str()).is_some_and(|Known { class, exact }| counts_as_forged(class, exact))
}

/// The names that speak of the client's certificate, in every spelling.
fn is_about_cert(name: &str) -> bool {
    const FAMILY: &str = "x-forwarded-clientcert-";
    name.get(..FAMILY.len()).is_some_and(|start| field_names::is_alike(start, FAMILY))
}

/// Takes out the fields that `Connection` names (RFC 9110, 7.6.1), as far as they are fields that a message can do without: what
/// frames it, what ends here in any case, and what says which way it came stays. A member that is no name does not
/// shield the others.
pub fn remove_nominated(headers: &mut HeaderMap) {
    if !headers.get_all(CONNECTION).iter().any(names_fields) {
        return;
    }
    let lines: Vec<_> = headers.get_all(CONNECTION).iter().filter(|line| names_fields(line)).cloned().collect();
    for line in lines {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            let Ok(name) = HeaderName::from_bytes(member.trim_ascii()) else { continue };
            if matches!(field_names::class(name.as_str()), None | Some(Class::Head)) {
                headers.remove(name);
            }
        }
    }
}

/// Whether a `Connection` may name fields; the two that most clients and servers send do not.
fn names_fields(line: &HeaderValue) -> bool {
    let line = line.as_bytes();
    !line.eq_ignore_ascii_case(b"keep-alive") && !line.eq_ignore_ascii_case(b"close")
}

/// Takes out the fields that end at a gateway, whatever `Connection` says. `Trailer` is none of them: what it announces is
/// passed on. `Expect` is answered by whoever reads the body, which is the gateway (RFC 9110, 10.1.1).
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    remove_where(headers, |name| field_names::class(name.as_str()).is_some_and(Class::ends_here));
}

/// Takes out the trailers that mean something in a head alone, or that a rule or a hook has decided about there.
pub fn screen_trailers(trailers: &mut HeaderMap, changed: &Changed) {
    remove_where(trailers, |name| field_names::find(name.as_str()).is_some() || changed.covers(name.as_str()));
}

/// Takes out the fields whose names meet `are_such`.
pub fn remove_where(headers: &mut HeaderMap, are_such: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&are_such) {
        return;
    }
    // Few are, most often one: so many are kept beside the map without an allocation.
    let mut few = [const { None }; 3];
    for (place, name) in few.iter_mut().zip(headers.keys().filter(|name| are_such(name))) {
        *place = Some(name.clone());
    }
    let full = few.last().is_some_and(Option::is_some);
    for name in few.into_iter().flatten() {
        headers.remove(name);
    }
    if full {
        let more: Vec<_> = headers.keys().filter(|name| are_such(name)).cloned().collect();
        for name in more {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tidegate_dsl::plan;

    use super::*;
    use crate::testing;

    fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_connection_names_goes_on_every_line_whatever_stands_beside_it() {
        let mut map = headers(&[
            ("connection", b"close, X-One"),
            ("connection", b" x-two ,\xe9, , x y, authorization"),
            ("connection", b"Keep-Alive"),
            ("x-one", b"1"),
            ("x-two", b"2"),
            ("x-three", b"3"),
            ("authorization", b"Basic eA=="),
        ]);
        remove_nominated(&mut map);
        assert_eq!(names(&map), ["connection", "x-three"]);
    }

    #[test]
    fn what_frames_a_message_and_what_says_where_it_came_from_cannot_be_named_away() {
        let kept = [
            "content-length",
            "forwarded",
            "host",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "via",
            "x-forwarded-for",
            "x-forwarded-proto",
        ];
        let mut map = headers(&kept.map(|name| (name, &b"1"[..])));
        map.insert(CONNECTION, HeaderValue::from_str(&kept.join(",")).unwrap());
        remove_nominated(&mut map);
        map.remove(CONNECTION);
        assert_eq!(names(&map), kept);
    }

    #[test]
    fn what_ends_here_goes_and_nothing_that_is_named() {
        let ending = field_names::names(Class::Connection).chain(field_names::names(Class::Hop));
        let mut map = headers(&ending.map(|name| (name, &b"x-role"[..])).collect::<Vec<_>>());
        assert!(map.len() > 8);
        map.insert("x-role", HeaderValue::from_static("guest"));
        map.insert("trailer", HeaderValue::from_static("x-sum"));
        remove_hop_by_hop(&mut map);
        assert_eq!(names(&map), ["trailer", "x-role"]);
    }

    /// The names that are left of those that a peer at 10.0.0.1 brings.
    fn received(client_ip: plan::ClientIp, lines: &[&str]) -> Vec<String> {
        let mut plan = testing::plan(vec![testing::rule(plan::OTHERWISE, Vec::new(), Vec::new(), testing::to(0))]);
        plan.listeners[0].client_ip = client_ip;
        let engine = Engine::build(Arc::new(plan), None).unwrap();
        let mut map = headers(&lines.iter().map(|name| (*name, &b"1"[..])).collect::<Vec<_>>());
        let kinds = FieldKinds::of(&map);
        engine.receive(ListenerId(0), [10, 0, 0, 1].into(), &mut map, kinds);
        names(&map).into_iter().map(str::to_owned).collect()
    }

    const FORGED: [&str; 10] = [
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "x-forwarded-clientcert-subjectdn",
        "x_forwarded_clientcert_subjectdn",
        "x-forwarded_proto",
        "x.forwarded.host",
        "x_forwarded_for",
        "content_length",
        "transfer_encoding",
        "proxy_authorization",
    ];

    #[test]
    fn nobody_brings_what_the_gateway_says_but_a_trusted_peer() {
        let trusting = |network: &str| {
            let networks = vec![network.parse().unwrap()];
            plan::ClientIp::XForwardedFor(plan::NetworkSet { lists: Vec::new(), networks })
        };
        let lines = [&FORGED[..], &["via", "x-forwarded-for", "x_role", "x-forwarded", "content_type"]].concat();
        let left = ["content_type", "via", "x-forwarded", "x-forwarded-for", "x_role"];
        let by_header = plan::ClientIp::ProxyProtocol(plan::NetworkSet {
            lists: Vec::new(),
            networks: vec!["10.0.0.0/8".parse().unwrap()],
        });
        for setting in
            [plan::ClientIp::Peer, plan::ClientIp::XForwardedForLeftmost, trusting("192.0.2.0/24"), by_header]
        {
            assert_eq!(received(setting, &lines), left);
        }
        assert_eq!(received(trusting("10.0.0.0/8"), &lines).len(), lines.len());
    }

    #[test]
    fn nobody_speaks_of_a_certificate_where_one_is_asked_for() {
        let mut plan = testing::plan(vec![testing::rule(plan::OTHERWISE, Vec::new(), Vec::new(), testing::to(0))]);
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        plan.listeners[0].client_ip = plan::ClientIp::XForwardedFor(plan::NetworkSet { lists: Vec::new(), networks });
        plan.listeners[0].tls = Some(plan::ListenerTls {
            certificates: vec![plan::CertificateId(0)],
            policy: None,
            client_ca: Some(plan::ClientCa { ca: plan::CaId(0), required: false }),
            http2: false,
            early_data: false,
        });
        let engine = Engine::build(Arc::new(plan), None).unwrap();
        let mut map = headers(&[
            ("x-forwarded-clientcert-subjectdn", b"CN=admin"),
            ("x_forwarded_clientcert_anything", b"1"),
            ("x-forwarded-prefix", b"/a"),
        ]);
        let kinds = FieldKinds::of(&map);
        engine.receive(ListenerId(0), [10, 0, 0, 1].into(), &mut map, kinds);
        assert_eq!(names(&map), ["x-forwarded-prefix"]);
    }

    #[test]
    fn trailers_bring_nothing_that_a_head_decides() {
        let mut changed = Changed::watched();
        changed.note(&HeaderName::from_static("x-role"));
        let mut map = headers(
            &[
                "x-role",
                "x_role",
                "x-sum",
                "cookie",
                "connection",
                "x-forwarded-for",
                "x_forwarded_proto",
                "host",
                "grpc-status",
            ]
            .map(|name| (name, &b"1"[..])),
        );
        screen_trailers(&mut map, &changed);
        assert_eq!(names(&map), ["grpc-status", "x-sum"]);
        let mut map = headers(&[("x-role", b"1")]);
        screen_trailers(&mut map, &Changed::default());
        assert_eq!(names(&map), ["x-role"], "nobody decided about it");
    }

    proptest! {
        #[test]
        fn nothing_is_left_of_what_goes(names in proptest::collection::vec("[a-c]{1,3}", 0..40)) {
            let mut map = HeaderMap::new();
            for name in &names {
                map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("1"));
            }
            let before = map.clone();
            remove_where(&mut map, |name| name.as_str().contains('a'));
            prop_assert!(map.keys().all(|name| !name.as_str().contains('a')));
            for (name, value) in before.iter().filter(|(name, _)| !name.as_str().contains('a')) {
                prop_assert!(map.get_all(name).iter().any(|left| left == value));
            }
        }

        #[test]
        fn any_connection_is_taken(line in proptest::collection::vec(0x20_u8.., 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut map = HeaderMap::from_iter([(CONNECTION, value)]);
                remove_nominated(&mut map);
                prop_assert_eq!(map.len(), 1);
            }
        }
    }
}
