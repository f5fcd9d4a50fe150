//! The state of one filter.

use http::HeaderMap;
use tidegate_engine::hook::Hook;
use wasmtime::TypedFunc;

use crate::wit;

/// The number of the root context.
pub(super) const ROOT: u32 = 1;

/// An instance, and its current call.
pub(crate) struct State {
    /// Memory that the guest allocates for what the host gives.
    pub(super) malloc: TypedFunc<u32, u32>,
    /// The configuration, for `proxy_on_configure` to read.
    pub(super) config: Box<[u8]>,
    /// The time between ticks that the guest asked for; 0 for none.
    pub(super) tick_ms: u32,
    /// Warnings of the guest, which say why it refuses what it refuses.
    pub(super) words: Option<String>,
    /// The number of the last context.
    last: u32,
    /// The number of the last call to another server.
    last_token: u32,
    pub(super) call: Call,
}

/// The state that ends with a callback.
#[derive(Default)]
pub(super) struct Call {
    /// The context that is called.
    pub(super) context: u32,
    /// The body that the guest may read and write, in a body hook.
    pub(super) body: Option<(Hook, Vec<u8>)>,
    /// Whether the guest wrote the body.
    pub(super) changed: bool,
    /// The response of another server, while the guest is called back for it.
    pub(super) came: Option<Came>,
    /// The response that the guest gave itself.
    pub(super) reply: Option<wit::Reply>,
    /// Whether the guest closed the stream.
    pub(super) closed: bool,
    /// Whether the guest resumed what it is about to pause.
    pub(super) resumed: bool,
}

impl State {
    pub(super) fn new(malloc: TypedFunc<u32, u32>, config: &str) -> Self {
        let config = config.as_bytes().into();
        Self { malloc, config, tick_ms: 0, words: None, last: ROOT, last_token: 0, call: Call::default() }
    }

    /// A number for a context; numbers come round again after some four thousand million requests.
    pub(super) const fn next_number(&mut self) -> u32 {
        self.last = match self.last.checked_add(1) {
            Some(next) => next,
            None => ROOT + 1,
        };
        self.last
    }

    /// A number for a call to another server.
    pub(super) const fn next_token(&mut self) -> u32 {
        self.last_token = self.last_token.wrapping_add(1);
        self.last_token
    }

    pub(super) fn begin(&mut self, context: u32, body: Option<(Hook, Vec<u8>)>) {
        self.call = Call { context, body, ..Call::default() };
    }

    /// The outcome of the callback that answered `action`.
    pub(super) fn outcome(&mut self, action: u32) -> Outcome {
        if let Some(reply) = self.call.reply.take() {
            return Outcome::Reply(reply);
        }
        if self.call.closed {
            return Outcome::Close;
        }
        // Beside 0 and 1, some hosts have kinds of pausing, and 2 for a message that ends with its head.
        if matches!(action, 0 | 2) || self.call.resumed { Outcome::Continue } else { Outcome::Pause }
    }

    /// The body as the guest left it, and whether it wrote it.
    pub(super) fn take_body(&mut self) -> (Vec<u8>, bool) {
        (self.call.body.take().map(|(_, body)| body).unwrap_or_default(), self.call.changed)
    }
}

/// The response to a callout, while the filter is called back.
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The outcome of a callback.
pub(super) enum Outcome {
    Continue,
    Pause,
    Reply(wit::Reply),
    Close,
}
