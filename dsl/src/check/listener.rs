//! `listener`: where connections come in, what clients may send, who decides.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::args::Args;
use super::checker::Checker;
use super::gathered::ListenerSpots;
use super::listener_client::nothing_forwarded;
use super::listener_limits::default_limits;
use super::listener_tls::TlsDraft;
use super::names::Kind;
use super::regex::Matches;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{
    Bind, ClientIp, Compression, Forwarded, ForwardedFor, Listener, ListenerAction, ListenerState, Paths, Peers,
    Protocol, RuleSetId, Sampling,
};
use crate::source::Span;
use crate::value;
use crate::vocabulary::{Place, Word};

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
    denied_at: Option<Span>,
    tls: TlsDraft,
}

impl<'t> Checker<'_, 't> {
    /// `listener http|https|quic NAME { … }`, and the place of its port. Also keeps where its words stand, for what only
    /// the whole policy shows.
    pub(crate) fn listener(&mut self, args: &mut Args<'_, 't>) -> Option<(Listener, Span)> {
        let mut spots = ListenerSpots::default();
        let listener = self.read_listener(args, &mut spots);
        self.gathered.spots.push(spots);
        listener
    }

    fn read_listener(&mut self, args: &mut Args<'_, 't>, spots: &mut ListenerSpots) -> Option<(Listener, Span)> {
        let protocol = match self.choose(args, Place::ListenerProtocol)?.name {
            "https" => Protocol::Https,
            "quic" => Protocol::Quic,
            _ => Protocol::Http,
        };
        let protocol_at = args.last();
        let (name, name_at) = self.new_name(args, "a name for the listener")?;
        spots.name = name_at;
        let block = self.block(args)?;
        let mut draft = Draft {
            listener: defaults(name, protocol),
            bind: None,
            action: None,
            forwarded_for: None,
            label_spans: HashMap::new(),
            denied_at: None,
            tls: TlsDraft::new((protocol, protocol_at)),
        };
        let lines = self.lines(block, Place::Listener);
        let (whole, mut right) = (lines.whole, lines.whole);
        for mut line in lines.all {
            right &= self.listener_line(line.word, &mut line.args, &mut draft).is_some();
        }
        if whole {
            right &= self.listener_whole(args, &draft).is_some();
        }
        if let Some(span) = draft.denied_at {
            self.doubt_peers(&draft.listener.peers, span);
        }
        let Draft { mut listener, bind, forwarded_for, tls, .. } = draft;
        listener.quic_upgrade = tls.upgrade;
        listener.tls = self.listener_tls(tls, spots);
        if let Some((mode, span)) = forwarded_for {
            right &= self.forwarded_for(&mut listener.forwarded, mode, span).is_some();
        }
        right.then_some((listener, bind?))
    }

    fn listener_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        let head = args.head;
        let speaks = draft.tls.speaks;
        self.fits(Place::Listener, word.name, head, speaks)?;
        let listener = &mut draft.listener;
        match word.name {
            "certificate" | "client-ca" | "tls-policy" | "http2" | "quic-upgrade" | "early-data" => {
                self.tls_line(word, args, &mut draft.tls)?;
            }
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
            "tunnel-timeout" => listener.tunnel_timeout = self.duration(args, word)?,
            "compression" => listener.compression = self.compression(args)?,
            "allow-from" => listener.peers.allow = Some(self.network_set(args)?),
            "deny-from" => {
                listener.peers.deny = Some(self.network_set(args)?);
                draft.denied_at = Some(args.span());
            }
            "client-ip" => listener.client_ip = self.client_ip(args, speaks)?,
            "forwarded" => self.forwarded(args, &mut listener.forwarded, speaks)?,
            "forwarded-for" => {
                let mode = match self.choose(args, Place::ForwardedFor)?.name {
                    "append" => ForwardedFor::Append,
                    "replace" => ForwardedFor::Replace,
                    _ => ForwardedFor::Remove,
                };
                draft.forwarded_for = Some((mode, head));
            }
            "tracing" => listener.tracing = self.traced(args, word)?,
            "paths" => {
                listener.paths = match self.choose(args, Place::Paths)?.name {
                    "plain" => Paths::Plain,
                    "strict" => Paths::Strict,
                    _ => Paths::Merge,
                }
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

    /// Checks of what only the whole listener shows.
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
        right &= self.has_certificate(args, &draft.tls, &name).is_some();
        right.then_some(())
    }

    /// `compression [ … ]|off`, the best first, however it is written.
    fn compression(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<Compression>> {
        if args.eat("off") {
            return Some(Vec::new());
        }
        let mut codings = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, "`br` or `gzip`, or `off`")? {
            let Some(word) = self.choose(&mut element, Place::Compression) else {
                right = false;
                continue;
            };
            let coding = if word.name == "br" { Compression::Br } else { Compression::Gzip };
            right &= self.once(coding, element.last(), &mut codings).is_some();
            right &= self.element_done(&mut element).is_some();
        }
        codings.sort_by_key(|(coding, _)| *coding);
        right.then(|| codings.into_iter().map(|(coding, _)| coding).collect())
    }

    /// `tracing P% [ignore-parent]|off`
    fn traced(&mut self, args: &mut Args<'_, 't>, word: &'static Word) -> Option<Option<Sampling>> {
        if args.eat("off") {
            return Some(None);
        }
        let percent = self.percent(args, word)?;
        if !self.gathered.tracing_declared && !self.names.incomplete {
            self.report(
                Diagnostic::new(
                    codes::TRACING,
                    args.span(),
                    "there is no `tracing` declaration: spans would go nowhere",
                )
                .help("declare it: `tracing otlp { endpoint \"http://127.0.0.1:4317\" }`"),
            );
            return None;
        }
        Some(Some(Sampling { percent, ignore_parent: args.eat("ignore-parent") }))
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
}

/// A listener as it is before its words are read.
fn defaults(name: String, protocol: Protocol) -> Listener {
    let place = Place::Listener;
    Listener {
        name,
        protocol,
        bind: Bind::Address(std::net::SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0)),
        tls: None,
        peers: Peers::default(),
        quic_upgrade: None,
        idle_timeout: place.default_duration("idle-timeout"),
        request_timeout: place.default_duration("request-timeout"),
        tunnel_timeout: place.default_duration("tunnel-timeout"),
        compression: Vec::new(),
        client_ip: ClientIp::Peer,
        paths: Paths::default(),
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
