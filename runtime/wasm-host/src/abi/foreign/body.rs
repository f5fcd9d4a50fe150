//! The mode in which foreign guests get bodies.

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::Hook;

use super::head;
use crate::base::limits::{BODY_BYTES, FOREIGN_PIECE_BYTES};
use crate::guest::interest::BodyMode;

/// The mode of a body: the whole, if the guest holds the head back for it, or if the head says that it is short: then the guest may still
/// change the head, and answer. Else pieces, as they pass.
pub(crate) fn mode(hook: Hook, exchange: &Exchange, held: bool) -> BodyMode {
    let headers = match (&exchange.response, hook) {
        (Some(response), Hook::ResponseBody) => &response.headers,
        _ => &exchange.request.headers,
    };
    let is_short = head::length(headers).is_some_and(|length| length <= BODY_BYTES.into());
    if held || is_short { BodyMode::Buffer(BODY_BYTES as usize) } else { BodyMode::Stream(FOREIGN_PIECE_BYTES) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::header::CONTENT_LENGTH;

    use super::*;
    use crate::testing::exchange;

    #[test]
    fn a_body_is_whole_if_it_is_short_or_held_for() {
        let whole = BodyMode::Buffer(BODY_BYTES as usize);
        let pieces = BodyMode::Stream(FOREIGN_PIECE_BYTES);
        let mut exchange = exchange(1);
        for hook in [Hook::RequestBody, Hook::ResponseBody] {
            assert_eq!(
                (mode(hook, &exchange, false), mode(hook, &exchange, true)),
                (pieces, whole),
                "no length is said"
            );
        }
        exchange.request.headers.insert(CONTENT_LENGTH, BODY_BYTES.into());
        assert_eq!(
            (mode(Hook::RequestBody, &exchange, false), mode(Hook::ResponseBody, &exchange, false)),
            (whole, pieces)
        );
        exchange.request.headers.insert(CONTENT_LENGTH, (BODY_BYTES + 1).into());
        exchange.response.as_mut().unwrap().headers.insert(CONTENT_LENGTH, 0.into());
        assert_eq!(
            (mode(Hook::RequestBody, &exchange, false), mode(Hook::ResponseBody, &exchange, false)),
            (pieces, whole)
        );
    }
}
