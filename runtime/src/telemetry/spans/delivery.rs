//! What a collector's answer means (OTLP specification, "Failures"), and when the same spans are sent once more.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use prost::Message;
use tidegate_base::limits;

use super::otlp::{ExportTraceServiceResponse, RetryInfo, RpcStatus};

/// What became of spans that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The collector has them, but for so many, of which it says why.
    Taken(u64, String),
    /// The collector will never take them.
    Refused(String),
    /// The collector may take them later, after this time if it names one.
    Later(String, Option<Duration>),
}

impl Answer {
    /// What an answer of HTTP means. `now` is the time, in seconds since 1970.
    pub(super) fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8], now: u64) -> Self {
        if status.is_success() {
            return Self::of_message(body);
        }
        let said = format!("it answers with {status}");
        match status.as_u16() {
            429 | 502 | 503 | 504 => Self::Later(said, retry_after(headers, now)),
            _ => Self::Refused(said),
        }
    }

    /// What an answer of gRPC means: the fields of its trailers, or of its head if that is all, and its body.
    pub(super) fn of_grpc(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Self {
        let code =
            fields.get("grpc-status").and_then(|code| code.to_str().ok()).and_then(|code| code.parse::<u32>().ok());
        let said = fields.get("grpc-message").map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
        match code {
            Some(0) => match body.split_at_checked(5) {
                // Not compressed: nothing else was asked for.
                Some(([0, length @ ..], message)) if message.len() == as_length(length) => Self::of_message(message),
                _ => Self::Refused("its answer is not OTLP".to_owned()),
            },
            Some(code) => {
                let words = match said {
                    Some(said) => format!("it answers with the gRPC status {code} ({said})"),
                    None => format!("it answers with the gRPC status {code}"),
                };
                let wait = retry_info(fields);
                // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS; RESOURCE_EXHAUSTED if it says when.
                match code {
                    1 | 4 | 10 | 11 | 14 | 15 => Self::Later(words, wait),
                    8 if wait.is_some() => Self::Later(words, wait),
                    _ => Self::Refused(words),
                }
            }
            // What stands between may answer, in HTTP's words.
            None => match status.as_u16() {
                429 | 502 | 503 | 504 => Self::Later(format!("it answers with {status}"), None),
                _ => Self::Refused(format!("it answers with {status}, which is not gRPC")),
            },
        }
    }

    fn of_message(body: &[u8]) -> Self {
        match ExportTraceServiceResponse::decode(body) {
            Ok(response) => {
                let part = response.partial_success.unwrap_or_default();
                Self::Taken(u64::try_from(part.rejected_spans).unwrap_or(0), part.error_message)
            }
            Err(_) => Self::Refused("its answer is not OTLP".to_owned()),
        }
    }
}

fn as_length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: u64) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let until = |date: std::time::SystemTime| {
        Some(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs().saturating_sub(now))
    };
    let seconds = value.parse().ok().or_else(|| until(httpdate::parse_http_date(value).ok()?))?;
    Some(Duration::from_secs(seconds))
}

fn retry_info(fields: &HeaderMap) -> Option<Duration> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let details = fields.get("grpc-status-details-bin")?.to_str().ok()?;
    let details = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).ok()?;
    let details = RpcStatus::decode(&*details).ok()?.details;
    let info = details.iter().find(|detail| detail.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into())))
}

/// The waits between the times that the same spans are sent.
#[derive(Debug)]
pub(super) struct Pauses {
    /// The next wait, before chance takes of it.
    next: Duration,
    /// How much longer it may all take.
    left: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: limits::COLLECTOR_PAUSE, left: limits::COLLECTOR_PATIENCE }
    }
}

