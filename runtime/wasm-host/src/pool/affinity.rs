//! Which instance serves which call: a request stays with the one that knows it.

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
