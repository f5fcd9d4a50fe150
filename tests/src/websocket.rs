//! WebSocket (RFC 6455): a backend that echoes, and clients that send frames exactly as they are told, over HTTP/1.1 and
//! HTTP/2.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::JoinHandle;

use aws_lc_rs::digest;
use base64::Engine;
use bytes::Bytes;
use h2::ext::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc as asynchronous;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::http2::{Http2, send_all};
use crate::message::{Fields, read_head};
use crate::pki::Authority;
use crate::waiting::patient;
use crate::{PATIENCE, Wire, http3, listen};

/// The part of a backend in a connection, after the handshake.
pub type Serve = fn(TcpStream);

/// A WebSocket server on a port of its own.
pub struct WebSocketBackend {
    port: u16,
    heads: std::sync::Arc<std::sync::Mutex<Vec<(String, Fields)>>>,
}

impl WebSocketBackend {
    /// A server that sends every message back.
    pub fn echo() -> Self {
        Self::start(echo)
    }

    /// A server that agrees to every handshake, and then does this with the socket.
    ///
    /// # Panics
    /// There is no port.
    pub fn start(serve: Serve) -> Self {
        let listener = listen();
        let port = listener.local_addr().expect("an address").port();
        let heads = std::sync::Arc::default();
        let backend = Self { port, heads };
        let heads = std::sync::Arc::clone(&backend.heads);
        // It ends with the process: nobody connects any more when the test is over.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = std::sync::Arc::clone(&heads);
                std::thread::spawn(move || agree(stream, &heads).map(serve));
            }
        });
        backend
    }

    /// The port of the backend.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address of the backend, as a policy names it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The handshakes that it has seen: the request line, and the fields.
    ///
    /// # Panics
    /// A thread of it did.
    pub fn handshakes(&self) -> Vec<(String, Fields)> {
        self.heads.lock().expect("no panic").clone()
    }
}

/// Reads a handshake and agrees to it (RFC 6455, 4.2). The first subprotocol that is offered is taken.
fn agree(mut stream: TcpStream, heads: &std::sync::Mutex<Vec<(String, Fields)>>) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let (line, fields) =
        read_head(&mut io::BufReader::with_capacity(1, &stream))?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let field =
        |name: &str| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    let Some(key) = field("sec-websocket-key").filter(|_| field("upgrade").is_some()) else {
        stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {}\r\nx-backend: echo\r\n",
        accept(&key)
    );
    if let Some(protocol) = field("sec-websocket-protocol").and_then(|all| all.split(',').next().map(str::to_owned)) {
        head.push_str(&format!("sec-websocket-protocol: {}\r\n", protocol.trim()));
    }
    heads.lock().expect("no panic").push((line, fields));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    Ok(stream)
}

/// The answer of a server to a key (RFC 6455, 4.2.2).
fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(sum)
}

fn echo(stream: TcpStream) {
    let limits = WebSocketConfig::default().max_frame_size(Some(64 << 20)).max_message_size(Some(64 << 20));
    let mut socket = tungstenite::WebSocket::from_raw_socket(stream, Role::Server, Some(limits));
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                if socket.send(message).is_err() {
                    break;
                }
            }
            Ok(_) => {}
            Err(error) => {
                let code = match error {
                    Error::Protocol(_) => Some(CloseCode::Protocol),
                    Error::Utf8(_) => Some(CloseCode::Invalid),
                    Error::Capacity(_) => Some(CloseCode::Size),
                    _ => None,
                };
                if let Some(code) = code {
                    let _ = socket.close(Some(CloseFrame { code, reason: "".into() }));
                }
                let _ = socket.flush();
                break;
            }
        }
    }
    // What stands unread would turn the close into a reset, which may overtake the last frames.
    let stream = socket.into_inner();
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = io::copy(&mut &stream, &mut io::sink());
}

/// A socket below a talk.
enum Handle {
    Internet(TcpStream),
    Local(UnixStream),
}

/// A connection of a client after the handshake.
pub struct Talk {
    wire: Box<dyn Wire>,
    /// A second handle of the socket, where there is one.
    handle: Option<Handle>,
    /// The answer to the handshake; over HTTP/2 with `:status` alone.
    pub head: (String, Fields),
}

