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

use super::failed_request::{FailedRequest, masked};

/// The fields of a line, in their order.
#[derive(Serialize)]
pub(crate) struct Line<'l> {
    /// RFC 3339, UTC, milliseconds.
    #[serde(serialize_with = "as_text")]
    pub(crate) time: humantime::Rfc3339Timestamp,
    pub(crate) request_id: Option<String>,
    /// The trace of the request's own span, or of the client's `traceparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<&'l str>,
    /// The request's own span, or the client's.
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
    /// The request as one that failed, for those who look at the last of them.
    pub(crate) fn failed(&self) -> FailedRequest {
        let text = |value: Option<&str>| value.map(str::to_owned);
        FailedRequest {
            time: self.time.to_string(),
            request_id: self.request_id.clone(),
            listener: self.listener.to_owned(),
            rule: text(self.rule),
            client_ip: self.client_ip.to_string(),
            method: text(self.method),
            host: self.host.as_deref().map(str::to_owned),
            uri: self.uri.map(masked),
            protocol: protocol::log_name(self.version).to_owned(),
            status: self.status,
            failure: self.failure.unwrap_or_default().to_owned(),
            side: self.side.unwrap_or_default().to_owned(),
            group: text(self.group),
            server: text(self.server),
            upstream_status: self.upstream_status,
            ms: self.ms,
            offset: self.method.is_none().then_some(self.bytes),
            generation: self.generation,
        }
    }

    /// Writes the line as one JSON object.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) -> io::Result<()> {
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
pub(super) mod tests {
    use humantime::Rfc3339Timestamp;

    use super::*;

    /// The line of a request that was refused.
    pub(crate) fn line(time: Rfc3339Timestamp, peer: SocketAddr) -> Line<'static> {
        Line {
            time,
            request_id: None,
            trace_id: None,
            span_id: None,
            listener: "main",
            rule: None,
            client_ip: peer.ip(),
            peer,
            method: Some("GET"),
            scheme: "http",
            host: Some("a.example:81".into()),
            uri: Some("/a?b"),
            version: Version::HTTP_11,
            status: 400,
            bytes: 5,
            bytes_in: 0,
            ms: 1.5,
            group: None,
            server: None,
            upstream_status: None,
            upstream_ms: None,
            retries: 0,
            limited: false,
            failure: None,
            side: None,
            tls_version: None,
            tls_cipher: None,
            tls_group: None,
            sni: None,
            user_agent: None,
            vars: None,
            labels: Labels(&[]),
            generation: 1,
        }
    }

    fn refused() -> Line<'static> {
        line(humantime::format_rfc3339_millis(std::time::UNIX_EPOCH), SocketAddr::from(([192, 0, 2, 1], 4711)))
    }

    fn text(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        assert!(line.write_text(&mut out).is_ok());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn words_stay_in_their_places_whatever_is_in_them() {
        let plain = "1970-01-01T00:00:00.000Z 192.0.2.1 main GET a.example:81 /a?b http/1.1 400 5 1.5ms rule=- server=- upstream=-";
        assert_eq!(text(&refused()), plain);
        let odd = Line {
            method: None,
            host: Some("a b\n200".into()),
            uri: Some(""),
            rule: Some("my rule"),
            server: Some("127.0.0.1:1"),
            upstream_status: Some(502),
            failure: Some("upstream-body"),
            side: Some("upstream"),
            ..refused()
        };
        let odd = text(&odd);
        let words: Vec<_> = odd.split(' ').collect();
        assert_eq!((words.len(), words[3], words[5], words[11]), (15, "-", "-", "server=127.0.0.1:1"), "{odd}");
        assert!(!odd.contains('\n') && odd.ends_with(" upstream=502 failure=upstream-body side=upstream"), "{odd}");
    }

    #[test]
    fn json_has_what_is_there_and_leaves_out_what_is_seldom() {
        let json = |line: &Line<'_>| {
            let mut out = Vec::new();
            assert!(line.write_json(&mut out).is_ok());
            serde_json::from_slice::<serde_json::Value>(&out).unwrap_or_default()
        };
        let refused_line = json(&refused());
        for always in ["request_id", "rule", "group", "server", "upstream_status", "upstream_ms", "user_agent"] {
            assert!(refused_line.as_object().is_some_and(|line| line.contains_key(always)), "{always}");
        }
        for seldom in ["trace_id", "span_id", "limited", "failure", "side", "tls_version", "sni", "vars", "labels"] {
            assert!(!refused_line.as_object().is_some_and(|line| line.contains_key(seldom)), "{seldom}");
        }
        let labels = [("team".to_owned(), "a\"b".to_owned())];
        let line = json(&Line { limited: true, labels: Labels(&labels), ..refused() });
        assert_eq!((&line["limited"], &line["labels"]["team"]), (&true.into(), &"a\"b".into()));
    }

    #[test]
    fn a_layout_is_told_what_is_known_of_a_request_that_was_refused() {
        let line = Line { sni: Some("a.example"), trace_id: Some("t"), version: Version::HTTP_2, ..refused() };
        for (insert, expected) in [
            (Insert::Path, "/a"),
            (Insert::Query, "b"),
            (Insert::OriginalUri, "/a?b"),
            (Insert::Host, "a.example:81"),
            (Insert::Protocol, "h2"),
            (Insert::ClientPort, "4711"),
            (Insert::PeerIp, "192.0.2.1"),
            (Insert::Sni, "a.example"),
            (Insert::TraceId, "t"),
            (Insert::Group, ""),
        ] {
            let mut out = String::new();
            assert!(line.refused(&insert, &mut out).is_ok());
            assert_eq!(out, expected, "{insert:?}");
        }
        let mut out = String::new();
        assert!(Line { uri: None, ..refused() }.refused(&Insert::Path, &mut out).is_ok() && out.is_empty(), "{out}");
    }

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
