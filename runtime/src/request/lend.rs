//! An exchange that a guest has for the time of a call.

use std::cell::Cell;

use tidegate_engine::exchange::Exchange;

/// The exchange that stands in for one that a guest has. Calls end before the next begins, so that one is enough, and no call
/// needs a new one.
#[derive(Default)]
pub(super) struct StandIn(Cell<Option<Box<Exchange>>>);

impl StandIn {
    /// Gives the exchange to `call`, which gives it back with a result.
    pub(super) fn lend<T>(
        &self,
        exchange: &mut Box<Exchange>,
        call: impl FnOnce(Box<Exchange>) -> (Box<Exchange>, T),
    ) -> T {
        let stand_in = self.0.take().unwrap_or_else(|| Box::new(Exchange::blank()));
        let (lent, result) = call(std::mem::replace(exchange, stand_in));
        self.0.set(Some(std::mem::replace(exchange, lent)));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_comes_back_and_the_stand_in_stays() {
        let stand_in = StandIn::default();
        let mut exchange = Box::new(Exchange::blank());
        exchange.request_id = 7;
        for _ in 0..2 {
            let seen = stand_in.lend(&mut exchange, |lent| {
                let id = lent.request_id;
                (lent, id)
            });
            assert_eq!((seen, exchange.request_id), (7, 7));
        }
        let kept = stand_in.0.take().map(|exchange| exchange.request_id);
        assert_eq!(kept, Some(0));
    }
}
