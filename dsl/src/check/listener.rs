//! `listener`: where connections come in, what clients may send, who decides.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Checker;
use super::args::Args;
use super::names::Kind;
use super::networks::holds_everybody;
use super::regex::Matches;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{
    Bind, ClientIp, Forwarded, ForwardedFor, LimitKey, Listener, ListenerAction, ListenerLimits, ListenerState, Plan,
    Protocol, RuleSetId, Step,
};
use crate::source::Span;
use crate::value;
use crate::vocabulary::{Place, Word};

/// Listeners of a policy: each holds a socket in every worker.
const MAX_LISTENERS: usize = 100;

/// More listeners than this are doubtful.
const MANY_LISTENERS: usize = 50;

/// A longer timeout is doubtful.
const LONG_TIMEOUT: Duration = Duration::from_secs(600);

/// Labels of a listener: they reach every metric.
const MAX_LABELS: usize = 32;

/// A listener while it is read.
struct Draft {
    listener: Listener,
    bind: Option<Span>,
    action: Option<(Span, &'static str)>,
    forwarded_for: Option<(ForwardedFor, Span)>,
    label_spans: HashMap<String, Span>,
}

impl<'t> Checker<'_, 't> {
    /// `listener http NAME { … }`, and the place of its port.
    pub(crate) fn listener(&mut self, args: &mut Args<'_, 't>) -> Option<(Listener, Span)> {
        self.choose(args, Place::ListenerProtocol)?;
        let (name, _) = self.new_name(args, "a name for the listener")?;
        let block = self.block(args)?;
        let mut draft = Draft {
            listener: defaults(name),
            bind: None,
            action: None,
            forwarded_for: None,
            label_spans: HashMap::new(),
        };
        let lines = self.lines(block, Place::Listener);
        let (whole, mut right) = (lines.whole, lines.whole);
        for mut line in lines.all {
            right &= self.listener_line(line.word, &mut line.args, &mut draft).is_some();
        }
        if whole {
            right &= self.listener_whole(args, &draft).is_some();
        }
        let Draft { mut listener, bind, forwarded_for, .. } = draft;
        if let Some((mode, span)) = forwarded_for {
            right &= self.forwarded_for(&mut listener.forwarded, mode, span).is_some();
        }
        right.then_some((listener, bind?))
    }

