//! A line of the access log: its fields, and how they are written.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use http::Version;
use serde::Serialize;
use tidegate_dsl::plan::{Insert, LogField};
use tidegate_engine::escape::{escape, is_hidden};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::protocol;
use tidegate_engine::vars::Vars;
use tidegate_engine::{LogLine, LogSource};

/// The fields of a line, in their order.
#[derive(Serialize)]
pub(crate) struct Line<'l> {
    /// RFC 3339, UTC, milliseconds.
    #[serde(serialize_with = "as_text")]
    pub(crate) time: humantime::Rfc3339Timestamp,
    pub(crate) request_id: Option<String>,
    /// The trace of the client's `traceparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<&'l str>,
    /// The span that the line belongs to: the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) span_id: Option<&'l str>,
    pub(crate) listener: &'l str,
    pub(crate) rule: Option<&'l str>,
    pub(crate) client_ip: IpAddr,
    pub(crate) peer: SocketAddr,
    /// `None` for a head that could not be read.
    pub(crate) method: Option<&'l str>,
    pub(crate) scheme: &'l str,
    pub(crate) host: Option<Cow<'l, str>>,
    /// The request target as it came in; `None` for a head that could not be read.
    pub(crate) uri: Option<&'l str>,
    #[serde(rename = "protocol", serialize_with = "as_protocol")]
    pub(crate) version: Version,
    pub(crate) status: u16,
    /// Bytes of the response's body, as sent to the client.
    pub(crate) bytes: u64,
    /// Bytes of the request's body, as it came.
    pub(crate) bytes_in: u64,
    /// Milliseconds from the head's arrival to the end of the response.
    pub(crate) ms: f64,
    pub(crate) group: Option<&'l str>,
    pub(crate) server: Option<&'l str>,
    pub(crate) upstream_status: Option<u16>,
    /// Milliseconds from the choice of a server to the head of its answer.
    pub(crate) upstream_ms: Option<f64>,
    /// Tries beyond the first.
    pub(crate) retries: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) side: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_version: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_cipher: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_group: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sni: Option<&'l str>,
    /// Bytes that are no UTF-8 are replaced.
    pub(crate) user_agent: Option<Cow<'l, str>>,
    /// The variables that rules and extensions set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vars: Option<VarsOf<'l>>,
    /// The labels of the listener.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub(crate) labels: Labels<'l>,
    /// The generation of the policy that served the request.
    pub(crate) generation: u64,
}

/// Variables as a JSON object.
pub(crate) struct VarsOf<'l>(pub(crate) &'l Vars);

impl Serialize for VarsOf<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter())
    }
}

/// Labels as a JSON object.
pub(crate) struct Labels<'l>(pub(crate) &'l [(String, String)]);

impl Labels<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Line<'_> {
    /// Writes the line as one JSON object.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) -> io::Result<()> {
        to_json(self, out)
    }

    /// Writes the line as words for people. No value has a space, so that each stays in its place.
    pub(super) fn write_text(&self, out: &mut Vec<u8>) -> io::Result<()> {
        write!(out, "{} {} ", self.time, self.client_ip)?;
        let words =
            [Some(self.listener), self.method, self.host.as_deref(), self.uri, Some(protocol::log_name(self.version))];
        for word in words {
            escape(word.unwrap_or_default(), true, out);
            out.push(b' ');
        }
        write!(out, "{} {} {}ms rule=", self.status, self.bytes, self.ms)?;
        escape(self.rule.unwrap_or_default(), true, out);
        out.extend_from_slice(b" server=");
        escape(self.server.unwrap_or_default(), true, out);
        match self.upstream_status {
            Some(status) => write!(out, " upstream={status}")?,
            None => out.extend_from_slice(b" upstream=-"),
        }
        match (self.failure, self.side) {
            (Some(failure), Some(side)) => write!(out, " failure={failure} side={side}"),
            _ => Ok(()),
        }
    }

    /// Writes the line as the policy lays it out; `exchange` is `None` for a request that was refused before it became
    /// one.
    pub(super) fn write_as(&self, layout: &LogLine, exchange: Option<&Exchange>, out: &mut Vec<u8>) -> io::Result<()> {
        layout.write(exchange, self.rule, self, out);
        Ok(())
    }
}

