//! A request as it is sent a second time.

use http::{HeaderMap, Method, Request, Uri};
use http_body::Body;

use crate::content::Content;

/// The head of a request without content: one with content would have to be kept for it.
pub(crate) struct Again {
    method: Method,
    uri: Uri,
    /// A copy, unless the caller keeps the header fields.
    headers: Option<HeaderMap>,
}

impl Again {
    /// The request as it can be sent again; `None` if it has content. `kept` are its header fields, where the caller has
    /// them still.
    pub(crate) fn of<B>(request: &Request<B>, kept: Option<&HeaderMap>) -> Option<Self>
    where
        B: Body,
    {
        request.body().is_end_stream().then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: kept.is_none().then(|| request.headers().clone()),
        })
    }

    /// The request, once more.
    pub(crate) fn request<B: Body>(&self, kept: Option<&HeaderMap>) -> Option<Request<Content<B>>> {
        let mut request = Request::new(Content::none());
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        *request.headers_mut() = self.headers.as_ref().or(kept)?.clone();
        Some(request)
    }
}
