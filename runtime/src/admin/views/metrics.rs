//! `/metrics`: everything that is counted, for Prometheus.

use http::HeaderMap;
use http::header::ACCEPT;

use super::super::answer::Answer;
use super::super::context::Context;
use crate::telemetry::metrics::Format;

/// `GET /metrics`, in the format that the request prefers.
pub fn answer(context: &Context, headers: &HeaderMap) -> Answer {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    let format = Format::accepted(&accept);
    Answer::text(format.content_type(), context.shared.scrape(&context.host, format))
}
