//! The state of one handler.

use http::HeaderMap;
use tidegate_engine::hook::Hook;

use crate::wit;

/// An instance, and its current call.
pub(crate) struct State {
    /// The configuration, for `get_config`.
    pub(super) config: Box<[u8]>,
    /// Whether requests wait for their bodies.
    pub(super) buffers_request: bool,
    /// Whether responses wait for their bodies.
    pub(super) buffers_response: bool,
    pub(super) call: Call,
}

/// The state that ends with a call.
pub(super) struct Call {
    pub(super) hook: Hook,
    /// The body that may be read.
    pub(super) body: Option<Vec<u8>>,
    pub(super) read: usize,
    /// The body that the guest wrote in place of that one.
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_draft_is_a_reply_of_200_unless_it_says_otherwise() {
        let mut state = State::new("c");
        state.begin(Hook::Request, None);
        assert!(state.call.drafts());
        state.call.draft.headers.append("a", HeaderValue::from_static("1"));
        state.call.draft.headers.append("a", HeaderValue::from_static("2"));
        let reply = state.take_draft().into_reply();
        let values: Vec<&[u8]> = reply.headers.iter().map(|header| &*header.value).collect();
        assert_eq!((reply.status, values), (200, vec![&b"1"[..], b"2"]));
        state.call.draft.status = Some(404);
        assert_eq!(state.take_draft().into_reply().status, 404);
        assert!(state.take_draft().headers.is_empty());
    }

    #[test]
    fn a_call_begins_with_nothing_written() {
        let mut state = State::new("");
        for (hook, drafts) in
            [(Hook::RequestBody, true), (Hook::Response, false), (Hook::ResponseBody, false), (Hook::Log, false)]
        {
            state.begin(hook, Some(b"body".to_vec()));
            assert_eq!((state.call.drafts(), state.call.read, state.take_written()), (drafts, 0, None));
            state.call.written = Some(Vec::new());
            assert_eq!((state.take_written(), state.take_written()), (Some(Vec::new()), None));
        }
    }
}
