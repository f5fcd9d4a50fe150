//! `limits` of a listener: what a client may send and hold.

use super::args::Args;
use super::checker::Checker;
use crate::plan::ListenerLimits;
use crate::vocabulary::{Place, Word};

impl<'t> Checker<'_, 't> {
    /// `limits { … }`
    pub(crate) fn listener_limits(&mut self, args: &mut Args<'_, 't>) -> Option<ListenerLimits> {
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
            "streams" => limits.streams = self.count(args, word)?,
            _ => limits.requests_per_connection = self.count_or_off(args, word)?,
        }
        self.done(args)
    }
}

/// The limits of a listener without a `limits` block.
pub(crate) fn default_limits() -> ListenerLimits {
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
