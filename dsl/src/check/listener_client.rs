//! The words of a listener about clients, and what a backend is told about them: `client-ip`, `forwarded`,
//! `forwarded-for`.

use ipnet::IpNet;

use super::args::Args;
use super::checker::Checker;
use super::listener_tls::Speaks;
use super::names::Kind;
use super::networks::{canonical, hold_everybody};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::plan::{ClientIp, Forwarded, ForwardedFor, LimitKey, ListenerAction, NetworkSet, Peers, Plan, Step};
use crate::source::Span;
use crate::vocabulary::Place;

impl<'t> Checker<'_, 't> {
    /// `client-ip peer`, `client-ip x-forwarded-for trusted LIST|leftmost`, `client-ip proxy-protocol trusted LIST`
    pub(crate) fn client_ip(&mut self, args: &mut Args<'_, 't>, speaks: Speaks) -> Option<ClientIp> {
        let from = self.choose(args, Place::ClientIp)?.name;
        self.fits(Place::ClientIp, from, args.last(), speaks)?;
        if from == "peer" {
            return Some(ClientIp::Peer);
        }
        let by_header = from == "x-forwarded-for";
        self.choose(args, Place::Trusted)?;
        if by_header && args.eat("leftmost") {
            self.forgeable(args.last(), "`leftmost` takes the address that the client itself wrote");
            return Some(ClientIp::XForwardedForLeftmost);
        }
        if !by_header && args.eat("leftmost") {
            let message = "`leftmost` takes an entry of `X-Forwarded-For`, and the PROXY protocol has no list";
            self.report(
                Diagnostic::new(codes::WRONG_KIND, args.last(), message)
                    .help("write `trusted` and the networks of the proxies that send it"),
            );
            return None;
        }
        let start = args.rest().first().map(|item| item.span).unwrap_or_default();
        let set = self.network_set(args)?;
        if !by_header {
            return Some(self.proxy_protocol(set, start.to(args.last())));
        }
        if self.trusts_everybody(&set) {
            self.forgeable(start.to(args.last()), "these networks hold every address, so the leftmost is taken");
            return Some(ClientIp::XForwardedForLeftmost);
        }
        Some(ClientIp::XForwardedFor(set))
    }

    /// `client-ip proxy-protocol`. With networks that hold every address each peer may say where it comes from; nothing
    /// stands further left that could be taken.
    fn proxy_protocol(&mut self, set: NetworkSet, span: Span) -> ClientIp {
        if self.trusts_everybody(&set) {
            self.forgeable(span, "these networks hold every address, and each peer says its own");
        }
        ClientIp::ProxyProtocol(set)
    }

    /// Warns of a listener whose `deny-from` leaves nobody over.
    pub(crate) fn doubt_peers(&mut self, peers: &Peers, span: Span) {
        let Some(deny) = &peers.deny else { return };
        let denied = IpNet::aggregate(&self.networks_of(deny));
        let nobody = match &peers.allow {
            Some(allow) => {
                self.networks_of(allow).iter().all(|network| denied.iter().any(|denied| denied.contains(network)))
            }
            None => denied.iter().filter(|network| network.prefix_len() == 0).count() == 2,
        };
        if nobody {
            self.report(
                Diagnostic::new(codes::NOBODY, span, "this leaves nobody who may connect")
                    .help("`deny-from` counts before `allow-from`: name fewer, or write `state stopped`"),
            );
        }
    }

    /// The networks of a set and of its lists.
    fn networks_of(&self, set: &NetworkSet) -> Vec<IpNet> {
        let listed = set.lists.iter().filter_map(|list| self.listed.get(list.0)).flatten();
        listed.chain(&set.networks).copied().map(canonical).collect()
    }

    fn trusts_everybody(&self, set: &NetworkSet) -> bool {
        hold_everybody(&self.networks_of(set))
    }

    fn forgeable(&mut self, span: Span, why: &str) {
        self.report(
            Diagnostic::new(codes::FORGEABLE, span, format!("a client can choose its own address: {why}"))
                .help("write `trusted` and the networks of the proxies that stand before this gateway"),
        );
    }

    /// `forwarded [ … ]|off`
    pub(crate) fn forwarded(
        &mut self,
        args: &mut Args<'_, 't>,
        forwarded: &mut Forwarded,
        speaks: Speaks,
    ) -> Option<()> {
        *forwarded = nothing_forwarded();
        if args.eat("off") {
            return Some(());
        }
        let mut right = true;
        for mut element in self.alternatives(args, "what is forwarded, or `off`")? {
            let Some(word) = self.choose(&mut element, Place::Forwarded) else {
                right = false;
                continue;
            };
            right &= self.fits(Place::Forwarded, word.name, element.last(), speaks).is_some();
            match word.name {
                "for" => forwarded.forwarded_for = Some(ForwardedFor::Append),
                "proto" => forwarded.proto = true,
                "port" => forwarded.port = true,
                "client-port" => forwarded.client_port = true,
                "host" => forwarded.host = true,
                "listener-id" => forwarded.listener_id = true,
                _ => forwarded.client_cert = true,
            }
            right &= self.element_done(&mut element).is_some();
        }
        right.then_some(())
    }

    /// `forwarded-for` after everything was read: it needs `for`, except to remove.
    pub(crate) fn forwarded_for(&mut self, forwarded: &mut Forwarded, mode: ForwardedFor, span: Span) -> Option<()> {
        if forwarded.forwarded_for.is_none() && mode != ForwardedFor::Remove {
            self.report(
                Diagnostic::new(
                    codes::FORWARDED,
                    span,
                    "`forwarded-for` says how to write a header that `forwarded` leaves out",
                )
                .help("add `for` to `forwarded`, or remove this line"),
            );
            return None;
        }
        forwarded.forwarded_for = Some(mode);
        Some(())
    }

    /// Warns where a rule counts by an address that clients can choose.
    pub(crate) fn check_client_limits(&mut self, plan: &Plan) {
        for listener in &plan.listeners {
            let ListenerAction::Rules(rules) = &listener.action else { continue };
            if listener.client_ip != ClientIp::XForwardedForLeftmost {
                continue;
            }
            let by_client =
                |step: &Step| matches!(step, Step::Limit(limit) if matches!(limit.per, LimitKey::ClientIp(_)));
            let rules = plan.rule_sets.get(rules.0).map(|set| set.rules.as_slice()).unwrap_or_default();
            if let Some(rule) = rules.iter().find(|rule| rule.steps.iter().any(by_client)) {
                let message = format!(
                    "the rule `{}` limits by client address, and the listener `{}` believes every address",
                    rule.name, listener.name
                );
                let span = self.declared_at(Kind::Listener, &listener.name);
                self.report(
                    Diagnostic::new(codes::FORGEABLE, span, message)
                        .help("a client can choose its own address: trust only the proxies before this gateway"),
                );
            }
        }
    }
}

pub(crate) fn nothing_forwarded() -> Forwarded {
    Forwarded {
        forwarded_for: None,
        proto: false,
        port: false,
        client_port: false,
        host: false,
        listener_id: false,
        client_cert: false,
    }
}
