//! `server-group`: backend servers, and how they are spoken to.

use std::collections::HashMap;

use super::args::Args;
use super::checker::Checker;
use super::header::is_token;
use super::names::Kind;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{
    Balance, CaId, GroupProtocol, HashKey, Probe, Retries, RetryOn, ServerGroup, StatusRange, Sticky, Verify,
};
use crate::source::Span;
use crate::tree::{Item, ItemKind};
use crate::value;
use crate::vocabulary::{Place, Word};

/// A server group while it is read, and where its words stand.
struct Draft {
    group: ServerGroup,
    words: HashMap<&'static str, Span>,
    /// The place of each server's address.
    servers: Vec<Span>,
}

impl<'t> Checker<'_, 't> {
    /// `server-group NAME { … }`. Also keeps where its servers stand.
    pub(crate) fn group(&mut self, args: &mut Args<'_, 't>) -> Option<ServerGroup> {
        let (group, servers) = match self.read_group(args) {
            Some(Draft { group, servers, .. }) => (Some(group), servers),
            None => (None, Vec::new()),
        };
        self.server_spans.push(servers);
        group
    }

    fn read_group(&mut self, args: &mut Args<'_, 't>) -> Option<Draft> {
        let (name, _) = self.new_name(args, "a name for the server group")?;
        let block = self.block(args)?;
        let mut draft = Draft { group: defaults(name), words: HashMap::new(), servers: Vec::new() };
        let lines = self.lines(block, Place::ServerGroup);
        let (whole, mut right, mut written) = (lines.whole, lines.whole, 0);
        for mut line in lines.all {
            written += usize::from(line.word.name == "server");
            draft.words.entry(line.word.name).or_insert(line.args.head);
            right &= self.group_line(line.word, &mut line.args, &mut draft).is_some();
        }
        if whole {
            self.check_servers(args, &draft.group, &draft.servers, written, right);
        }
        if right {
            right &= self.check_tls_words(&draft).is_some();
            self.check_sticky(&draft);
        }
        right.then_some(draft)
    }

    fn group_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        let group = &mut draft.group;
        match word.name {
            "server" => {
                let (server, span) = self.server(args)?;
                group.servers.push(server);
                draft.servers.push(span);
            }
            "protocol" => {
                group.protocol = match self.choose(args, Place::GroupProtocol)?.name {
                    "https" => GroupProtocol::Https,
                    "grpc" => GroupProtocol::Grpc,
                    _ => GroupProtocol::Http,
                }
            }
            "balance" => group.balance = self.balance(args)?,
            "health-check" => {
                group.health_check = self.health_check(args)?;
                return Some(());
            }
            "sticky" => group.sticky = self.sticky(args)?,
            "keepalive" => group.keepalive = self.count_or_off(args, word)?,
            "slow-start" => group.slow_start = self.duration_or_off(args, word)?.unwrap_or_default(),
            "drain" => group.drain = self.duration(args, word)?,
            "verify" => {
                group.verify = match self.choose(args, Place::Verify)?.name {
                    "ca" => Verify::Ca(CaId(self.reference(args, Kind::Ca)?.0)),
                    "off" => Verify::Off,
                    _ => Verify::System,
                }
            }
            "server-name" => group.server_name = Some(self.server_name(args)?),
            "retries" => group.retries = self.retries(args, word)?,
            "max-connections" => group.max_connections = self.count_or_off(args, word)?,
            _ => group.connect_timeout = self.duration(args, word)?,
        }
        self.done(args)
    }

    /// `balance HOW`
    fn balance(&mut self, args: &mut Args<'_, 't>) -> Option<Balance> {
        Some(match self.choose(args, Place::Balance)?.name {
            "least-requests" => Balance::LeastRequests,
            "random-two" => Balance::RandomTwo,
            "hash" => Balance::Hash(match self.choose(args, Place::HashKey)?.name {
                "uri" => HashKey::Uri,
                "header" => HashKey::Header(self.header_name(args)?.0),
                "query" => HashKey::Query(self.plain_name(args, "a query parameter")?),
                "cookie" => HashKey::Cookie(self.plain_name(args, "a cookie")?),
                _ => HashKey::ClientIp,
            }),
            _ => Balance::RoundRobin,
        })
    }

    /// `sticky cookie "NAME" [ttl D]`, or `sticky off`
    fn sticky(&mut self, args: &mut Args<'_, 't>) -> Option<Option<Sticky>> {
        if args.eat("off") {
            return Some(None);
        }
        if !args.eat("cookie") {
            let lacking = match args.peek() {
                Some(item) => Diagnostic::new(codes::WRONG_KIND, item.span, "`sticky` begins with the word `cookie`"),
                None => Diagnostic::new(codes::MISSING_ARGUMENT, args.last().after(), "`sticky` lacks its cookie"),
            };
            let name = match args.peek() {
                Some(Item { kind: ItemKind::Text(raw), .. }) => raw,
                _ => "\"NAME\"",
            };
            self.report(lacking.help(format!("write `sticky cookie {name} ttl 1h`, or `sticky off`")));
            return None;
        }
        let (cookie, span) = self.text(args, "the name of the cookie")?;
        if !is_token(&cookie) {
            self.report(
                Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not the name of a cookie", quoted(&cookie)))
                    .help("a cookie's name is made of letters, digits, `-` and `_`"),
            );
            return None;
        }
        let mut seen = Vec::new();
        let mut ttl = None;
        while args.peek().is_some() {
            let option = self.option(args, Place::Sticky, &mut seen)?;
            if option.name != "ttl" {
                let message = format!("`{}` does not stand behind the cookie's name", option.name);
                self.report(
                    Diagnostic::new(codes::EXTRA_ARGUMENT, args.last(), message)
                        .help("write `sticky cookie \"NAME\" ttl D`"),
                );
                return None;
            }
            ttl = Some(self.duration(args, option)?);
        }
        Some(Some(Sticky { cookie, ttl }))
    }

    fn server_name(&mut self, args: &mut Args<'_, 't>) -> Option<String> {
        let (name, span) = self.text(args, "a host name")?;
        if value::is_host_name(&name) || name.parse::<std::net::IpAddr>().is_ok() {
            return Some(name.to_ascii_lowercase());
        }
        self.report(
            Diagnostic::new(codes::BAD_TEXT, span, format!("{} is not the name of a host", quoted(&name)))
                .help("write only the host, as `\"api.internal\"`: no scheme, no port, no `*`"),
        );
        None
    }

    /// `retries N on [ … ]`, or `retries off`
    fn retries(&mut self, args: &mut Args<'_, 't>, word: &'static Word) -> Option<Retries> {
        let Some(count) = self.count_or_off(args, word)? else {
            return Some(Retries { count: 0, on: Vec::new() });
        };
        if !args.eat("on") {
            self.missing(args, "`on` and what is tried again");
            return None;
        }
        let mut on = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, "what is tried again")? {
            match self.retry_on(&mut element) {
                Some(what) if self.element_done(&mut element).is_some() => on.push(what),
                _ => right = false,
            }
        }
        on.sort_unstable();
        on.dedup();
        right.then_some(Retries { count, on })
    }

    fn retry_on(&mut self, args: &mut Args<'_, 't>) -> Option<RetryOn> {
        let what = "what is tried again: `connect-failure`, `reset`, `timeout` or a status";
        let (word, span) = self.bare(args, what)?;
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(match self.find_word(word, span, Place::RetryOn)?.name {
                "connect-failure" => RetryOn::ConnectFailure,
                "reset" => RetryOn::Reset,
                _ => RetryOn::Timeout,
            });
        }
        let range = self.accept(value::status_range(word), span)?;
        if range.first >= 400 {
            return Some(RetryOn::Status(range));
        }
        self.report(
            Diagnostic::new(codes::RETRY_STATUS, span, format!("{} is no failure to try again for", quoted(word)))
                .help("write statuses from 400 to 599, as `502`, `5xx` or `502..504`"),
        );
        None
    }

    /// Words of TLS stand only where TLS is spoken.
    fn check_tls_words(&mut self, draft: &Draft) -> Option<()> {
        let group = &draft.group;
        let probe_tls =
            group.health_check.as_ref().is_some_and(|check| matches!(&check.probe, Probe::Http(probe) if probe.tls));
        if group.protocol == GroupProtocol::Https || probe_tls {
            return Some(());
        }
        let mut right = Some(());
        for word in ["verify", "server-name"] {
            let Some(span) = draft.words.get(word) else { continue };
            let speaks = match group.protocol {
                GroupProtocol::Grpc => "grpc",
                _ => "http",
            };
            let message = format!("`{word}` is about TLS, and `{}` speaks `{speaks}`, in clear text", group.name);
            let mut report = Diagnostic::new(codes::GROUP_TLS, *span, message)
                .help(format!("write `protocol https`, or remove `{word}`"));
            if let Some(protocol) = draft.words.get("protocol") {
                report = report.also(*protocol, "what the servers speak is said here");
            }
            self.report(report);
            right = None;
        }
        right
    }

    /// A cookie decides before a hash does.
    fn check_sticky(&mut self, draft: &Draft) {
        if draft.group.sticky.is_none() || !matches!(draft.group.balance, Balance::Hash(_)) {
            return;
        }
        let (Some(sticky), Some(balance)) = (draft.words.get("sticky"), draft.words.get("balance")) else { return };
        self.report(
            Diagnostic::new(codes::STICKY, *sticky, "the cookie of `sticky` decides before `balance hash` does")
                .also(*balance, "the hash only picks the first server of a client")
                .help("remove one of the two"),
        );
    }
}

fn defaults(name: String) -> ServerGroup {
    let place = Place::ServerGroup;
    let number = |name: &str| place.default_number(name).and_then(|n| u32::try_from(n).ok());
    ServerGroup {
        name,
        protocol: GroupProtocol::Http,
        balance: Balance::RoundRobin,
        servers: Vec::new(),
        health_check: None,
        sticky: None,
        keepalive: number("keepalive"),
        slow_start: place.default_duration("slow-start"),
        drain: place.default_duration("drain"),
        connect_timeout: place.default_duration("connect-timeout"),
        verify: Verify::System,
        server_name: None,
        retries: Retries { count: number("retries").unwrap_or_default(), on: vec![RetryOn::ConnectFailure] },
        max_connections: number("max-connections"),
    }
}

/// Statuses of a server that works.
pub(crate) const GOOD: StatusRange = StatusRange { first: 200, last: 299 };
