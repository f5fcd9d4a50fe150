//! Blocks that concern the whole process: `gateway`, `access-log`.

use super::Checker;
use super::args::Args;
use crate::plan::{AccessLog, Gateway, LogFormat, LogTarget};
use crate::vocabulary::{Place, Word};

/// What holds without an `access-log` block.
pub(crate) fn default_access_log() -> AccessLog {
    AccessLog { to: LogTarget::Stdout, format: LogFormat::Json }
}

impl<'t> Checker<'_, 't> {
    /// `gateway { … }`
    pub(crate) fn gateway(&mut self, args: &mut Args<'_, 't>) -> Option<Gateway> {
        let block = self.block(args)?;
        self.warn_if_empty(args.of.name, block);
        let mut gateway = Gateway { workers: None, drain: Place::Gateway.default_duration("drain") };
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
            _ => gateway.drain = self.duration(args, word)?,
        }
        self.done(args)
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
                    _ => LogFormat::Json,
                }
            }
        }
        self.done(args)
    }

    fn log_target(&mut self, args: &mut Args<'_, 't>) -> Option<LogTarget> {
        if self.choose(args, Place::LogTarget)?.name == "stdout" {
            return Some(LogTarget::Stdout);
        }
        let (path, span) = self.text(args, "the path of the file")?;
        let path = self.not_empty(path, span)?;
        Some(LogTarget::File(self.path(&path, span).to_string_lossy().into_owned()))
    }
}
