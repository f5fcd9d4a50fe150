//! The thread that writes access-log lines, so that a slow disk or pipe never holds up a worker.
//!
//! A target that fails is kept and tried again; what it does not take meanwhile is counted. Nobody ever waits for it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::OFlags;
use tidegate_base::bounds::Bound;
use tidegate_base::disk::{open, words};
use tidegate_base::limits;
use tidegate_dsl::plan::LogTarget;
use tracing::{error, info, warn};

use super::carry::{Carry, count};

/// The workers' end.
#[derive(Clone)]
pub struct LogSender {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// Every line that was lost since the start, whatever the reason.
    lost: Arc<AtomicU64>,
}

enum Message {
    Lines(Vec<u8>),
    /// Something new is in [`Orders`]; if the queue is full, the thread looks there all the same.
    Look,
}

/// Orders for the thread. They are not sent through the queue, which a slow target fills.
#[derive(Default)]
struct Orders {
    target: Mutex<Option<LogTarget>>,
    ends: AtomicBool,
}

/// A handle that chooses the log's target.
#[derive(Clone)]
pub struct LogControl {
    sender: LogSender,
    orders: Arc<Orders>,
}

/// The gateway's end: ends the thread when everything is written.
pub struct LogWriter {
    control: LogControl,
    /// Ends when the thread does.
    done: Receiver<()>,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(target: LogTarget) -> io::Result<Self> {
        let (queue, inbox) = sync_channel(limits::LOG_QUEUE);
        let sender = LogSender { queue, dropped: Arc::default(), lost: Arc::default() };
        let control = LogControl { sender, orders: Arc::default() };
        let (dropped, orders) = (Arc::clone(&control.sender.dropped), Arc::clone(&control.orders));
        let lost = Arc::clone(&control.sender.lost);
        let (ended, done) = sync_channel(1);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            run(&inbox, &dropped, &orders, Output::open(target, lost));
            drop(ended);
        })?;
        Ok(Self { control, done })
    }

    /// A sender for a worker.
    pub fn sender(&self) -> LogSender {
        self.control.sender.clone()
    }

    /// A handle that chooses the target.
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }

    /// Writes what is queued, and ends. A target that takes nothing is not waited for.
    pub fn finish(self) {
        self.control.orders.ends.store(true, Ordering::Release);
        self.control.look();
        if self.done.recv_timeout(limits::LOG_LAST) == Err(RecvTimeoutError::Timeout) {
            warn!("the last access-log lines are lost: the log's target takes none");
        }
    }
}

impl LogControl {
    /// Writes to another target from here on; a file is opened anew, also if it is the same one, so that log rotation
    /// needs no more than a signal.
    pub fn set_target(&self, target: LogTarget) {
        *self.orders.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
        self.look();
    }

    fn look(&self) {
        // A full queue has something to wake the thread with already.
        let _ = self.sender.queue.try_send(Message::Look);
    }
}

impl LogSender {
    /// Hands whole lines on. If the queue is full they are lost, and counted.
    pub fn send(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(Message::Lines(lines))) = self.queue.try_send(Message::Lines(lines)) {
            let lost = count(&lines);
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            self.lost.fetch_add(lost, Ordering::Relaxed);
            Bound::LogQueue.met();
        }
    }

    /// How many lines were lost since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn run(inbox: &Receiver<Message>, dropped: &AtomicU64, orders: &Orders, mut output: Output) {
    let mut ends = false;
    while !ends {
        // After a failure the target is looked at again, also if no line comes.
        let message = match output.failed {
            Some(_) => inbox.recv_timeout(limits::LOG_RETRY),
            None => inbox.recv().map_err(RecvTimeoutError::from),
        };
        if let Some(target) = orders.target.lock().unwrap_or_else(PoisonError::into_inner).take() {
            output = output.succeed(target);
        }
        match message {
            Ok(Message::Lines(lines)) => output.write(&lines),
            Ok(Message::Look) => {}
            Err(RecvTimeoutError::Timeout) => output.write(b""),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            warn!(lines = lost, "access-log lines were lost: the log's target is too slow");
        }
        ends = orders.ends.load(Ordering::Acquire);
    }
    // What was sent before the end.
    while let Ok(message) = inbox.try_recv() {
        if let Message::Lines(lines) = message {
            output.write(&lines);
        }
    }
    output.tell_end();
}

