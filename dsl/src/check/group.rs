//! `server-group`: backend servers.

use super::Checker;
use super::args::Args;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::plan::{Balance, GroupProtocol, Retries, Server, ServerGroup, Verify};
use crate::tree::ItemKind;
use crate::value;
use crate::vocabulary::Place;

/// Servers of a group. A worker keeps state for each.
const MAX_SERVERS: usize = 1000;

impl<'t> Checker<'_, 't> {
    /// `server-group NAME { … }`
    pub(crate) fn group(&mut self, args: &mut Args<'_, 't>) -> Option<ServerGroup> {
        let (name, _) = self.new_name(args, "a name for the server group")?;
        let block = self.block(args)?;
        let place = Place::ServerGroup;
        let mut group = ServerGroup {
            name,
            protocol: GroupProtocol::Http,
            balance: Balance::RoundRobin,
            servers: Vec::new(),
            health_check: None,
            sticky: None,
            keepalive: place.default_number("keepalive").and_then(|n| u32::try_from(n).ok()),
            slow_start: place.default_duration("slow-start"),
            drain: place.default_duration("drain"),
            connect_timeout: place.default_duration("connect-timeout"),
            verify: Verify::System,
            server_name: None,
            retries: Retries { count: 0, on: Vec::new() },
            max_connections: None,
        };
        let lines = self.lines(block, place);
        let (whole, mut right, mut written) = (lines.whole, lines.whole, 0);
        for mut line in lines.all {
            written += usize::from(line.word.name == "server");
            right &= self.group_line(line.word, &mut line.args, &mut group).is_some();
        }
        if written == 0 && whole {
            self.report(
                Diagnostic::new(
                    codes::NO_SERVERS,
                    args.span(),
                    format!("the server group `{}` has no servers", group.name),
                )
                .help("write `server 127.0.0.1:8080`"),
            );
        } else if written > MAX_SERVERS {
            self.report(
                Diagnostic::new(codes::OUT_OF_RANGE, args.span(), format!("`{}` has {written} servers", group.name))
                    .help(format!("a server group has at most {MAX_SERVERS} servers")),
            );
        } else if right && group.servers.iter().all(|server| server.weight == 0) {
            self.report(
                Diagnostic::new(
                    codes::ZERO_WEIGHTS,
                    args.span(),
                    format!("every server of `{}` has weight 0", group.name),
                )
                .help("give one of them a weight above 0"),
            );
        }
        Some(group)
    }

    fn group_line(
        &mut self,
        word: &'static crate::vocabulary::Word,
        args: &mut Args<'_, 't>,
        group: &mut ServerGroup,
    ) -> Option<()> {
        match word.name {
            "server" => {
                let server = self.server(args)?;
                group.servers.push(server);
            }
            "balance" => _ = self.choose(args, Place::Balance)?,
            "keepalive" => group.keepalive = self.count_or_off(args, word)?,
            _ => group.connect_timeout = self.duration(args, word)?,
        }
        self.done(args)
    }

    /// `server ADDRESS [weight N]`: addresses are bare, names are texts.
    fn server(&mut self, args: &mut Args<'_, 't>) -> Option<Server> {
        let what = "the address of the server";
        let (host, port) = match args.peek().map(|item| (&item.kind, item.span)) {
            Some((ItemKind::Word(word), span)) if *word != "env" => {
                args.next();
                let is_name =
                    word.contains(|c: char| c.is_ascii_alphabetic()) && !word.starts_with('[') && !word.contains("::");
                if is_name {
                    self.report(
                        Diagnostic::new(codes::SERVER_ADDRESS, span, "the name of a server stands in quotes")
                            .help(format!("write `\"{word}\"`")),
                    );
                    return None;
                }
                let address = self.accept(value::socket(word), span)?;
                (address.ip().to_string(), address.port())
            }
            _ => {
                let (text, span) = self.text(args, what)?;
                self.accept(value::server(&text), span)?
            }
        };
        let mut weight = Place::Server.default_number("weight").and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        while args.peek().is_some() {
            let option = self.choose(args, Place::Server)?;
            weight = self.count(args, option)?;
        }
        Some(Server { host, port, weight, backup: false, stopped: false })
    }
}
