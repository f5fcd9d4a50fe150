//! Blocks that concern the whole process: `gateway`, `access-log`.

use std::path::Path;

use super::args::Args;
use super::checker::Checker;
use super::regex::Matches;
use super::template::{Moment, Scope};
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::loader::LogProblem;
use crate::plan::{AccessLog, Gateway, LogFormat, LogTarget, Piece, Secret, Via};
use crate::tree::{Item, ItemKind};
use crate::vocabulary::{Place, Word};

/// Bytes that a secret has at least: as many as the keys that are derived from it.
const SECRET_BYTES: usize = 32;

/// Characters of a name in `Via` at most: every message carries it.
const VIA_BYTES: usize = 64;

/// Secrets that a list has at most: a cookie or a ticket is tried with each.
const SECRETS: usize = 8;

/// The settings that hold without a `gateway` block.
pub(crate) fn default_gateway() -> Gateway {
    Gateway { workers: None, drain: Place::Gateway.default_duration("drain"), secrets: Vec::new(), via: Via::default() }
}

/// The access log of a policy without an `access-log` block.
pub(crate) fn default_access_log() -> AccessLog {
    AccessLog { to: LogTarget::Stdout, format: LogFormat::Json }
}

impl<'t> Checker<'_, 't> {
    /// `gateway { … }`
    pub(crate) fn gateway(&mut self, args: &mut Args<'_, 't>) -> Option<Gateway> {
        let block = self.block(args)?;
        self.warn_if_empty(args.of.name, block);
        let mut gateway = default_gateway();
        let lines = self.lines(block, Place::Gateway);
        let mut right = lines.whole;
        for mut line in lines.all {
            right &= self.gateway_line(line.word, &mut line.args, &mut gateway).is_some();
        }
        right.then_some(gateway)
    }

    fn gateway_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, gateway: &mut Gateway) -> Option<()> {
        match word.name {
            "workers" => gateway.workers = Some(self.count(args, word)?),
            "secret" => gateway.secrets = self.secrets(args)?,
            "via" => gateway.via = self.via(args)?,
            _ => gateway.drain = self.duration(args, word)?,
        }
        self.done(args)
    }

    /// `via on|off|"NAME"`
    fn via(&mut self, args: &mut Args<'_, 't>) -> Option<Via> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        match args.peek() {
            Some(Item { kind: ItemKind::Text(_), .. }) => {}
            Some(Item { kind: ItemKind::Word(word), span })
                if word.len() > 3 && *word != "true" && *word != "false" =>
            {
                let report = Diagnostic::new(codes::WRONG_KIND, *span, "a name of the gateway stands in quotes");
                self.report(report.write(&format!("\"{word}\"")));
                return None;
            }
            _ => return Some(if self.switch(args)? { Via::On } else { Via::Off }),
        }
        let (name, span) = self.text(args, "the name")?;
        let wrong = match name.len() {
            0 => "the name of the gateway in `Via` is empty".to_owned(),
            1..=VIA_BYTES if name.bytes().all(is_token) => return Some(Via::Name(name)),
            1..=VIA_BYTES => format!("{} cannot stand in `Via`", quoted(&name)),
            _ => format!("the name of the gateway in `Via` has more than {VIA_BYTES} characters"),
        };
        let help = "a name has letters, digits, `-`, `.` and `_`, such as `via \"edge-1\"`";
        self.report(Diagnostic::new(codes::VIA, span, wrong).help(help));
        None
    }

    /// `secret env "X"`, `secret file "F"`, or a list of both.
    fn secrets(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<Secret>> {
        let span = args.peek().map_or(args.head, |item| item.span);
        let written = self.alternatives(args, "`env \"NAME\"` or `file \"FILE\"`")?;
        if written.len() > SECRETS {
            let message = format!("there are {} secrets, which is more than {SECRETS}", written.len());
            let help = "keep the one that makes, and those that are still in cookies and tickets";
            self.report(Diagnostic::new(codes::SECRET, span, message).help(help));
            return None;
        }
        let secrets: Vec<_> = written.into_iter().map(|mut one| self.secret(&mut one, SECRET_BYTES)).collect();
        secrets.into_iter().collect()
    }

    /// `env "X"` or `file "F"`, with at least so many bytes.
    pub(super) fn secret(&mut self, args: &mut Args<'_, 't>, least: usize) -> Option<Secret> {
        let (secret, span) = if args.eat("env") {
            let (name, span) = self.text(args, "the name of the variable")?;
            (Secret::Env(self.not_empty(name, span)?), span)
        } else if args.eat("file") {
            let (path, span) = self.file_path(args)?;
            self.inputs.push((&path).into());
            (Secret::File(path), span)
        } else {
            let span = self.item(args, "`env` or `file`")?.span;
            self.report(
                Diagnostic::new(codes::SECRET, span, "a secret does not stand in a policy")
                    .help("write `env \"NAME\"`, or `file \"FILE\"`: where it is"),
            );
            return None;
        };
        self.element_done(args)?;
        let (message, help) = match self.loader.secret(&secret) {
            Ok(length) if length >= least => return Some(secret),
            Ok(length) => (
                format!("this secret has {length} bytes, which is less than {least}"),
                "make one with `openssl rand -base64 32`",
            ),
            Err(reason) => (
                format!("the secret cannot be used: {reason}"),
                match secret {
                    Secret::Env(_) => "set the variable for the gateway and for `tidegate check`",
                    Secret::File(_) => "make one with `openssl rand -base64 32`; its path is relative to this file",
                },
            ),
        };
        self.report(Diagnostic::new(codes::SECRET, span, message).help(help));
        None
    }

    /// `access-log { … }`
    pub(crate) fn access_log(&mut self, args: &mut Args<'_, 't>) -> Option<AccessLog> {
        let block = self.block(args)?;
        self.warn_if_empty(args.of.name, block);
        let mut log = default_access_log();
        let lines = self.lines(block, Place::AccessLog);
        let mut right = lines.whole;
        for mut line in lines.all {
            right &= self.access_log_line(line.word, &mut line.args, &mut log).is_some();
        }
        right.then_some(log)
    }

    fn access_log_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, log: &mut AccessLog) -> Option<()> {
        match word.name {
            "to" => log.to = self.log_target(args)?,
            _ => {
                log.format = match self.choose(args, Place::LogFormat)?.name {
                    "text" => LogFormat::Text,
                    "template" => self.log_template(args)?,
                    _ => LogFormat::Json,
                }
            }
        }
        self.done(args)
    }

    fn log_template(&mut self, args: &mut Args<'_, 't>) -> Option<LogFormat> {
        let matches = Matches::default();
        let scope = Scope { moment: Moment::Log, matches: &matches };
        let (template, span) = self.template(args, "the layout of a line", scope)?;
        let breaks = |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains(['\n', '\r']));
        if template.0.iter().any(breaks) {
            let message = "a line of the access log is one line";
            self.report(Diagnostic::new(codes::BAD_TEXT, span, message).help("leave `\\n` and `\\r` out"));
            return None;
        }
        Some(LogFormat::Template(template))
    }

    fn log_target(&mut self, args: &mut Args<'_, 't>) -> Option<LogTarget> {
        if self.choose(args, Place::LogTarget)?.name == "stdout" {
            return Some(LogTarget::Stdout);
        }
        let (path, span) = self.file_path(args)?;
        let shown = quoted(&path);
        match self.loader.access_log(Path::new(&path)) {
            Ok(()) => {}
            Err(LogProblem::NoFile(why)) => {
                let message = format!("{shown} cannot be the access log: {why}");
                let help = "name a file, or write `to stdout`";
                self.report(Diagnostic::new(codes::LOG_TARGET, span, message).help(help));
                return None;
            }
            Err(LogProblem::Locked(why)) => {
                let message = format!("the access log {shown} cannot be written here: {why}");
                let help = "lines are lost until it can be; if it will run elsewhere, all is well";
                self.report(Diagnostic::new(codes::LOG_LOCKED, span, message).help(help));
            }
        }
        Some(LogTarget::File(path))
    }
}
