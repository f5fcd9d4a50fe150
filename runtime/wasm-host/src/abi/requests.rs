//! The requests that an instance has under way.

use std::collections::{HashMap, VecDeque};

use http::HeaderMap;
use tidegate_engine::hook::Hook;

use crate::guest::callout::Callout;

/// The requests that an instance has under way, by their ids, with what guest and host remember of each.
#[derive(Default)]
pub(crate) struct Requests(HashMap<u128, Context>);

/// One request in one guest.
#[derive(Debug)]
pub(crate) struct Context {
    /// The guest's number for it.
    pub(crate) number: u32,
    /// The body hook that the guest waits for: what comes before it is held back.
    pub(crate) held: Option<Hook>,
    /// Pieces of a body that the guest held back, to see them with the next one.
    pub(crate) kept: Vec<u8>,
    /// Fields for the response that is to come.
    pub(crate) fields: HeaderMap,
    /// Bytes for the response that is to come, before its own.
    pub(crate) ahead: Vec<u8>,
    /// Calls to other servers that the guest asked for, and that are yet to be made.
    pub(crate) parked: VecDeque<Parked>,
    /// The number of callouts that the guest asked for in this hook.
    pub(crate) calls_made: u32,
    /// Whether the guest paused the request while its callouts are made.
    pub(crate) paused: bool,
}

/// A call to another server.
#[derive(Debug)]
pub(crate) struct Parked {
    /// The guest's number for it.
    pub(crate) token: u32,
    pub(crate) call: Callout,
}

impl Context {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            held: None,
            kept: Vec::new(),
            fields: HeaderMap::new(),
            ahead: Vec::new(),
            parked: VecDeque::new(),
            calls_made: 0,
            paused: false,
        }
    }
}

impl Requests {
    pub(crate) fn get(&self, request: u128) -> Option<&Context> {
        self.0.get(&request)
    }

    pub(crate) fn get_mut(&mut self, request: u128) -> Option<&mut Context> {
        self.0.get_mut(&request)
    }

    /// The next call to another server that is to be made for a request.
    pub(crate) fn next_call(&mut self, request: u128) -> Option<Parked> {
        self.0.get_mut(&request)?.parked.pop_front()
    }

    pub(crate) fn insert(&mut self, request: u128, context: Context) {
        self.0.insert(request, context);
    }

    pub(crate) fn remove(&mut self, request: u128) -> Option<Context> {
        self.0.remove(&request)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::callout;

    #[test]
    fn callouts_of_a_request_are_made_in_their_order() {
        let mut requests = Requests::default();
        requests.insert(1, Context::new(10));
        requests.insert(2, Context::new(20));
        for (token, group) in [(1, "a"), (2, "b")] {
            requests.get_mut(1).unwrap().parked.push_back(Parked { token, call: callout(group) });
        }
        assert_eq!((requests.len(), requests.get(2).unwrap().number), (2, 20));
        assert!(requests.next_call(2).is_none() && requests.next_call(3).is_none());
        let made: Vec<(u32, String)> =
            std::iter::from_fn(|| requests.next_call(1)).map(|parked| (parked.token, parked.call.group)).collect();
        assert_eq!(made, [(1, "a".to_owned()), (2, "b".to_owned())]);
        assert_eq!(requests.remove(1).unwrap().number, 10);
        assert!(requests.get(1).is_none() && requests.remove(1).is_none());
    }
}
