//! The access log: one line a request, written when its response has ended, however it ended.

use std::cell::RefCell;

use tidegate_base::limits;
use tidegate_dsl::plan::LogFormat;
use tidegate_engine::Engine;
use tidegate_engine::exchange::Exchange;

pub(crate) use super::log_line::{Labels, Line, VarsOf};
pub use super::writer::{LogControl, LogSender, LogWriter};

/// A worker's lines on their way to the writer.
pub struct AccessLog {
    batch: RefCell<Vec<u8>>,
    sender: LogSender,
}

impl AccessLog {
    /// Sends to this writer.
    pub fn new(sender: LogSender) -> Self {
        Self { batch: RefCell::default(), sender }
    }

    /// Hands the gathered lines on.
    pub fn flush(&self) {
        let mut batch = self.batch.borrow_mut();
        if !batch.is_empty() {
            self.sender.send(std::mem::take(&mut *batch));
        }
    }

    /// Writes a line; `exchange` is `None` for a request that was refused before it became one.
    pub(crate) fn write(&self, line: &Line<'_>, exchange: Option<&Exchange>, engine: &Engine) {
        let mut batch = self.batch.borrow_mut();
        if batch.capacity() == 0 {
            batch.reserve(limits::LOG_BATCH + limits::LOG_BATCH / 4);
        }
        // Writing into memory cannot fail, and every field can be written as JSON.
        let _ = match (engine.log_line(), &engine.plan().access_log.format) {
            (Some(layout), _) => line.write_as(layout, exchange, &mut batch),
            (None, LogFormat::Text) => line.write_text(&mut batch),
            (None, _) => line.write_json(&mut batch),
        };
        batch.push(b'\n');
        if batch.len() >= limits::LOG_BATCH {
            self.sender.send(std::mem::take(&mut *batch));
        }
    }
}

#[cfg(test)]
impl AccessLog {
    /// The lines that wait for the writer, taken from it.
    pub(crate) fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.batch.borrow_mut())).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::SystemTime;

    use super::*;
    use crate::telemetry::writer::tests::{Inbox, inbox};
    use crate::tests::{policy, snapshot};

    /// What the writer gets when so many lines are written by this policy, and what waits after them.
    fn written(top: &str, lines: usize) -> (Inbox, AccessLog) {
        let snapshot = snapshot(&(policy("", "otherwise { respond 204 }") + top), None);
        let (sender, inbox) = inbox(8);
        let log = AccessLog::new(sender);
        let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
        let line = super::super::log_line::tests::line(humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH), peer);
        (0..lines).for_each(|_| log.write(&line, None, &snapshot.engine));
        (inbox, log)
    }

    #[test]
    fn lines_are_written_as_the_policy_says() {
        for (top, begins) in [
            ("", "{\"time\":\"1970-01-01T00:00:00.000Z\","),
            ("access-log { format text }", "1970-01-01T00:00:00.000Z 192.0.2.1 "),
            ("access-log { format template \"${status} ${method} ${uri} ${rule}\" }", "400 GET /a?b -\n"),
        ] {
            let (_, log) = written(top, 2);
            let lines = log.take();
            assert!(lines.starts_with(begins) && lines.ends_with('\n'), "{lines}");
            assert_eq!(lines.lines().count(), 2, "{lines}");
        }
    }

    #[test]
    fn lines_are_handed_on_when_they_are_many_and_when_the_time_has_come() {
        let (inbox, log) = written("", 10);
        assert!(inbox.next().is_none(), "a few wait for more");
        log.flush();
        assert_eq!(inbox.next().map(|lines| lines.matches('\n').count()), Some(10));
        log.flush();
        assert!(inbox.next().is_none(), "nothing is handed on twice, and nothing of nothing");
        let (inbox, log) = written("", 200);
        let batch = inbox.next().unwrap_or_default();
        assert!((limits::LOG_BATCH..limits::LOG_BATCH + 1024).contains(&batch.len()), "{}", batch.len());
        assert!(batch.ends_with("}\n"), "lines stay whole");
        let all = batch + &std::iter::from_fn(|| inbox.next()).collect::<String>() + &log.take();
        assert_eq!(all.lines().count(), 200);
    }
}
