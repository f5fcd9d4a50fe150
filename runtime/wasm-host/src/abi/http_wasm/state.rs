//! What the host keeps of one instance.

use http::HeaderMap;
use tidegate_engine::hook::Hook;

use crate::wit;

/// An instance, and its current call.
pub(crate) struct State {
    /// What `get_config` gives.
    pub(super) config: Box<[u8]>,
    /// Requests wait for their bodies.
    pub(super) buffers_request: bool,
    /// Responses wait for their bodies.
    pub(super) buffers_response: bool,
    pub(super) call: Call,
}

/// What ends with a call.
pub(super) struct Call {
    pub(super) hook: Hook,
    /// The body that may be read, and how much of it was.
    pub(super) body: Option<Vec<u8>>,
    pub(super) read: usize,
    /// What the guest wrote in its place.
    pub(super) written: Option<Vec<u8>>,
    /// The response of a request that goes no further; before that, what the response is to have beside its own.
    pub(super) draft: Draft,
}

/// A response that is not yet one.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) status: Option<u16>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Draft {
    pub(super) fn into_reply(self) -> wit::Reply {
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| wit::Header {
            name: name.as_str().to_owned(),
            value: value.as_bytes().to_vec(),
        };
        wit::Reply {
            status: self.status.unwrap_or(200),
            headers: self.headers.iter().map(header).collect(),
            body: self.body,
        }
    }
}

impl Call {
    fn new(hook: Hook, body: Option<Vec<u8>>) -> Self {
        Self { hook, body, read: 0, written: None, draft: Draft::default() }
    }

    /// Whether the response is still to come.
    pub(super) const fn drafts(&self) -> bool {
        matches!(self.hook, Hook::Request | Hook::RequestBody)
    }
}

impl State {
    pub(super) fn new(config: &str) -> Self {
        let call = Call::new(Hook::Tick, None);
        Self { config: config.as_bytes().into(), buffers_request: false, buffers_response: false, call }
    }

    pub(super) fn begin(&mut self, hook: Hook, body: Option<Vec<u8>>) {
        self.call = Call::new(hook, body);
    }

    pub(super) fn take_draft(&mut self) -> Draft {
        std::mem::take(&mut self.call.draft)
    }

    pub(super) fn take_written(&mut self) -> Option<Vec<u8>> {
        self.call.written.take()
    }
}
