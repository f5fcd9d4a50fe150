//! Checks of what only the whole policy shows about TLS and protocols: certificates that are of no use, groups that
//! cannot be reached, tests that nothing can meet.

use super::checker::Checker;
use super::gathered::{ConnectionTest, ListenerSpots, Owner, Wanted};
use crate::certificate_facts::KeyAlgorithm;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::http_version::HttpVersion;
use crate::plan::{
    CipherSuite, GroupId, GroupProtocol, Listener, ListenerAction, ListenerTls, Outcome, Paths, Plan, Protocol,
    TlsPolicy, TlsVersion,
};
use crate::source::Span;

impl Checker<'_, '_> {
    /// Runs all checks of this file, for a policy without errors so far.
    pub(crate) fn check_tls(&mut self, plan: &Plan) {
        for (at, listener) in plan.listeners.iter().enumerate() {
            if let Some(tls) = &listener.tls {
                self.check_handshake(plan, at, tls);
                self.check_chosen(plan, at, tls);
            }
            self.check_grpc(plan, at, listener);
        }
        self.check_asked(plan);
        self.check_alt_svc(plan);
    }

    /// Warns of steps that overrule what `quic-upgrade` tells clients.
    fn check_alt_svc(&mut self, plan: &Plan) {
        for (span, owner) in std::mem::take(&mut self.gathered.alt_svc) {
            let of = |(at, listener): &(usize, &Listener)| match owner {
                Some(Owner::Listener(id)) => id.0 == *at,
                Some(Owner::Rules(id)) => listener.action == ListenerAction::Rules(id),
                None => false,
            };
            let upgrades = |(_, listener): &(usize, &Listener)| listener.quic_upgrade.is_some();
            let Some((at, listener)) = plan.listeners.iter().enumerate().filter(of).find(upgrades) else { continue };
            let name = quoted(&listener.name);
            let message = format!("this overrules what `quic-upgrade` of the listener {name} tells clients");
            let mut report = Diagnostic::new(codes::OWN_ALT_SVC, span, message)
                .help("remove one of the two; for another port or time write `quic-upgrade NAME port N max-age D`");
            if let Some(upgrade) = self.spot(at, |spots| spots.upgrade) {
                report = report.also(upgrade, "HTTP/3 is offered here");
            }
            self.report(report);
        }
    }

    fn spot(&self, at: usize, of: fn(&ListenerSpots) -> Option<Span>) -> Option<Span> {
        self.gathered.spots.get(at).and_then(of)
    }

    /// 0-RTT data has its version, and nobody is asked for a certificate.
    fn check_early_data(&mut self, at: usize, tls: &ListenerTls, policy: &TlsPolicy) {
        let span = self.spot(at, |spots| spots.early_data).unwrap_or_default();
        if !policy.versions.contains(&TlsVersion::Tls13) {
            let message = format!("0-RTT data needs TLS 1.3, and the policy {} has none", quoted(&policy.name));
            let mut report = Diagnostic::new(codes::USELESS_SUITE, span, message);
            if let Some(policy) = self.spot(at, |spots| spots.policy) {
                report = report.also(policy, "the policy is named here");
            }
            self.report(report.help("remove `early-data`, or take a policy with `tls1.3`"));
        } else if tls.client_ca.is_some() {
            let message = "no 0-RTT data is taken where clients are asked for a certificate";
            let mut report = Diagnostic::new(codes::EARLY_CERTIFICATE, span, message);
            if let Some(client_ca) = self.spot(at, |spots| spots.client_ca) {
                report = report.also(client_ca, "certificates are asked for here");
            }
            self.report(report.help("remove `early-data`, or ask for certificates on another listener"));
        }
    }