/// The target that lines go to, and whether it takes them.
struct Output {
    target: LogTarget,
    /// The file, if it is one and is open.
    file: Option<File>,
    carry: Carry,
    /// The target failed: since when it is not to be tried again, and the lines that it did not take.
    failed: Option<(Instant, u64)>,
    /// Every line that was lost since the start.
    lost: Arc<AtomicU64>,
}

impl Output {
    fn open(target: LogTarget, lost: Arc<AtomicU64>) -> Self {
        let mut output = Self { target, file: None, carry: Carry::default(), failed: None, lost };
        if let Err(error) = output.reach() {
            output.fail(&error, 0);
        }
        output
    }

    /// Goes on with another target, or with a new file of the same name.
    fn succeed(mut self, target: LogTarget) -> Self {
        if self.carry.is_waiting() {
            // The last chance for a line that is cut.
            let _ = self.put(b"");
        }
        let lost = self.failed.map_or(0, |(_, lost)| lost);
        let mut next = Self::open(target, Arc::clone(&self.lost));
        match &mut next.failed {
            Some((_, before)) => *before += lost,
            None if lost > 0 => told(lost),
            None => {}
        }
        next
    }

    fn write(&mut self, lines: &[u8]) {
        if let Some((since, lost)) = &mut self.failed
            && since.elapsed() < limits::LOG_RETRY
        {
            let more = count(lines);
            *lost += more;
            self.lost.fetch_add(more, Ordering::Relaxed);
            return;
        }
        if lines.is_empty() && !self.has_something_to_try() {
            return;
        }
        match self.put(lines) {
            Ok(()) => self.tell_lost(),
            Err((error, lost)) => self.fail(&error, lost),
        }
    }

    /// Whether the target can show without a new line that it works again: by the rest of a line that is cut, or by a file that
    /// could not be opened.
    fn has_something_to_try(&self) -> bool {
        self.carry.is_waiting() || self.file.is_none() && matches!(self.target, LogTarget::File(_))
    }

    fn put(&mut self, lines: &[u8]) -> Result<(), (io::Error, u64)> {
        self.reach().map_err(|error| (error, count(lines)))?;
        match &mut self.file {
            Some(file) => self.carry.write(lines, |bytes| file.write(bytes)),
            None => self.carry.write(lines, |bytes| Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)),
        }
    }

    /// Opens a file to add to, and makes it and its folder if they are not there.
    fn reach(&mut self) -> io::Result<()> {
        let LogTarget::File(path) = &self.target else { return Ok(()) };
        if self.file.is_none() {
            let path = Path::new(path);
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            self.file = Some(open(path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?);
        }
        Ok(())
    }

    fn fail(&mut self, error: &io::Error, lost: u64) {
        self.lost.fetch_add(lost, Ordering::Relaxed);
        let before = self.failed.map(|(_, before)| before);
        if before.is_none() {
            let (to, why) = (self.name(), words(error));
            error!(to, why, "cannot write the access log; its lines are lost until it can be written again");
        }
        self.failed = Some((Instant::now(), before.unwrap_or(0) + lost));
    }

    /// Tells once how many lines were lost, now that the target takes them again.
    fn tell_lost(&mut self) {
        if let Some((_, lost)) = self.failed.take() {
            told(lost);
        }
    }

    /// Tells how many lines were lost to a target that did not take them to the end.
    fn tell_end(&self) {
        if let Some((_, lost)) = self.failed {
            warn!(to = self.name(), lost, "access-log lines were lost: the log could not be written to the end");
        }
    }

    fn name(&self) -> &str {
        match &self.target {
            LogTarget::Stdout => "stdout",
            LogTarget::File(path) => path,
        }
    }
}

fn told(lost: u64) {
    info!(lost, "the access log is written again");
}

#[cfg(test)]
impl LogSender {
    /// A sender whose lines nobody writes.
    pub(crate) fn nowhere() -> Self {
        Self { queue: sync_channel(1).0, dropped: Arc::default(), lost: Arc::default() }
    }
}

#[cfg(test)]
pub(super) mod tests;
