//! How foreign guests get bodies.

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::Hook;

use super::head;
use crate::base::limits::{BODY_BYTES, FOREIGN_PIECE_BYTES};
use crate::guest::interest::BodyMode;

/// The whole of a body, if the guest holds the head back for it, or if the head says that it is short: then the guest may still
/// change the head, and answer. Else pieces, as they pass.
pub(crate) fn mode(hook: Hook, exchange: &Exchange, held: bool) -> BodyMode {
    let headers = match (&exchange.response, hook) {
        (Some(response), Hook::ResponseBody) => &response.headers,
        _ => &exchange.request.headers,
    };
    let is_short = head::length(headers).is_some_and(|length| length <= BODY_BYTES.into());
    if held || is_short { BodyMode::Buffer(BODY_BYTES as usize) } else { BodyMode::Stream(FOREIGN_PIECE_BYTES) }
}
