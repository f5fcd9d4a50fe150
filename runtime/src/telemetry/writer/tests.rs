//! Targets that fail, and orders in the middle of lines.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::PathBuf;
use std::time::Duration;

use super::*;

/// What a sender hands on.
pub(crate) struct Inbox(Receiver<Message>);

impl Inbox {
    /// The next lines, if some wait.
    pub(crate) fn next(&self) -> Option<String> {
        match self.0.try_recv() {
            Ok(Message::Lines(lines)) => Some(String::from_utf8(lines).unwrap()),
            Ok(Message::Look) | Err(_) => None,
        }
    }
}

/// A sender with a queue of so many messages, and its other end.
pub(crate) fn inbox(messages: usize) -> (LogSender, Inbox) {
    let (queue, inbox) = sync_channel(messages);
    (LogSender { queue, dropped: Arc::default(), lost: Arc::default() }, Inbox(inbox))
}

fn file(path: &Path) -> LogTarget {
    LogTarget::File(path.display().to_string())
}

/// A folder, and the log in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/access.log");
    (folder, path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Lets the time pass after which a target that failed is tried again.
fn wait(output: &mut Output) {
    let (since, _) = output.failed.as_mut().unwrap();
    *since = since.checked_sub(limits::LOG_RETRY).unwrap();
}

fn lost(output: &Output) -> Option<u64> {
    output.failed.map(|(_, lost)| lost)
}

#[test]
fn a_file_and_its_folder_are_made_and_added_to() {
    let (_folder, path) = folder();
    Output::open(file(&path), Arc::default()).write(b"one\n");
    Output::open(file(&path), Arc::default()).write(b"two\n");
    assert_eq!(read(&path), "one\ntwo\n");
}

#[test]
fn a_file_that_was_moved_away_is_left_when_the_target_is_named_again() {
    let (_folder, path) = folder();
    let mut output = Output::open(file(&path), Arc::default());
    output.write(b"one\n");
    let old = path.with_extension("old");
    std::fs::rename(&path, &old).unwrap();
    output.write(b"two\n");
    output.succeed(file(&path)).write(b"three\n");
    assert_eq!((read(&old), read(&path)), ("one\ntwo\n".to_owned(), "three\n".to_owned()));
}

#[test]
fn a_target_that_fails_is_tried_again_after_a_while_and_what_it_did_not_take_is_counted() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(&path).unwrap();
    let mut output = Output::open(file(&path), Arc::default());
    assert_eq!(lost(&output), Some(0));
    output.write(b"one\ntwo\n");
    assert_eq!(lost(&output), Some(2));
    std::fs::remove_dir(&path).unwrap();
    output.write(b"three\n");
    assert_eq!(lost(&output), Some(3), "it is not yet tried again");
    wait(&mut output);
    output.write(b"four\n");
    assert_eq!((lost(&output), read(&path)), (None, "four\n".to_owned()));
}

#[test]
fn a_target_shows_without_a_line_that_it_works_again() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(&path).unwrap();
    let mut output = Output::open(file(&path), Arc::default());
    output.write(b"one\n");
    wait(&mut output);
    output.write(b"");
    assert_eq!(lost(&output), Some(1), "it still fails");
    std::fs::remove_dir(&path).unwrap();
    wait(&mut output);
    output.write(b"");
    assert_eq!((lost(&output), read(&path)), (None, String::new()));
}

#[test]
fn lost_lines_are_counted_on_when_the_target_changes() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(&path).unwrap();
    let mut output = Output::open(file(&path), Arc::default());
    output.write(b"one\ntwo\n");
    let mut output = output.succeed(file(&path));
    output.write(b"three\n");
    assert_eq!(lost(&output), Some(3));
    let other = path.with_extension("other");
    assert_eq!(lost(&output.succeed(file(&other))), None);
}

#[test]
fn a_queue_that_is_full_loses_lines_and_nobody_waits() {
    let (sender, inbox) = inbox(1);
    let met = Bound::LogQueue.count();
    sender.send(b"one\n".to_vec());
    sender.send(b"two\nthree\n".to_vec());
    assert_eq!(sender.dropped.load(Ordering::Relaxed), 2);
    assert!(Bound::LogQueue.count() > met);
    assert_eq!((inbox.next().as_deref(), inbox.next()), (Some("one\n"), None));
    drop(inbox);
    sender.send(b"four\n".to_vec());
    assert_eq!(sender.dropped.load(Ordering::Relaxed), 2, "the gateway is at its end");
}

#[test]
fn what_was_sent_before_the_end_is_written() {
    let (_folder, path) = folder();
    let writer = LogWriter::start(file(&path)).unwrap();
    let sender = writer.sender();
    let lines = (0..100).map(|at| format!("{at}\n"));
    let all: String = lines.inspect(|line| sender.send(line.clone().into_bytes())).collect();
    writer.finish();
    assert_eq!(read(&path), all);
}

#[test]
fn another_target_is_written_to_from_here_on() {
    let (_folder, path) = folder();
    let other = path.with_extension("other");
    let writer = LogWriter::start(file(&path)).unwrap();
    writer.control().set_target(file(&other));
    let start = Instant::now();
    while !other.exists() && start.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    writer.sender().send(b"one\n".to_vec());
    writer.finish();
    assert_eq!((read(&path), read(&other)), (String::new(), "one\n".to_owned()));
}

#[test]
fn an_order_is_seen_although_the_queue_is_full() {
    let (_folder, path) = folder();
    let (sender, Inbox(inbox)) = inbox(1);
    let control = LogControl { sender, orders: Arc::default() };
    control.sender.send(b"one\n".to_vec());
    control.set_target(file(&path));
    control.orders.ends.store(true, Ordering::Release);
    run(
        &inbox,
        &control.sender.dropped,
        &control.orders,
        Output::open(file(&path.with_extension("old")), Arc::default()),
    );
    assert_eq!(read(&path), "one\n");
}
