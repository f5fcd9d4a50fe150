//! Answers of the admin API: JSON, and problems as RFC 9457 has them.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// An answer, before it is one of HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The media type of the body.
    pub media_type: &'static str,
    /// The body.
    pub body: Bytes,
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// What went wrong with a request to the admin API (RFC 9457).
#[derive(Debug, Serialize)]
pub struct Problem {
    /// `about:blank`: the status says what kind it is.
    pub r#type: &'static str,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What was wrong, and what to do.
    pub detail: String,
}

const JSON: &str = "application/json";

impl Answer {
    /// An answer of text.
    pub fn text(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, media_type, body: body.into(), fields: Vec::new() }
    }

    /// An answer of JSON that is written already.
    pub fn json_text(json: String) -> Self {
        Self::text(JSON, json)
    }

    /// An answer of JSON.
    pub fn json<T: Serialize>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::text(JSON, body),
            Err(error) => Self::problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// What went wrong, and what to do.
    pub fn problem(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), detail: detail.into() };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self { status, ..Self::text("application/problem+json", body) }
    }

    /// A token is missing, or is another one (RFC 6750, 3).
    pub fn unauthorized(detail: &str) -> Self {
        Self::problem(StatusCode::UNAUTHORIZED, detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""))
    }

    /// The path takes other methods.
    pub fn not_allowed(allowed: &str) -> Self {
        let detail = format!("this path takes {allowed}");
        let answer = Self::problem(StatusCode::METHOD_NOT_ALLOWED, detail);
        match HeaderValue::from_str(allowed) {
            Ok(allowed) => answer.with(ALLOW, allowed),
            Err(_) => answer,
        }
    }

    /// The answer with another field.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The answer as HTTP has it. What is answered here holds now and no longer, and is what its type says.
    pub fn into_response(self, head_only: bool) -> Response<Body> {
        let length = self.body.len();
        let body = if head_only { Bytes::new() } else { self.body };
        let mut response = Response::new(Full::new(body).boxed_unsync());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if head_only {
            headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        headers.extend(self.fields);
        response
    }
}
