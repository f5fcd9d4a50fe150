//! The types of the WIT, as the host reads them.

pub(crate) mod interfaces;

use wasmtime::component::{ComponentType, Lift, Lower, flags};

#[derive(Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Verdict {
    #[component(name = "next")]
    Next,
    #[component(name = "respond")]
    Respond(Reply),
    #[component(name = "forward")]
    Forward(String),
    #[component(name = "close")]
    Close,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum BodyVerdict {
    #[component(name = "next")]
    Next,
    #[component(name = "replace")]
    Replace(Vec<u8>),
    #[component(name = "respond")]
    Respond(Reply),
    #[component(name = "close")]
    Close,
}

flags! {
    Hooks {
        #[component(name = "request")]
        const REQUEST;
        #[component(name = "response")]
        const RESPONSE;
        #[component(name = "request-body")]
        const REQUEST_BODY;
        #[component(name = "response-body")]
        const RESPONSE_BODY;
        #[component(name = "log")]
        const LOG;
        #[component(name = "tick")]
        const TICK;
    }
}

/// The hooks, in the order of their bits.
pub(crate) const HOOKS: [Hooks; 6] =
    [Hooks::REQUEST, Hooks::RESPONSE, Hooks::REQUEST_BODY, Hooks::RESPONSE_BODY, Hooks::LOG, Hooks::TICK];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum BodyMode {
    #[component(name = "none")]
    None,
    #[component(name = "stream")]
    Stream(u32),
    #[component(name = "buffer")]
    Buffer(u32),
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Interest {
    pub(crate) hooks: Hooks,
    pub(crate) methods: Vec<String>,
    #[component(name = "path-prefixes")]
    pub(crate) path_prefixes: Vec<String>,
    #[component(name = "request-body")]
    pub(crate) request_body: BodyMode,
    #[component(name = "response-body")]
    pub(crate) response_body: BodyMode,
    #[component(name = "tick-ms")]
    pub(crate) tick_ms: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl Level {
    /// The case of this number.
    pub(crate) const fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Debug),
            1 => Some(Self::Info),
            2 => Some(Self::Warn),
            3 => Some(Self::Error),
            _ => None,
        }
    }
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct TlsInfo {
    pub(crate) sni: Option<String>,
    pub(crate) version: String,
    pub(crate) cipher: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum MetricKind {
    #[component(name = "counter")]
    Counter,
    #[component(name = "gauge")]
    Gauge,
    #[component(name = "histogram")]
    Histogram,
}

impl MetricKind {
    /// The case of this number.
    pub(crate) const fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Taken {
    #[component(name = "yes")]
    Yes,
    #[component(name = "no")]
    No,
    #[component(name = "full")]
    Full,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Call {
    pub(crate) group: String,
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Vec<u8>,
    #[component(name = "timeout-ms")]
    pub(crate) timeout_ms: u32,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Failure {
    #[component(name = "unreachable")]
    Unreachable,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "broken")]
    Broken,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "busy")]
    Busy,
    #[component(name = "offline")]
    Offline,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) healthy: u32,
    pub(crate) total: u32,
}
