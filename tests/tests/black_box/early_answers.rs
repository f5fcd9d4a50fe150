//! Servers that answer before they have read the request: the client gets the answer at once, and nobody else waits for
//! what is left of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use tidegate_tests::frames::*;
use tidegate_tests::{Client, Gateway, PATIENCE, Policy, RawServer};

/// The way in which a server treats an upload that it has answered.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// Reads the upload, slowly.
    ReadsSlowly,
    /// Does not read the upload.
    ReadsNothing,
    /// Closes, which resets the connection.
    Closes,
}

const UPLOAD: usize = 20_000_000;

/// A server that answers GET, and refuses POST before it has read its body.
fn refusing(then: Then, ended: Sender<()>) -> RawServer {
    RawServer::start(move |socket, _| {
        let mut stream = BufReader::new(socket);
        while let Some((line, length)) = head(&mut stream) {
            if line.starts_with("GET") {
                let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nget");
                continue;
            }
            let _ = stream.get_mut().write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno");
            if !matches!(then, Then::Closes) {
                read_on(&mut stream, length, then);
                let _ = ended.send(());
            }
            return;
        }
    })
}

/// The request line, and the length that is announced; nothing at the end of the connection.
fn head(stream: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).ok().filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        // A connection that has ended has no more lines, which is as good as an empty one.
        let _ = stream.read_line(&mut line);
        if line.len() <= 2 {
            return Some((first, length));
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}

/// Reads on, or writes, until the gateway ends the connection.
fn read_on(stream: &mut BufReader<TcpStream>, length: usize, then: Then) {
    let began = Instant::now();
    let mut left = length;
    let mut piece = [0; 4096];
    while left > 0 && began.elapsed() < PATIENCE {
        match then {
            Then::ReadsSlowly => match stream.read(&mut piece) {
                Ok(count) if count > 0 => left = left.saturating_sub(count),
                _ => return,
            },
            // A connection that was ended says so to whoever writes.
            _ if stream.get_mut().write_all(b"x").is_err() => return,
            _ => {}
        }
        // A server that is slow to read; and one that writes asks now and then whether the connection is ended.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends as much of an upload as is taken until the answer comes.
fn upload(gateway: &Gateway, length: usize) -> u16 {
    let mut client = gateway.client();
    client.send(format!("POST /up HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"));
    send(&client, length);
    client.receive_head().unwrap().status
}

/// Sends so many bytes, on a thread of their own, until they are taken no more.
fn send(client: &Client, length: usize) {
    let mut socket = client.socket().try_clone().unwrap();
    std::thread::spawn(move || {
        let block = [b'x'; 64 * 1024];
        let mut left = length;
        while left > 0 {
            match socket.write(&block[..left.min(block.len())]) {
                Ok(count) if count > 0 => left -= count,
                _ => return,
            }
        }
    });
}

#[test]
fn a_connection_whose_request_was_not_sent_whole_carries_no_other() {
    for then in [Then::ReadsSlowly, Then::ReadsNothing, Then::Closes] {
        let (ended, ends) = channel();
        let server = refusing(then, ended);
        let policy = Policy::new()
            .top("gateway { workers 1 }")
            .group("web", &format!("server {}", server.address()))
            .listener("request-timeout 30s");
        let gateway = Gateway::start(&policy);
        for round in 0..3 {
            assert_eq!(upload(&gateway, UPLOAD), 401, "{then:?}, {round}");
            let began = Instant::now();
            assert_eq!(gateway.get("/next").text(), "get", "{then:?}, {round}");
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(15), "{then:?}: another client waited {waited:?}");
            if !matches!(then, Then::Closes) {
                assert!(ends.recv_timeout(PATIENCE).is_ok(), "{then:?}: the gateway ends the connection");
            }
        }
    }
}

#[test]
fn a_connection_whose_exchange_is_complete_is_kept() {
    let server = RawServer::start(|socket, _| {
        let mut stream = BufReader::new(socket);
        while let Some((_, length)) = head(&mut stream) {
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let policy = Policy::new().top("gateway { workers 1 }").group("web", &format!("server {}", server.address()));
    let gateway = Gateway::start(&policy);
    for _ in 0..5 {
        assert_eq!(gateway.get("/").text(), "ok");
        assert_eq!(upload(&gateway, 100_000), 200);
        // A client that has its head may leave before the rest of the answer has passed.
        assert_eq!(gateway.client().post("/", "small").text(), "ok");
    }
    let connections = server.connections();
    assert!(connections <= 6, "15 exchanges took {connections} connections");
}

#[test]
fn the_answer_of_a_server_that_closes_at_once_is_passed_on() {
    let server = RawServer::start(|socket, _| {
        let mut stream = BufReader::new(socket);
        let _ = head(&mut stream);
        let _ = stream
            .get_mut()
            .write_all(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 5\r\n\r\nlarge");
        // What stands unread resets the connection.
    });
    let gateway = Gateway::start(&Policy::new().group("web", &format!("server {}", server.address())));
    for round in 0..40 {
        let mut client = gateway.client();
        client.send("POST /up HTTP/1.1\r\nhost: test\r\ncontent-length: 2000000\r\n\r\n");
        send(&client, 2_000_000);
        let answer = client.receive();
        assert_eq!((answer.status, answer.text().as_str()), (413, "large"), "{round}");
    }
}

/// A server that speaks HTTP/2, and answers every request at its head. It tells of streams that are reset, and gives no more
/// window than there is at first.
fn hasty(resets: Sender<u32>) -> RawServer {
    RawServer::start(move |socket, _| {
        let mut stream = BufReader::new(socket);
        if stream.read_exact(&mut [0; PREFACE.len()]).is_err() || stream.get_mut().write_all(&greeting()).is_err() {
            return;
        }
        while let Ok(Frame { kind, stream: id, .. }) = Frame::read(&mut stream) {
            match kind {
                // :status 200
                HEADERS => {
                    let _ = stream.get_mut().write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &[0x88]));
                }
                RST_STREAM => {
                    let _ = resets.send(id);
                }
                _ => {}
            }
        }
    })
}

#[test]
fn a_stream_whose_answer_has_ended_sends_no_more() {
    let (resets, reset) = channel();
    let server = hasty(resets);
    let policy =
        Policy::new().top("gateway { workers 1 }").group("web", &format!("protocol grpc; server {}", server.address()));
    let gateway = Gateway::start(&policy);
    for round in 0..3 {
        assert_eq!(upload(&gateway, UPLOAD), 200, "{round}");
        assert_eq!(reset.recv_timeout(PATIENCE), Ok(4 * round + 1), "the upload's stream is reset");
        assert_eq!(gateway.get("/next").status, 200, "{round}");
    }
    assert_eq!(server.connections(), 1, "others go on");
}