    /// Some suite can use the key of some certificate.
    fn check_handshake(&mut self, plan: &Plan, at: usize, tls: &ListenerTls) {
        let Some(policy) = tls.policy.and_then(|id| plan.tls_policies.get(id.0)) else { return };
        let name = quoted(&policy.name);
        if tls.early_data {
            self.check_early_data(at, tls, policy);
        }
        for (place, id) in tls.certificates.iter().enumerate() {
            let Some(Some(facts)) = self.gathered.certificates.get(id.0) else { continue };
            if policy.suites.iter().any(|suite| serves(*suite, facts.key)) {
                continue;
            }
            let kind = if facts.key == KeyAlgorithm::Rsa { "RSA" } else { "ECDSA" };
            let certificate =
                plan.certificates.get(id.0).map(|certificate| quoted(&certificate.name)).unwrap_or_default();
            let span = self.gathered.spots.get(at).and_then(|spots| spots.certificates.get(place).copied());
            let message =
                format!("no suite of the policy {name} can use the {kind} key of the certificate {certificate}");
            let mut report = Diagnostic::new(codes::NO_HANDSHAKE, span.unwrap_or_default(), message);
            if let Some(policy) = self.spot(at, |spots| spots.policy) {
                report = report.also(policy, "the policy is named here");
            }
            self.report(report.help(missing_suite(policy, kind)));
        }
    }

    /// A certificate behind the first has a name of its own.
    fn check_chosen(&mut self, plan: &Plan, at: usize, tls: &ListenerTls) {
        let facts = |id: usize| self.gathered.certificates.get(id).and_then(Option::as_ref);
        let mut reports = Vec::new();
        for (place, id) in tls.certificates.iter().enumerate().skip(1) {
            let Some(own) = facts(id.0) else { continue };
            let before = || tls.certificates.iter().take(place).filter_map(|id| facts(id.0));
            let taken = |name: &String| before().any(|other| other.key == own.key && other.names.contains(name));
            if !own.names.iter().all(taken) {
                continue;
            }
            let name = plan.certificates.get(id.0).map(|certificate| quoted(&certificate.name)).unwrap_or_default();
            let (why, help) = if own.names.is_empty() {
                (
                    "it has no DNS name",
                    "a certificate behind the first is chosen by its names; put it first, or remove it",
                )
            } else {
                ("those before it have all its names", "remove it, or the one that it is to replace")
            };
            let span = self.gathered.spots.get(at).and_then(|spots| spots.certificates.get(place).copied());
            let message = format!("the certificate {name} is never chosen: {why}");
            reports.push(Diagnostic::new(codes::NEVER_CHOSEN, span.unwrap_or_default(), message).help(help));
        }
        reports.into_iter().for_each(|report| self.report(report));
    }

    /// gRPC comes over HTTP/2. Clear text takes HTTP/2 from clients that begin with it, and QUIC carries HTTP/3.
    fn check_grpc(&mut self, plan: &Plan, at: usize, listener: &Listener) {
        let without = listener.protocol == Protocol::Https && listener.tls.as_ref().is_some_and(|tls| !tls.http2);
        if !without {
            return;
        }
        let grpc = |id: &GroupId| plan.groups.get(id.0).is_some_and(|group| group.protocol == GroupProtocol::Grpc);
        let Some(group) = reached(plan, &listener.action).into_iter().find(grpc) else { return };
        let group = plan.groups.get(group.0).map(|group| quoted(&group.name)).unwrap_or_default();
        let span = self.spot(at, |spots| spots.http2).unwrap_or_default();
        let message = format!("the listener forwards to the gRPC group {group}, and gRPC needs HTTP/2");
        self.report(Diagnostic::new(codes::GRPC, span, message).help("write `http2 on`, or remove the line"));
    }

    /// Warns of tests that no listener behind them can meet.
    fn check_asked(&mut self, plan: &Plan) {
        for ConnectionTest { what, span, owner } in std::mem::take(&mut self.gathered.asked) {
            let mut listeners: Vec<&Listener> = match owner {
                Some(Owner::Listener(id)) => plan.listeners.get(id.0).into_iter().collect(),
                Some(Owner::Rules(id)) => {
                    let uses = |listener: &&Listener| listener.action == ListenerAction::Rules(id);
                    plan.listeners.iter().filter(uses).collect()
                }
                None => continue,
            };
            let all = listeners.len();
            listeners.retain(|listener| can(plan, listener, what));
            if all == 0 || !listeners.is_empty() {
                continue;
            }
            let (what, help) = unmet(what);
            let message = format!("no listener behind this test {what}");
            self.report(Diagnostic::new(codes::UNMET_TEST, span, message).help(help));
        }
    }

    /// The tests that were read since `from`, and the steps that belong to nobody yet, belong to this.
    pub(crate) fn own_asked(&mut self, from: usize, owner: Owner) {
        self.gathered.asked.iter_mut().skip(from).for_each(|asked| asked.owner = Some(owner));
        for (_, nobody) in &mut self.gathered.alt_svc {
            nobody.get_or_insert(owner);
        }
    }

