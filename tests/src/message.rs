//! HTTP/1 messages, read plainly: what arrived is what one sees.

use std::io::{self, BufRead, Read};

use serde_json::Value;

/// Header fields in the order in which they came.
pub type Fields = Vec<(String, String)>;

/// A request as a backend received it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// `HTTP/1.1`.
    pub version: String,
    /// Header fields, names as sent.
    pub headers: Fields,
    /// The body, if it was kept.
    pub body: Vec<u8>,
    /// Bytes of the body, kept or not.
    pub length: u64,
    /// Trailer fields.
    pub trailers: Fields,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

/// A response as a client received it.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// `HTTP/1.1`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// Header fields, names as sent.
    pub headers: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Fields,
    /// Statuses of the interim responses before it.
    pub interim: Vec<u16>,
}

impl Request {
    /// Every value of a header, by a name of any case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.headers, name)
    }

    /// The only value of a header.
    ///
    /// # Panics
    /// There are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Response {
    /// Every value of a header, by a name of any case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.headers, name)
    }

    /// The only value of a header.
    ///
    /// # Panics
    /// There are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The request that an echoing backend says it received.
    ///
    /// # Panics
    /// The answer is not one of an echoing backend.
    pub fn echo(&self) -> Request {
        let echoed: Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not an echo: {} {:?}", self.status, self.text()));
        let text = |key: &str| echoed[key].as_str().unwrap_or_default().to_owned();
        let pair = |pair: &Value| {
            let text = |at: usize| pair[at].as_str().unwrap_or_default().to_owned();
            (text(0), text(1))
        };
        let fields = |key: &str| echoed[key].as_array().into_iter().flatten().map(pair).collect();
        let number = |key: &str| echoed[key].as_u64().unwrap_or_default();
        Request {
            method: text("method"),
            target: text("target"),
            version: text("version"),
            headers: fields("headers"),
            body: text("body").into_bytes(),
            length: number("length"),
            trailers: fields("trailers"),
            connection: usize::try_from(number("connection")).unwrap_or_default(),
        }
    }

    /// Whether the sender closes after it.
    pub fn closes(&self) -> bool {
        self.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }
}

fn all<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    fields.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

fn only<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let values = all(fields, name);
    assert!(values.len() < 2, "`{name}` stands there {} times: {values:?}", values.len());
    values.first().copied()
}

/// The way in which a message says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// To the end of the connection.
    Close,
}

impl Framing {
    /// As the header fields say; `otherwise` if they do not.
    pub(crate) fn of(headers: &Fields, otherwise: Self) -> Self {
        if all(headers, "transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked")) {
            return Self::Chunked;
        }
        all(headers, "content-length").first().and_then(|value| value.parse().ok()).map_or(otherwise, Self::Length)
    }
}

/// The first line and the fields of a message; `None` if the connection ended before.
pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Option<(String, Fields)>> {
    let Some(first) = read_line(from)? else { return Ok(None) };
    Ok(Some((first, read_fields(from)?)))
}

/// Fields up to the empty line.
pub(crate) fn read_fields(from: &mut impl BufRead) -> io::Result<Fields> {
    let mut fields = Fields::new();
    loop {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("not a field: {line:?}")))?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Reads a body, hands its pieces to `take`, and returns its trailers.
pub(crate) fn read_body(from: &mut impl BufRead, framing: Framing, mut take: impl FnMut(&[u8])) -> io::Result<Fields> {
    match framing {
        Framing::Length(length) => copy(from, length, &mut take)?,
        Framing::Close => {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match from.read(&mut buffer)? {
                    0 => break,
                    count => take(&buffer[..count]),
                }
            }
        }
        Framing::Chunked => loop {
            let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| io::Error::other(format!("not a chunk: {line:?}")))?;
            if size == 0 {
                return read_fields(from);
            }
            copy(from, size, &mut take)?;
            read_line(from)?;
        },
    }
    Ok(Fields::new())
}

fn copy(from: &mut impl BufRead, length: u64, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left.min(buffer.len() as u64)).unwrap_or(buffer.len());
        match from.read(&mut buffer[..most])? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the body ends {left} bytes early"))),
            count => {
                take(&buffer[..count]);
                left -= count as u64;
            }
        }
    }
    Ok(())
}

/// A line without its end; `None` at the end of the connection.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.by_ref().take(1 << 20).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a line breaks off"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}
