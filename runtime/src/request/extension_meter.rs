//! What a worker counts of the calls of an extension.

use std::sync::Arc;
use std::time::Instant;

use tidegate_engine::hook::{BodyVerdict, Hook, HookFault, Verdict};

use crate::telemetry::metrics::Registry;
use crate::telemetry::metrics::registry::{ExtensionCells, Outcome};

/// The cells of an extension on one worker.
pub struct ExtensionMeter(Arc<ExtensionCells>);

/// A verdict, as it is counted.
pub trait ToOutcome {
    /// The outcome.
    fn outcome(&self) -> Outcome;
}

impl ToOutcome for Verdict {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Next => Outcome::Next,
            Self::Respond(_) => Outcome::Respond,
            Self::Forward(_) => Outcome::Forward,
            Self::Close => Outcome::Close,
        }
    }
}

impl ToOutcome for BodyVerdict {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Next => Outcome::Next,
            Self::Replace(_) => Outcome::Replace,
            Self::Respond(_) => Outcome::Respond,
            Self::Close => Outcome::Close,
        }
    }
}

/// A hook that decides nothing.
impl ToOutcome for () {
    fn outcome(&self) -> Outcome {
        Outcome::Next
    }
}

impl ExtensionMeter {
    /// The cells of the extension of this name.
    pub fn new(registry: &Registry, name: &str, worker: u16) -> Self {
        Self(registry.extensions.of(name).of(worker))
    }

    /// Counts a call that has begun at this time, and has ended now. Where the guest was not called at all, there is no time of a
    /// call.
    pub fn ended<V: ToOutcome>(&self, hook: Hook, began: Instant, verdict: &Result<V, HookFault>) {
        let Some(cells) = self.0.hooks.get(hook as usize) else { return };
        let outcome = verdict.as_ref().map_or(Outcome::Fault, ToOutcome::outcome);
        if let Some(count) = cells.outcomes.get(outcome as usize) {
            count.one();
        }
        if !verdict.as_ref().is_err_and(|fault| fault.kind.is_uncalled()) {
            cells.duration.observe(began.elapsed());
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tidegate_base::metrics::HistogramRead;
    use tidegate_engine::hook::HookFaultKind;

    use super::*;
    use crate::telemetry::metrics::registry::HOOKS;

    #[test]
    fn calls_are_counted_by_hook_and_outcome_and_only_those_that_were_made_are_timed() {
        let registry = Registry::default();
        let meter = ExtensionMeter::new(&registry, "x", 0);
        let fault = |kind| Err::<Verdict, _>(HookFault { kind, message: String::new() });
        meter.ended(Hook::Request, Instant::now(), &Ok(Verdict::Close));
        meter.ended(Hook::Request, Instant::now(), &fault(HookFaultKind::Trap));
        meter.ended(Hook::Request, Instant::now(), &fault(HookFaultKind::Paused));
        meter.ended(Hook::Tick, Instant::now(), &Ok(()));
        let cells = registry.extensions.of("x").of(0);
        let of = |hook: Hook| {
            let mut time = HistogramRead::default();
            let cells = cells.hooks.get(hook as usize).unwrap();
            cells.duration.read(&mut time);
            (Outcome::ALL.map(|outcome| cells.outcomes.get(outcome as usize).unwrap().value()), time.count())
        };
        assert_eq!(of(Hook::Request), ([0, 0, 0, 0, 1, 2], 2));
        assert_eq!(of(Hook::Tick), ([1, 0, 0, 0, 0, 0], 1));
        assert_eq!(of(Hook::Log), ([0; 6], 0));
        assert!(HOOKS.iter().enumerate().all(|(at, hook)| *hook as usize == at));
    }
}
