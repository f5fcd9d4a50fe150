//! A client that does exactly what it is told.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::PATIENCE;
use crate::message::{Framing, Response, read_body, read_head};
use crate::waiting::patient;

/// One connection to the gateway.
pub struct Client {
    stream: BufReader<Box<dyn Wire>>,
    socket: TcpStream,
}

/// A connection that a client's bytes go through.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// Nobody listens there.
    pub fn connect(port: u16) -> Self {
        Self::try_connect(port).unwrap_or_else(|error| panic!("cannot connect to port {port}: {error}"))
    }

    /// Connects, if somebody listens there.
    ///
    /// # Errors
    /// The system's.
    pub fn try_connect(port: u16) -> io::Result<Self> {
        TcpStream::connect(("127.0.0.1", port)).map(Self::over)
    }

    /// Speaks over an open connection.
    ///
    /// # Panics
    /// The system refuses a timeout.
    pub fn over(stream: TcpStream) -> Self {
        patient(&stream).expect("a socket with timeouts");
        let control = stream.try_clone().expect("a second handle of a socket");
        Self::through(Box::new(stream), control)
    }

    /// Speaks through something that goes over a socket.
    pub fn through(wire: Box<dyn Wire>, socket: TcpStream) -> Self {
        Self { stream: BufReader::with_capacity(64 * 1024, wire), socket }
    }

    /// The socket itself.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The client's own address, as the gateway sees it.
    pub fn address(&self) -> String {
        self.socket().local_addr().expect("a connected socket").to_string()
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// The gateway does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the gateway takes what is sent");
        self
    }

    /// Sends bytes as they are, if the gateway takes them.
    ///
    /// # Errors
    /// The system's.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())?;
        self.stream.get_mut().flush()
    }

    /// Reads the answer to a request that is not HEAD.
    ///
    /// # Panics
    /// The answer does not come, or is malformed.
    pub fn receive(&mut self) -> Response {
        self.try_receive().unwrap_or_else(|error| panic!("no whole answer: {error}"))
    }

    /// Reads the answer to a request that is not HEAD.
    ///
    /// # Errors
    /// The answer does not come, breaks off, or is malformed.
    pub fn try_receive(&mut self) -> io::Result<Response> {
        let mut response = self.receive_head()?;
        let mut body = Vec::new();
        response.trailers = self.receive_body(&response, |bytes| body.extend_from_slice(bytes))?;
        response.body = body;
        Ok(response)
    }

    /// Reads a head, past interim ones. The body is left unread.
    ///
    /// # Errors
    /// The head does not come, breaks off, or is malformed.
    pub fn receive_head(&mut self) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let (line, headers) = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let malformed = || io::Error::other(format!("not a status line: {line:?}"));
            let mut words = line.splitn(3, ' ');
            let version = words.next().filter(|word| word.starts_with("HTTP/1.")).ok_or_else(malformed)?.to_owned();
            let status: u16 = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            return Ok(Response { version, status, headers, interim, ..Response::default() });
        }
    }

    /// Reads the body that belongs to a head, and returns its trailers.
    ///
    /// # Errors
    /// The body breaks off, or is malformed.
    pub fn receive_body(&mut self, head: &Response, take: impl FnMut(&[u8])) -> io::Result<crate::message::Fields> {
        let framing = if matches!(head.status, 204 | 304) { Framing::Length(0) } else { Framing::Close };
        let framing = match framing {
            Framing::Length(0) => framing,
            otherwise => Framing::of(&head.headers, otherwise),
        };
        read_body(&mut self.stream, framing, take)
    }

    /// GET with the host `test`.
    ///
    /// # Panics
    /// There is no answer.
    pub fn get(&mut self, target: &str) -> Response {
        self.get_with(target, "")
    }

    /// GET with the host `test` and more lines, each ended by CR LF.
    ///
    /// # Panics
    /// There is no answer.
    pub fn get_with(&mut self, target: &str, lines: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n{lines}\r\n")).receive()
    }

    /// GET with the host `test`.
    ///
    /// # Errors
    /// There is no answer.
    pub fn try_get(&mut self, target: &str) -> io::Result<Response> {
        self.try_send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n"))?;
        self.try_receive()
    }

    /// GET for another host.
    ///
    /// # Panics
    /// There is no answer.
    pub fn get_host(&mut self, host: &str, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).receive()
    }

    /// POST with a body of announced length.
    ///
    /// # Panics
    /// There is no answer.
    pub fn post(&mut self, target: &str, body: &str) -> Response {
        let length = body.len();
        self.send(format!("POST {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}")).receive()
    }

    /// Whether the gateway closes without another byte.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Whether nothing comes within a time, not even the end.
    ///
    /// # Panics
    /// The socket is broken.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.socket().set_read_timeout(Some(time)).expect("a timeout");
        let mut byte = [0];
        let silent = self.stream.read(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.socket().set_read_timeout(Some(PATIENCE)).expect("a timeout");
        silent
    }

    /// The connection below this client, after an answer was read whole.
    pub fn into_wire(self) -> Box<dyn Wire> {
        self.stream.into_inner()
    }

    /// Everything up to the end of the connection, as it comes.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = self.stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
