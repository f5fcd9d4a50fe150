//! `server`: the address of a backend server, and what all servers of a group together show.

use std::collections::HashMap;

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Server, ServerGroup};
use crate::source::Span;
use crate::tree::ItemKind;
use crate::value;
use crate::vocabulary::Place;

/// Servers of a group. A worker keeps state for each.
const MAX_SERVERS: usize = 1000;

impl<'t> Checker<'_, 't> {
    /// `server ADDRESS [weight N] [backup] [state stopped]`, and where the address stands. Addresses are bare, names are
    /// texts.
    pub(crate) fn server(&mut self, args: &mut Args<'_, 't>) -> Option<(Server, Span)> {
        let what = "the address of the server";
        let (host, port, span) = match args.peek().map(|item| (&item.kind, item.span)) {
            Some((ItemKind::Word(word), span)) if *word != "env" => {
                args.next();
                let is_name =
                    word.contains(|c: char| c.is_ascii_alphabetic()) && !word.starts_with('[') && !word.contains("::");
                if is_name {
                    // What is wrong with the name itself is said first, and once.
                    self.accept(value::server(word), span)?;
                    self.report(
                        Diagnostic::new(codes::SERVER_ADDRESS, span, "the name of a server stands in quotes")
                            .write(&format!("\"{word}\"")),
                    );
                    return None;
                }
                let address = self.accept(value::socket(word), span)?;
                (address.ip().to_string(), address.port(), span)
            }
            _ => {
                let (text, span) = self.text(args, what)?;
                let (host, port) = self.accept(value::server(&text), span)?;
                (host, port, span)
            }
        };
        let weight = Place::Server.default_number("weight").and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let mut server = Server { host, port, weight, backup: false, stopped: false };
        let mut seen = Vec::new();
        while args.peek().is_some() {
            let option = self.option(args, Place::Server, &mut seen)?;
            match option.name {
                "weight" => server.weight = self.count(args, option)?,
                "backup" => server.backup = true,
                _ => server.stopped = self.choose(args, Place::ServerState)?.name == "stopped",
            }
        }
        Some((server, span))
    }

    /// Checks of what only all servers of a group together show. `written` counts those that could not be read, too;
    /// `right` is that there are none.
    pub(crate) fn check_servers(
        &mut self,
        args: &Args<'_, 't>,
        group: &ServerGroup,
        spans: &[Span],
        written: usize,
        right: bool,
    ) {
        let name = &group.name;
        if written > MAX_SERVERS {
            self.report(
                Diagnostic::new(codes::OUT_OF_RANGE, args.span(), format!("`{name}` has {written} servers"))
                    .help(format!("a server group has at most {MAX_SERVERS} servers")),
            );
            return;
        }
        let useless = |test: fn(&Server) -> bool| right && group.servers.iter().all(test);
        let found = if written == 0 {
            let message = format!("the server group `{name}` has no servers");
            Some((codes::NO_SERVERS, message, "write `server 127.0.0.1:8080`"))
        } else if useless(|server| server.stopped) {
            let message = format!("every server of `{name}` is stopped");
            Some((
                codes::NO_SERVERS,
                message,
                "take `state stopped` from one of them; where no server is to be asked, `respond 503` in a rule answers",
            ))
        } else if useless(|server| server.backup) {
            let message = format!("every server of `{name}` is a backup, and there is none to stand in for");
            Some((codes::NO_SERVERS, message, "take `backup` from one of them"))
        } else if useless(|server| server.weight == 0) {
            let message = format!("every server of `{name}` has weight 0");
            Some((
                codes::ZERO_WEIGHTS,
                message,
                "give one of them a weight above 0; where no server is to be asked, `respond 503` in a rule answers",
            ))
        } else if useless(|server| !server.takes_requests()) {
            let message = format!("every server of `{name}` is stopped or has weight 0");
            Some((codes::NO_SERVERS, message, "let one of them run, with a weight above 0"))
        } else {
            None
        };
        if let Some((code, message, help)) = found {
            self.report(Diagnostic::new(code, args.span(), message).help(help));
        }
        self.duplicate_servers(group, spans);
    }

    fn duplicate_servers(&mut self, group: &ServerGroup, spans: &[Span]) {
        let mut first: HashMap<(&str, u16), Span> = HashMap::new();
        for (server, span) in group.servers.iter().zip(spans) {
            let key = (server.host.as_str(), server.port);
            if let Some(before) = first.get(&key) {
                let shown = quoted(self.sources.slice(*span));
                self.report(
                    Diagnostic::new(codes::DUPLICATE_SERVER, *span, format!("the server {shown} stands twice"))
                        .also(*before, "it stands here first")
                        .help("write it once, with the sum of the weights"),
                );
            } else {
                first.insert(key, *span);
            }
        }
    }
}
