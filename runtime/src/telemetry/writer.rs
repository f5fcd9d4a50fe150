//! The thread that writes access-log lines, so that a slow disk or pipe never holds up a worker.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tidegate_dsl::plan::LogTarget;
use tracing::{error, warn};

use crate::limits;

/// The workers' end.
#[derive(Clone)]
pub struct LogSender {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Lines(Vec<u8>),
    Target(LogTarget),
    End,
}

/// The gateway's end: ends the thread when everything is written.
pub struct LogWriter {
    sender: LogSender,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(target: LogTarget) -> io::Result<Self> {
        let (queue, inbox) = sync_channel(limits::LOG_QUEUE);
        let sender = LogSender { queue, dropped: Arc::default() };
        let dropped = Arc::clone(&sender.dropped);
        let thread =
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || run(&inbox, &dropped, target))?;
        Ok(Self { sender, thread })
    }

    /// A sender for a worker.
    pub fn sender(&self) -> LogSender {
        self.sender.clone()
    }

    /// Writes to another target from here on; a file is opened anew, also if it is the same one, so that log rotation
    /// needs no more than a reload.
    pub fn set_target(&self, target: LogTarget) {
        if self.sender.queue.send(Message::Target(target)).is_err() {
            error!("the access log's thread is gone");
        }
    }

    /// Writes what is queued, and ends.
    pub fn finish(self) {
        let _ = self.sender.queue.send(Message::End);
        if self.thread.join().is_err() {
            error!("the access log's thread panicked");
        }
    }
}

impl LogSender {
    /// Hands whole lines on. If the queue is full they are lost, and counted.
    pub fn send(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(Message::Lines(lines))) = self.queue.try_send(Message::Lines(lines)) {
            let count = lines.iter().filter(|byte| **byte == b'\n').count();
            self.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

fn run(inbox: &Receiver<Message>, dropped: &AtomicU64, target: LogTarget) {
    let mut output = Output::open(target);
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Lines(lines) => output.write(&lines),
            Message::Target(target) => output = Output::open(target),
            Message::End => break,
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            warn!(lines = lost, "access-log lines were lost: the log's target is too slow");
        }
    }
}

enum Output {
    Stdout,
    File(File),
    Nowhere,
}

/// Opens a file to add to, and makes it and its folder if they are not there.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}

impl Output {
    fn open(target: LogTarget) -> Self {
        match target {
            LogTarget::Stdout => Self::Stdout,
            LogTarget::File(path) => match open(Path::new(&path)) {
                Ok(file) => Self::File(file),
                Err(error) => {
                    error!(path, %error, "cannot open the access log; its lines are lost until the next reload");
                    Self::Nowhere
                }
            },
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let written = match self {
            Self::Stdout => io::stdout().lock().write_all(lines).and_then(|()| io::stdout().lock().flush()),
            Self::File(file) => file.write_all(lines),
            Self::Nowhere => Ok(()),
        };
        if let Err(error) = written {
            error!(%error, "cannot write the access log; its lines are lost until the next reload");
            *self = Self::Nowhere;
        }
    }
}