impl Talk {
    /// A handshake over HTTP/1.1, with more lines.
    ///
    /// # Errors
    /// There is no answer.
    pub fn begin(mut wire: Box<dyn Wire>, lines: &str) -> io::Result<Self> {
        let head = format!(
            "GET /chat HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{lines}\r\n"
        );
        wire.write_all(head.as_bytes())?;
        wire.flush()?;
        let head = read_head(&mut io::BufReader::with_capacity(1, &mut wire))?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self { wire, handle: None, head })
    }

    /// A handshake in clear text on this port, which has to succeed.
    ///
    /// # Panics
    /// The handshake does not succeed.
    pub fn on(port: u16) -> Self {
        let socket = socket(port);
        let handle = socket.try_clone().expect("a second handle of a socket");
        let mut talk = Self::begin(Box::new(socket), "").expect("an answer");
        talk.handle = Some(Handle::Internet(handle));
        assert!(talk.head.0.starts_with("HTTP/1.1 101"), "{:?}", talk.head);
        assert!(talk.head.1.iter().any(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept")
            && value == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        talk
    }

    /// Sends bytes; whether they were taken.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.wire.write_all(bytes).and_then(|()| self.wire.flush()).is_ok()
    }

    /// Sends a text, and reads a frame.
    ///
    /// # Panics
    /// The text does not come back.
    pub fn echoes(&mut self, text: &str) {
        assert!(self.send(&frame(0x81, text.as_bytes())));
        assert_eq!(self.receive(), Some((0x81, text.as_bytes().to_vec())));
    }

    /// The next frame: its first byte and its payload; `None` at the end.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.wire.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.wire.read_exact(&mut length).ok()?;
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.wire.read_exact(&mut length).ok()?;
                usize::try_from(u64::from_be_bytes(length)).ok()?
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.wire.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }

    /// Says no more, and goes on to listen.
    ///
    /// # Panics
    /// That is not possible here.
    pub fn end(&mut self) {
        let ended = match self.handle.as_ref().expect("something that can be closed half") {
            Handle::Internet(socket) => socket.shutdown(Shutdown::Write),
            Handle::Local(socket) => socket.shutdown(Shutdown::Write),
        };
        ended.expect("an open socket");
    }

    /// Another way to send, for another thread.
    ///
    /// # Panics
    /// There is none here.
    pub fn sender(&mut self) -> Box<dyn Write + Send> {
        match self.handle.take().expect("a second handle") {
            Handle::Internet(socket) => Box::new(socket),
            Handle::Local(socket) => Box::new(socket),
        }
    }

    /// Reads so many bytes.
    ///
    /// # Panics
    /// The bytes do not come.
    pub fn read(&mut self, bytes: &mut [u8]) {
        self.wire.read_exact(bytes).expect("as many bytes");
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = self.wire.read_to_end(&mut rest);
        rest
    }
}

/// A socket to this port.
///
/// # Panics
/// Nobody listens there.
pub fn socket(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    patient(&socket).expect("a socket with timeouts");
    socket
}

/// A frame of a client with this first byte: FIN, reserved bits and opcode (RFC 6455, 5.2).
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap_or(0)),
        length @ 126..=65535 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A close frame with a code and a reason.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

/// One connection over HTTP/2 whose streams become tunnels (RFC 8441).
pub struct Http2Tunnels {
    orders: Option<asynchronous::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// Fields of a handshake, and where the answer goes.
type Order = (Vec<(String, String)>, mpsc::Sender<Result<(UnixStream, u16, Fields), String>>);

impl Http2Tunnels {
    /// Connects to this port: over TLS, as a client that trusts the authority, or in clear text.
    pub fn connect(port: u16, authority: Option<Authority>) -> Self {
        let (orders, mut taken) = asynchronous::unbounded_channel::<Order>();
        let thread = std::thread::spawn(move || {
            http3::run(async {
                let mut client = match &authority {
                    Some(authority) => Http2::connect_secure(port, authority).await,
                    None => Http2::connect(port).await,
                };
                assert!(client.takes_extended_connect().await, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
                while let Some((fields, answer)) = taken.recv().await {
                    let opened = open(&mut client, &fields).await;
                    // Whoever asked may be gone.
                    let _ = answer.send(opened.map_err(|error| error.to_string()));
                }
            });
        });
        Self { orders: Some(orders), thread: Some(thread) }
    }

    /// A handshake on a stream of its own, with more fields: the answer's status and fields, and the tunnel.
    ///
    /// # Errors
    /// The library's.
    ///
    /// # Panics
    /// The connection is gone.
    pub fn begin(&self, fields: &[(&str, &str)]) -> Result<(u16, Talk), String> {
        let (answer, answered) = mpsc::channel();
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.orders.as_ref().expect("a connection").send((fields, answer)).expect("a connection");
        let (stream, status, fields) = answered.recv_timeout(PATIENCE).expect("an answer in time")?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .expect("a socket");
        let handle = stream.try_clone().expect("a second handle of a socket");
        let handle = Some(Handle::Local(handle));
        Ok((status, Talk { wire: Box::new(stream), handle, head: (status.to_string(), fields) }))
    }
}

impl Drop for Http2Tunnels {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn open(client: &mut Http2, more: &[(String, String)]) -> Result<(UnixStream, u16, Fields), h2::Error> {
    let more: Vec<_> = more.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let fields = [&[("sec-websocket-version", "13")][..], &more].concat();
    let mut request = client.request("CONNECT", "/chat", &fields);
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (answer, mut sender) = client.begin(request, false).await?;
    let (head, mut receiver) = tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time")?.into_parts();
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("a socket");
    let (mut from, mut to) = tokio::net::UnixStream::from_std(ours).expect("a socket").into_split();
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return sender.send_data(Bytes::new(), true),
                Ok(count) => send_all(&mut sender, Bytes::copy_from_slice(&buffer[..count]), false).await?,
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(data)) = receiver.data().await {
            if to.write_all(&data).await.is_err() || receiver.flow_control().release_capacity(data.len()).is_err() {
                return;
            }
        }
        // The end, or a reset, which the other side sees as an end, too.
        let _ = to.shutdown().await;
    });
    Ok((theirs, head.status.as_u16(), crate::http2::fields(&head.headers)))
}