impl Pauses {
    /// How long to wait now that sending has failed after so long; nothing if it is to be given up. A collector may say when to
    /// come, but no sooner than it would be tried. `chance` takes up to half of the wait away, so that not all who lost a
    /// collector come at once.
    pub(super) fn next(&mut self, took: Duration, wanted: Option<Duration>, chance: u64) -> Option<Duration> {
        self.left = self.left.saturating_sub(took);
        let part = u32::try_from(chance % 1024).unwrap_or_default();
        let ours = self.next - self.next * part / 2048;
        self.next = (self.next * 2).min(limits::COLLECTOR_PAUSE_MAX);
        let pause = wanted.unwrap_or_default().max(ours);
        self.left = self.left.checked_sub(pause).filter(|left| !left.is_zero())?;
        Some(pause)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use base64::Engine as _;
    use http::HeaderValue;

    use super::super::otlp::{Any, Delay, ExportTracePartialSuccess};
    use super::*;

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// Whether spans are sent again, and after how long at least.
    fn kind(answer: &Answer) -> (&'static str, Option<u64>) {
        match answer {
            Answer::Taken(rejected, _) => ("taken", Some(*rejected)),
            Answer::Refused(_) => ("refused", None),
            Answer::Later(_, wait) => ("later", wait.map(|wait| wait.as_secs())),
        }
    }

    fn part() -> Vec<u8> {
        let part = ExportTracePartialSuccess { rejected_spans: 3, error_message: "full".to_owned() };
        ExportTraceServiceResponse { partial_success: Some(part) }.encode_to_vec()
    }

    #[test]
    fn an_answer_of_http_means_what_the_protocol_says() {
        let part = part();
        for (status, after, body, expected) in [
            (200, None, &b""[..], ("taken", Some(0))),
            (200, None, &part, ("taken", Some(3))),
            (202, None, b"", ("taken", Some(0))),
            (200, None, b"<html>", ("refused", None)),
            (301, None, b"", ("refused", None)),
            (400, None, b"", ("refused", None)),
            (500, None, b"", ("refused", None)),
            (429, Some("7"), b"", ("later", Some(7))),
            (503, Some("Thu, 01 Jan 1970 00:02:00 GMT"), b"", ("later", Some(20))),
            (503, Some("Thu, 01 Jan 1970 00:00:01 GMT"), b"", ("later", Some(0))),
            (503, Some("soon"), b"", ("later", None)),
            (502, None, b"", ("later", None)),
            (504, None, b"", ("later", None)),
        ] {
            let headers = after.map_or_else(HeaderMap::new, |after| fields(&[("retry-after", after)]));
            let answer = Answer::of_http(StatusCode::from_u16(status).unwrap(), &headers, body, 100);
            assert_eq!(kind(&answer), expected, "{status} {after:?}");
        }
    }

    #[test]
    fn an_answer_of_grpc_means_what_the_protocol_says() {
        let framed = |message: &[u8]| [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message].concat();
        let info = RetryInfo { retry_delay: Some(Delay { seconds: 9, nanos: 5 }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
        let details = RpcStatus { message: String::new(), details: vec![any] }.encode_to_vec();
        let details = base64::engine::general_purpose::STANDARD.encode(details);
        for (code, details, body, expected) in [
            ("0", None, framed(b""), ("taken", Some(0))),
            ("0", None, framed(&part()), ("taken", Some(3))),
            ("0", None, Vec::new(), ("refused", None)),
            ("0", None, vec![0, 0, 0, 0, 9, 1], ("refused", None)),
            ("0", None, vec![1, 0, 0, 0, 0], ("refused", None)),
            ("3", None, Vec::new(), ("refused", None)),
            ("16", Some(&details), Vec::new(), ("refused", None)),
            ("14", None, Vec::new(), ("later", None)),
            ("14", Some(&details), Vec::new(), ("later", Some(9))),
            ("8", None, Vec::new(), ("refused", None)),
            ("8", Some(&details), Vec::new(), ("later", Some(9))),
            ("x", None, Vec::new(), ("refused", None)),
        ] {
            let mut fields = fields(&[("grpc-status", code)]);
            if let Some(details) = details {
                fields.insert("grpc-status-details-bin", HeaderValue::from_str(details).unwrap());
            }
            assert_eq!(kind(&Answer::of_grpc(StatusCode::OK, &fields, &body)), expected, "{code}");
        }
        let of = |status| kind(&Answer::of_grpc(status, &HeaderMap::new(), b""));
        assert_eq!(of(StatusCode::SERVICE_UNAVAILABLE).0, "later");
        assert_eq!(of(StatusCode::OK).0, "refused");
    }

    #[test]
    fn spans_are_sent_again_at_growing_distances_and_not_for_ever() {
        let mut pauses = Pauses::default();
        let all: Vec<_> = std::iter::from_fn(|| pauses.next(Duration::ZERO, None, 0)).collect();
        let seconds: Vec<_> = all.iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0]);
        let mut hurried = Pauses::default();
        let least = hurried.next(Duration::ZERO, None, 1023).unwrap();
        assert!(least >= limits::COLLECTOR_PAUSE / 2 && least < limits::COLLECTOR_PAUSE * 3 / 5, "{least:?}");
        let mut asked = Pauses::default();
        assert_eq!(asked.next(Duration::ZERO, Some(Duration::from_secs(7)), 0), Some(Duration::from_secs(7)));
        assert_eq!(asked.next(Duration::ZERO, Some(Duration::from_secs(3600)), 0), None, "too long to hold them");
        let mut slow = Pauses::default();
        assert_eq!(slow.next(limits::COLLECTOR_PATIENCE, None, 0), None, "the attempts themselves count");
    }

    #[test]
    fn no_answer_is_too_odd() {
        for length in 0..64 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37) ^ length).collect();
            let _ = Answer::of_http(StatusCode::OK, &HeaderMap::new(), &bytes, 0);
            let _ = Answer::of_grpc(StatusCode::OK, &fields(&[("grpc-status", "0")]), &bytes);
        }
        let far = fields(&[("retry-after", "18446744073709551615")]);
        let answer = Answer::of_http(StatusCode::SERVICE_UNAVAILABLE, &far, b"", 0);
        assert_eq!(kind(&answer), ("later", Some(u64::MAX)));
        assert_eq!(Pauses::default().next(Duration::ZERO, Some(Duration::from_secs(u64::MAX)), 0), None);
    }
}
