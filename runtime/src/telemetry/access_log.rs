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
