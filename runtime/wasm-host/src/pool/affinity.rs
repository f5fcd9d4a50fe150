//! The instance that serves a call: a request stays with the one that knows it.

use crate::base::limits::RETIRED_INSTANCES;
use crate::extension::instance::Instance;
use crate::extension::spec::ExtensionSpec;

/// The instance that knows the request; for a request that none knows, one that takes new ones.
pub(crate) fn take(idle: &mut Vec<Instance>, spec: &ExtensionSpec, request: Option<u128>) -> Option<Instance> {
    let known = |instance: &Instance| request.is_some_and(|request| knows(instance, request));
    let known = idle.iter().position(known);
    let at = known.or_else(|| idle.iter().rposition(|instance| takes_new(instance, spec)))?;
    Some(idle.swap_remove(at))
}

/// Keeps an instance after a call that went well. One that takes no new requests is kept for those it has.
pub(crate) fn put(idle: &mut Vec<Instance>, spec: &ExtensionSpec, instance: Instance, went_well: bool) {
    if !went_well {
        return;
    }
    if takes_new(&instance, spec) {
        let others = idle.iter().filter(|other| takes_new(other, spec)).count();
        if others < spec.instances as usize {
            idle.push(instance);
        }
        return;
    }
    if instance.running.requests().is_none_or(|requests| requests.len() == 0) {
        return;
    }
    // Fresh instances have a request each, and the pool's share of the engine's room is their bound.
    if !spec.fresh {
        let retired = idle.iter().filter(|other| !takes_new(other, spec)).count();
        if retired >= RETIRED_INSTANCES
            && let Some(oldest) = idle.iter().position(|other| !takes_new(other, spec))
        {
            idle.remove(oldest);
        }
    }
    // At the front, so that what takes new requests is found first.
    idle.insert(0, instance);
}

fn knows(instance: &Instance, request: u128) -> bool {
    instance.running.requests().is_some_and(|requests| requests.get(request).is_some())
}

fn takes_new(instance: &Instance, spec: &ExtensionSpec) -> bool {
    !spec.fresh && !instance.is_worn()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_engine::hook::Abi;

    use super::*;
    use crate::testing::{instance, spec};

    /// The requests of each idle instance, which know one at most.
    fn known(idle: &[Instance]) -> Vec<Option<u128>> {
        let of = |instance: &Instance| (1..9).find(|request| knows(instance, *request));
        idle.iter().map(of).collect()
    }

    #[test]
    fn a_request_goes_to_the_instance_that_knows_it() {
        let spec = spec(Abi::ProxyWasm, 3);
        let mut idle: Vec<Instance> =
            [&[][..], &[1], &[2]].into_iter().map(|requests| instance(&spec, requests)).collect();
        let taken = take(&mut idle, &spec, Some(1)).unwrap();
        assert!(knows(&taken, 1));
        assert_eq!(known(&idle), [None, Some(2)]);
        let taken = take(&mut idle, &spec, Some(3)).unwrap();
        assert!(knows(&taken, 2), "nobody knows it, so that the last takes it");
        assert!(take(&mut idle, &spec, None).is_some() && take(&mut idle, &spec, Some(2)).is_none());
    }

    #[test]
    fn fresh_instances_serve_the_request_they_know_and_no_other() {
        let spec = ExtensionSpec { fresh: true, ..spec(Abi::ProxyWasm, 1) };
        let mut idle = Vec::new();
        put(&mut idle, &spec, instance(&spec, &[]), true);
        assert!(idle.is_empty(), "it knows nothing that anybody would come back for");
        (1..=6).for_each(|request| put(&mut idle, &spec, instance(&spec, &[request]), true));
        assert_eq!(idle.len(), 6);
        assert!(take(&mut idle, &spec, None).is_none() && take(&mut idle, &spec, Some(7)).is_none());
        assert!(take(&mut idle, &spec, Some(4)).is_some_and(|instance| knows(&instance, 4)));
    }

    #[test]
    fn instances_are_kept_up_to_their_number_unless_they_failed() {
        let spec = spec(Abi::HttpWasm, 2);
        let mut idle = Vec::new();
        put(&mut idle, &spec, instance(&spec, &[1]), false);
        assert!(idle.is_empty());
        (0..3).for_each(|_| put(&mut idle, &spec, instance(&spec, &[]), true));
        assert_eq!(idle.len(), 2);
    }

    #[test]
    fn worn_instances_are_kept_for_their_requests_up_to_a_bound() {
        let spec = spec(Abi::ProxyWasm, 1);
        let worn = |request: u128| {
            let mut instance = instance(&spec, &[request]);
            instance.wear_out();
            instance
        };
        let mut idle = Vec::new();
        put(&mut idle, &spec, instance(&spec, &[]), true);
        let count = RETIRED_INSTANCES as u128;
        (1..=count + 1).for_each(|request| put(&mut idle, &spec, worn(request), true));
        assert_eq!(idle.len(), RETIRED_INSTANCES + 1, "one of those that are worn had to go");
        assert!(take(&mut idle, &spec, None).is_some_and(|instance| !instance.is_worn()));
        assert!(take(&mut idle, &spec, None).is_none(), "those that are worn take no new requests");
        assert!(take(&mut idle, &spec, Some(count + 1)).is_some());
    }
}
