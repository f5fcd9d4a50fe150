//! Messages over standard input and output: JSON behind a `Content-Length` (Language Server Protocol, base protocol).
//!
//! What is no message is answered with an error, and what follows is read: an editor with one bad plug-in keeps its server.
//! Only where a message begins cannot be told any more, reading ends.

use std::io::{self, BufRead, Read, Write};
use std::thread::JoinHandle;

use lsp_server::{Connection, ErrorCode, Message};
use serde_json::{Value, json};

/// The largest message, in bytes: several times the largest policy, which an editor sends whole and escaped.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// The longest line of a message's head; there are two kinds, both short.
const MAX_LINE: u64 = 1024;

/// The threads that read and write.
pub(super) struct Threads {
    reader: JoinHandle<io::Result<()>>,
    writer: JoinHandle<io::Result<()>>,
}

/// Begins to read and write.
pub(super) fn connect() -> (Connection, Threads) {
    let (ours, editors) = Connection::memory();
    let Connection { sender, receiver } = editors;
    let reader = std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(text) = read(&mut input)? {
            match serde_json::from_slice::<Message>(&text) {
                Ok(message) => {
                    let exit = matches!(&message, Message::Notification(said) if said.method == "exit");
                    if sender.send(message).is_err() || exit {
                        break;
                    }
                }
                Err(error) => write(&refusal(&error))?,
            }
        }
        Ok(())
    });
    let writer = std::thread::spawn(move || receiver.into_iter().try_for_each(|message| write(&whole(&message)?)));
    (ours, Threads { reader, writer })
}

impl Threads {
    /// Waits until all is written, and until reading has ended.
    ///
    /// # Errors
    /// What could not be read or written.
    pub(super) fn join(self) -> io::Result<()> {
        let ended = |thread: JoinHandle<io::Result<()>>| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the server has failed")))
        };
        ended(self.reader).and(ended(self.writer))
    }
}

/// The text of the next message; `None` at the end of the input, between two messages.
///
/// # Errors
/// The input broke, or does not say where the message ends.
fn read(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (mut length, mut begun) = (None, false);
    loop {
        let mut line = String::new();
        if input.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return if begun { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
        }
        begun = true;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a line of the head is no field"))?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok().filter(|length| *length <= MAX_MESSAGE);
        }
    }
    let length = length.ok_or_else(|| malformed("the head has no `Content-Length` that can be used"))?;
    let mut text = vec![0; length];
    input.read_exact(&mut text)?;
    Ok(Some(text))
}

/// A message as the protocol has it (JSON-RPC 2.0).
fn whole(message: &Message) -> io::Result<Value> {
    let mut value = serde_json::to_value(message)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("jsonrpc".to_owned(), json!("2.0"));
    }
    Ok(value)
}

/// The answer to what is no message. Its request, if it was one, is not known (JSON-RPC 2.0, 5).
fn refusal(error: &serde_json::Error) -> Value {
    let code = if error.is_data() { ErrorCode::InvalidRequest } else { ErrorCode::ParseError };
    let message = format!("this is no message: {error}");
    json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code as i32, "message": message } })
}

/// Writes one message, whole: both threads write.
fn write(message: &Value) -> io::Result<()> {
    let text = message.to_string();
    let mut out = io::stdout().lock();
    write!(out, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    out.flush()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart() {
        let mut input = &b"Content-Length: 2\r\n\r\n{}content-type: x\r\nCONTENT-LENGTH: 3\r\n\r\n\xc3\xa9!"[..];
        assert_eq!(read(&mut input).unwrap().unwrap(), b"{}");
        assert_eq!(read(&mut input).unwrap().unwrap(), "é!".as_bytes());
        assert!(read(&mut input).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_taken_apart_ends_it() {
        let long = [b'a'; 4096];
        for broken in [
            &b"{}"[..],
            b"a: b\r\n\r\n{}",
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length: 99999999999\r\n\r\n",
            &long,
        ] {
            assert_eq!(read(&mut &*broken).unwrap_err().kind(), io::ErrorKind::InvalidData, "{broken:?}");
        }
        for cut in [&b"Content-Length: 5\r\n\r\n{}"[..], b"Content-Length: 5\r\n"] {
            assert_eq!(read(&mut &*cut).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut:?}");
        }
    }
}