impl LogSource for Line<'_> {
    fn field(&self, field: LogField, out: &mut dyn fmt::Write) -> fmt::Result {
        match field {
            LogField::Time => write!(out, "{}", self.time),
            LogField::Status => write!(out, "{}", self.status),
            LogField::Bytes => write!(out, "{}", self.bytes),
            LogField::BytesIn => write!(out, "{}", self.bytes_in),
            LogField::Ms => write!(out, "{}", self.ms),
            LogField::Failure => out.write_str(self.failure.unwrap_or_default()),
            LogField::Side => out.write_str(self.side.unwrap_or_default()),
            LogField::Peer => write!(out, "{}", self.peer),
            LogField::UserAgent => out.write_str(self.user_agent.as_deref().unwrap_or_default()),
            LogField::SpanId => out.write_str(self.span_id.unwrap_or_default()),
            LogField::UpstreamStatus => self.upstream_status.map_or(Ok(()), |status| write!(out, "{status}")),
            LogField::UpstreamMs => self.upstream_ms.map_or(Ok(()), |ms| write!(out, "{ms}")),
            LogField::Retries => write!(out, "{}", self.retries),
            LogField::Limited => write!(out, "{}", self.limited),
            LogField::Vars => self.vars.as_ref().map_or(Ok(()), |vars| json_into(vars, out)),
            LogField::Labels if self.labels.is_empty() => Ok(()),
            LogField::Labels => json_into(&self.labels, out),
            LogField::Generation => write!(out, "{}", self.generation),
        }
    }

    fn refused(&self, insert: &Insert, out: &mut dyn fmt::Write) -> fmt::Result {
        let uri = self.uri.unwrap_or_default();
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let text = match insert {
            Insert::Host => self.host.as_deref(),
            Insert::Method => self.method,
            Insert::Uri | Insert::OriginalUri => self.uri,
            Insert::Path => Some(path),
            Insert::Query => Some(query),
            Insert::Scheme => Some(self.scheme),
            Insert::Listener => Some(self.listener),
            Insert::TlsVersion => self.tls_version,
            Insert::TlsCipher => self.tls_cipher,
            Insert::TlsGroup => self.tls_group,
            Insert::Sni => self.sni,
            Insert::TraceId => self.trace_id,
            Insert::Protocol => Some(protocol::word(self.version)),
            Insert::ClientIp => return write!(out, "{}", self.client_ip),
            Insert::PeerIp => return write!(out, "{}", self.peer.ip()),
            Insert::ClientPort => return write!(out, "{}", self.peer.port()),
            _ => None,
        };
        out.write_str(text.unwrap_or_default())
    }
}

/// Writes a value as JSON in which every hidden character is escaped: what reads the log on a terminal obeys some of them.
fn to_json<T: Serialize>(value: &T, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, value)?;
    // Nearly every line is of printable ASCII, and one look at its bytes says so.
    let odd = |odd, byte: &u8| odd | !(b' '..0x7f).contains(byte);
    if out.iter().skip(start).fold(false, odd) {
        // Outside its texts, JSON has no such character.
        let line = out.split_off(start);
        for c in String::from_utf8_lossy(&line).chars() {
            if is_hidden(c) {
                // All of them are in the Basic Multilingual Plane: one escape says it (RFC 8259, 7).
                write!(out, "\\u{:04x}", u32::from(c))?;
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    Ok(())
}

fn json_into<T: Serialize>(value: &T, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut bytes = Vec::new();
    to_json(value, &mut bytes).map_err(|_| fmt::Error)?;
    out.write_str(&String::from_utf8_lossy(&bytes))
}

fn as_protocol<S: serde::Serializer>(version: &Version, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(protocol::log_name(*version))
}

fn as_text<S: serde::Serializer>(time: &humantime::Rfc3339Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_hides_nothing() {
        for text in ["plain", "caf\u{e9} \u{1f980}", "a\u{85}b\u{202e}c\x7f\u{9b}2J\u{2028}", "\n\"\\\u{2066}"] {
            let mut out = Vec::new();
            assert!(to_json(&text, &mut out).is_ok());
            let json = String::from_utf8_lossy(&out);
            assert!(!json.contains(is_hidden), "{json}");
            let back: Option<String> = serde_json::from_str(&json).ok();
            assert_eq!(back.as_deref(), Some(text));
        }
    }
}