    fn listener_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        let head = args.head;
        let listener = &mut draft.listener;
        match word.name {
            "port" | "address" => self.bind(word, args, draft)?,
            "rules" | "forward" => self.action(word, args, draft)?,
            "idle-timeout" => {
                listener.idle_timeout = self.duration(args, word)?;
                self.warn_if_long(args, listener.idle_timeout);
            }
            "request-timeout" => {
                listener.request_timeout = self.duration(args, word)?;
                self.warn_if_long(args, listener.request_timeout);
            }
            "client-ip" => listener.client_ip = self.client_ip(args)?,
            "forwarded" => self.forwarded(args, &mut listener.forwarded)?,
            "forwarded-for" => {
                let mode = match self.choose(args, Place::ForwardedFor)?.name {
                    "append" => ForwardedFor::Append,
                    "replace" => ForwardedFor::Replace,
                    _ => ForwardedFor::Remove,
                };
                draft.forwarded_for = Some((mode, head));
            }
            "access-log" => listener.access_log = self.switch(args)?,
            "limits" => {
                listener.limits = self.listener_limits(args)?;
                return Some(());
            }
            "run" => listener.run.push(self.run(args)?),
            "on-response" => {
                listener.on_response.push(self.on_response(args, &Matches::default())?);
                return Some(());
            }
            "label" => self.label(args, draft)?,
            _ => {
                listener.state = match self.choose(args, Place::State)?.name {
                    "stopped" => ListenerState::Stopped,
                    _ => ListenerState::Running,
                }
            }
        }
        self.done(args)
    }

    fn bind(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        if let Some(first) = draft.bind.replace(args.head) {
            self.report(
                Diagnostic::new(codes::PORT, args.head, "a listener has either `port` or `address`, not both")
                    .also(first, "the other stands here")
                    .help("remove one of the two"),
            );
            return None;
        }
        draft.listener.bind = if word.name == "port" {
            Bind::Port(u16::try_from(self.count(args, word)?).ok()?)
        } else {
            Bind::Address(self.value(args, "an address and a port", value::socket)?.0)
        };
        draft.bind = Some(args.span());
        Some(())
    }

    fn action(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        let head = args.head;
        if let Some((first, other)) = draft.action {
            self.report(
                Diagnostic::new(codes::LISTENER_ACTION, head, format!("`{}` stands beside `{other}`", word.name))
                    .also(first, "this already decides about every request")
                    .help("remove one of the two"),
            );
        }
        draft.action = Some((head, word.name));
        draft.listener.action = if word.name == "rules" {
            ListenerAction::Rules(RuleSetId(self.reference(args, Kind::Rules)?.0))
        } else {
            ListenerAction::Forward(self.targets(args)?)
        };
        Some(())
    }

    /// What only the whole listener shows.
    fn listener_whole(&mut self, args: &Args<'_, 't>, draft: &Draft) -> Option<()> {
        let name = quoted(&draft.listener.name);
        let mut right = true;
        if draft.bind.is_none() {
            self.report(
                Diagnostic::new(codes::PORT, args.span(), format!("the listener {name} has no port"))
                    .help("write `port 8080`, or `address 127.0.0.1:8080`"),
            );
            right = false;
        }
        if draft.action.is_none() {
            self.report(
                Diagnostic::new(
                    codes::LISTENER_ACTION,
                    args.span(),
                    format!("the listener {name} has neither `rules` nor `forward`"),
                )
                .help("write `rules NAME`, or `forward GROUP`"),
            );
            right = false;
        }
        right.then_some(())
    }

    pub(crate) fn warn_if_long(&mut self, args: &Args<'_, 't>, timeout: Duration) {
        if timeout > LONG_TIMEOUT {
            let shown = value::show_duration(timeout);
            self.report(
                Diagnostic::new(
                    codes::LONG_TIMEOUT,
                    args.last(),
                    format!("`{}` of `{shown}` is very long", args.of.name),
                )
                .help("connections that nobody uses are held as long; up to `600s` is usual"),
            );
        }
    }

    /// `client-ip peer`, `client-ip x-forwarded-for trusted LIST|leftmost`
    fn client_ip(&mut self, args: &mut Args<'_, 't>) -> Option<ClientIp> {
        if self.choose(args, Place::ClientIp)?.name == "peer" {
            return Some(ClientIp::Peer);
        }
        self.choose(args, Place::Trusted)?;
        if args.eat("leftmost") {
            self.forgeable(args.last(), "`leftmost` takes the address that the client itself wrote");
            return Some(ClientIp::XForwardedForLeftmost);
        }
        let start = args.rest().first().map(|item| item.span).unwrap_or_default();
        let set = self.network_set(args)?;
        let listed = set.lists.iter().any(|list| self.lists_everybody.get(list.0).copied().unwrap_or_default());
        if listed || holds_everybody(&set.networks) {
            self.forgeable(start.to(args.last()), "these networks hold every address, so the leftmost is taken");
            return Some(ClientIp::XForwardedForLeftmost);
        }
        Some(ClientIp::XForwardedFor(set))
    }

    fn forgeable(&mut self, span: Span, why: &str) {
        self.report(
            Diagnostic::new(codes::FORGEABLE, span, format!("a client can choose its own address: {why}"))
                .help("write `trusted` and the networks of the proxies that stand before this gateway"),
        );
    }

    /// `forwarded [ … ]|off`
    fn forwarded(&mut self, args: &mut Args<'_, 't>, forwarded: &mut Forwarded) -> Option<()> {
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
            match word.name {
                "for" => forwarded.forwarded_for = Some(ForwardedFor::Append),
                "proto" => forwarded.proto = true,
                "port" => forwarded.port = true,
                "client-port" => forwarded.client_port = true,
                "host" => forwarded.host = true,
                _ => forwarded.listener_id = true,
            }
            right &= self.element_done(&mut element).is_some();
        }
        right.then_some(())
    }

    /// `forwarded-for` after everything was read: it needs `for`, except to remove.
    fn forwarded_for(&mut self, forwarded: &mut Forwarded, mode: ForwardedFor, span: Span) -> Option<()> {
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

    /// `limits { … }`
    fn listener_limits(&mut self, args: &mut Args<'_, 't>) -> Option<ListenerLimits> {
        let block = self.block(args)?;
        self.warn_if_empty(args.of.name, block);
        let mut limits = default_limits();
        let lines = self.lines(block, Place::ListenerLimits);
        let mut right = lines.whole;
        for mut line in lines.all {
            right &= self.listener_limit(line.word, &mut line.args, &mut limits).is_some();
        }
        right.then_some(limits)
    }

    fn listener_limit(
        &mut self,
        word: &'static Word,
        args: &mut Args<'_, 't>,
        limits: &mut ListenerLimits,
    ) -> Option<()> {
        match word.name {
            "header-bytes" => limits.header_bytes = self.size(args, word)?,
            "headers" => limits.headers = self.count(args, word)?,
            "uri-bytes" => limits.uri_bytes = self.size(args, word)?,
            "body-bytes" => limits.body_bytes = self.size_or_off(args, word)?,
            "connections" => limits.connections = self.count(args, word)?,
            _ => limits.requests_per_connection = self.count_or_off(args, word)?,
        }
        self.done(args)
    }

    /// `label KEY "VALUE"`
    fn label(&mut self, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        let (key, span) = self.new_name(args, "the key of the label")?;
        let (value, _) = self.text(args, "the value of the label")?;
        if let Some(first) = draft.label_spans.insert(key.clone(), span) {
            self.report(
                Diagnostic::new(codes::DUPLICATE_NAME, span, format!("the label {} stands twice", quoted(&key)))
                    .also(first, "it stands here first")
                    .help("remove one of the two"),
            );
            return None;
        }
        if draft.listener.labels.len() >= MAX_LABELS {
            self.report(
                Diagnostic::new(codes::OUT_OF_RANGE, span, "the listener has too many labels")
                    .help(format!("a listener has at most {MAX_LABELS} labels")),
            );
            return None;
        }
        draft.listener.labels.push((key, value));
        Some(())
    }

    /// What only all listeners together show: ports, and how many there are.
    pub(crate) fn check_listeners(&mut self, listeners: &[(Listener, Span)]) {
        let count = listeners.len();
        let Some((_, last)) = listeners.last() else { return };
        if count > MAX_LISTENERS {
            self.report(
                Diagnostic::new(codes::TOO_MANY_LISTENERS, *last, format!("there are {count} listeners"))
                    .help(format!("a policy has at most {MAX_LISTENERS}")),
            );
            return;
        }
        if count > MANY_LISTENERS {
            self.report(
                Diagnostic::new(codes::MANY_LISTENERS, *last, format!("there are {count} listeners"))
                    .help(format!("a policy has at most {MAX_LISTENERS}; a listener can serve many hosts")),
            );
        }
        let mut by_port: HashMap<u16, Vec<usize>> = HashMap::new();
        for (at, (listener, span)) in listeners.iter().enumerate() {
            let others = by_port.entry(listener.bind.port()).or_default();
            let clash = others
                .iter()
                .filter_map(|other| listeners.get(*other))
                .find(|(other, _)| clash(&listener.bind, &other.bind));
            if let Some((other, first)) = clash {
                let message =
                    format!("port `{}` is already taken by the listener `{}`", listener.bind.port(), other.name);
                self.report(
                    Diagnostic::new(codes::PORT_CLASH, *span, message)
                        .also(*first, "it is taken here")
                        .help("choose another port, or let one listener do the work of both"),
                );
            }
            others.push(at);
        }
    }

    /// Warns where a rule counts by an address that clients can choose.
    pub(crate) fn check_client_limits(&mut self, plan: &Plan) {
        for listener in &plan.listeners {
            let ListenerAction::Rules(rules) = &listener.action else { continue };
            if listener.client_ip != ClientIp::XForwardedForLeftmost {
                continue;
            }
            let by_client = |step: &Step| matches!(step, Step::Limit(limit) if limit.per == LimitKey::ClientIp);
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

/// Whether two addresses cannot be listened on at once.
fn clash(a: &Bind, b: &Bind) -> bool {
    match (a, b) {
        (Bind::Address(a), Bind::Address(b)) => {
            a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        }
        (a, b) => a.port() == b.port(),
    }
}

/// A listener as it is before its words are read.
fn defaults(name: String) -> Listener {
    let place = Place::Listener;
    Listener {
        name,
        protocol: Protocol::Http,
        bind: Bind::Address(std::net::SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0)),
        tls: None,
        quic_upgrade: None,
        idle_timeout: place.default_duration("idle-timeout"),
        request_timeout: place.default_duration("request-timeout"),
        tunnel_timeout: place.default_duration("tunnel-timeout"),
        compression: Vec::new(),
        client_ip: ClientIp::Peer,
        forwarded: Forwarded { forwarded_for: Some(ForwardedFor::Append), proto: true, ..nothing_forwarded() },
        tracing: None,
        access_log: place.default_switch("access-log"),
        limits: default_limits(),
        run: Vec::new(),
        on_response: Vec::new(),
        labels: Vec::new(),
        state: ListenerState::Running,
        action: ListenerAction::Forward(Vec::new()),
    }
}

fn nothing_forwarded() -> Forwarded {
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

fn default_limits() -> ListenerLimits {
    let number = |name: &str| Place::ListenerLimits.default_number(name);
    let count = |name: &str| number(name).and_then(|n| u32::try_from(n).ok());
    ListenerLimits {
        header_bytes: number("header-bytes").unwrap_or_default(),
        headers: count("headers").unwrap_or_default(),
        uri_bytes: number("uri-bytes").unwrap_or_default(),
        body_bytes: number("body-bytes"),
        connections: count("connections").unwrap_or_default(),
        streams: count("streams").unwrap_or_default(),
        requests_per_connection: count("requests-per-connection"),
    }
}
