//! A mock of the host, for tests: one exchange a thread, and the host's rules about it. What the gateway would stop
//! the call for is a panic here, with the same reason.

pub(crate) mod allow;
mod ambient;
mod call;
mod current;
mod exchange;
mod fields;
mod metric;
mod metrics;
mod outbound;
mod permissions;
mod request;
mod response;
mod services;
mod shared;
mod state;
mod stop;
mod store;
mod store_calls;
mod target;

pub(crate) use ambient::{groups, monotonic_ns, now_unix_ns, random_u64};
pub(crate) use current::with;
pub(crate) use exchange::{Connection, Exchange, Hook, Request, Response};
pub(crate) use fields::Headers;
pub(crate) use metrics::*;
pub(crate) use outbound::fetch;
pub(crate) use request::*;
pub(crate) use response::*;
pub(crate) use services::*;
pub(crate) use shared::beside;
pub(crate) use state::Shared;
pub(crate) use stop::{Fault, one_line, stop};
pub(crate) use store_calls::*;
pub(crate) use target::{authority as normal_authority, normal_path};