    /// A test asks something of the connection.
    pub(crate) fn ask(&mut self, what: Wanted, span: Span) {
        self.gathered.asked.push(ConnectionTest { what, span, owner: None });
    }
}

/// Whether a suite can be used with a key: those of TLS 1.3 with every key.
fn serves(suite: CipherSuite, key: KeyAlgorithm) -> bool {
    let name = suite.name();
    match key {
        _ if suite.version() == TlsVersion::Tls13 => true,
        KeyAlgorithm::Rsa => name.contains("_RSA_"),
        KeyAlgorithm::Ecdsa | KeyAlgorithm::Ed25519 => name.contains("_ECDSA_"),
        KeyAlgorithm::Other => false,
    }
}

fn missing_suite(policy: &TlsPolicy, kind: &str) -> String {
    let fits = |suite: &&CipherSuite| {
        policy.versions.contains(&suite.version()) && suite.name().contains(&format!("_{kind}_"))
    };
    match CipherSuite::ALL.iter().find(fits) {
        Some(suite) => {
            format!("add a suite for it to the policy, as `\"{}\"`, or take another certificate", suite.name())
        }
        None => "take another certificate, or another policy".to_owned(),
    }
}

/// The groups that requests of a listener may go to.
fn reached(plan: &Plan, action: &ListenerAction) -> Vec<GroupId> {
    match action {
        ListenerAction::Forward(targets) => targets.iter().map(|target| target.group).collect(),
        ListenerAction::Rules(id) => {
            let rules = plan.rule_sets.get(id.0).map(|set| set.rules.as_slice()).unwrap_or_default();
            let outcomes = rules.iter().filter_map(|rule| match &rule.outcome {
                Outcome::Forward(forward) => Some(forward),
                _ => None,
            });
            outcomes.flat_map(|forward| forward.targets.iter().map(|target| target.group)).collect()
        }
    }
}

/// Whether a connection of a listener can have what a test asks for.
fn can(plan: &Plan, listener: &Listener, what: Wanted) -> bool {
    let tls = listener.tls.as_ref();
    match what {
        Wanted::ClientCertificate => tls.is_some_and(|tls| tls.client_ca.is_some()),
        Wanted::Handshake => tls.is_some(),
        Wanted::Version(version) => match (listener.protocol, tls.and_then(|tls| tls.policy)) {
            (Protocol::Http, _) => false,
            (Protocol::Quic, _) | (_, None) => version == TlsVersion::Tls13,
            (_, Some(id)) => plan.tls_policies.get(id.0).is_some_and(|policy| policy.versions.contains(&version)),
        },
        Wanted::Http(version) => version.is_spoken_at(listener),
        Wanted::EmptySegment | Wanted::Parameters => listener.paths == Paths::Plain,
    }
}

/// The sentence that no listener meets the test, and the mend.
fn unmet(what: Wanted) -> (String, String) {
    let (what, help) = match what {
        Wanted::ClientCertificate => (
            "asks clients for certificates",
            "write `client-ca NAME optional` in an `https` listener, or remove the test",
        ),
        Wanted::Handshake => ("speaks TLS", "use these rules in an `https` or `quic` listener, or remove the test"),
        Wanted::Version(version) => {
            let what = format!("offers {}", one_of([version.word()]));
            return (what, "look at its `tls-policy`, or remove the test".to_owned());
        }
        Wanted::Http(HttpVersion::H1) => ("speaks HTTP/1.1", "a `quic` listener speaks `h3` alone"),
        Wanted::Http(HttpVersion::H2) => {
            ("speaks HTTP/2", "write `http2 on` in an `https` listener, or remove the test")
        }
        Wanted::Http(HttpVersion::H3) => {
            ("speaks HTTP/3", "use these rules in a `quic` listener, too, or remove the test")
        }
        Wanted::EmptySegment => {
            ("lets it see `//` in a path", "write one slash, or `paths plain` in the listener to keep runs of them")
        }
        Wanted::Parameters => (
            "lets it see a `;` in a path",
            "remove it and what follows it in its segment, or write `paths plain` in the listener",
        ),
    };
    (what.to_owned(), help.to_owned())
}
