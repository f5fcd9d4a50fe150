//! The facts that the thread `policy` writes down for whoever watches the gateway: what became of each listener, and of the
//! last policies. Neither a worker nor a request takes these locks.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use tidegate_base::limits;
use tidegate_dsl::diff::Changes;

use super::lifecycle::Lifecycle;
use crate::policy::mask::Mask;
use crate::policy::overrides::Overrides;

/// What is known of the gateway beside the policy in service.
pub struct Facts {
    /// The policy's file.
    pub root: PathBuf,
    /// When the process started.
    pub started: SystemTime,
    /// The number of workers.
    pub workers: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lifecycle: Lifecycle,
    generations: VecDeque<Generation>,
    overrides: Overrides,
    mask: Mask,
    socket_files: Vec<PathBuf>,
    is_ending: bool,
}

/// A policy that was read, and what became of it.
#[derive(Debug, Clone)]
pub struct Generation {
    /// The number of the policy in service since then.
    pub generation: u64,
    /// When it was read.
    pub at: SystemTime,
    /// How long that took, in milliseconds.
    pub ms: u64,
    /// The reason why it was read, in words.
    pub cause: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a policy that was read.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The policy is in service, with these changes against the one before.
    InService(Changes),
    /// The policy was refused, and the one before serves on: for these mistakes, and this reason.
    Refused {
        /// The mistakes, with their places in the source, for people.
        shown: String,
        /// The mistakes, a JSON object each.
        diagnostics: Vec<serde_json::Value>,
        /// What no place in the text stands for.
        reason: Option<String>,
    },
}

impl Facts {
    /// The facts of a gateway that starts.
    pub fn new(root: PathBuf, workers: usize) -> Self {
        Self { root, started: SystemTime::now(), workers, inner: Mutex::default() }
    }

    /// Reads or changes what is known of the listeners, after what time has brought.
    pub fn lifecycle<T>(&self, act: impl FnOnce(&mut Lifecycle) -> T) -> T {
        let mut inner = self.inner();
        inner.lifecycle.settle(Instant::now());
        act(&mut inner.lifecycle)
    }

    /// Notes what became of a policy that was read; one that was refused again for the same reason takes the place of the last.
    pub fn note(&self, generation: Generation) {
        let mut inner = self.inner();
        let is_same = |last: &Generation| match (&last.outcome, &generation.outcome) {
            (Outcome::Refused { shown, reason, .. }, Outcome::Refused { shown: new_shown, reason: new_reason, .. }) => {
                shown == new_shown && reason == new_reason
            }
            _ => false,
        };
        if inner.generations.back().is_some_and(is_same) {
            inner.generations.pop_back();
        }
        if inner.generations.len() == limits::GENERATIONS_KEPT {
            inner.generations.pop_front();
        }
        inner.generations.push_back(generation);
    }

    /// The last policies that were read, the newest first.
    pub fn generations(&self) -> Vec<Generation> {
        self.inner().generations.iter().rev().cloned().collect()
    }

    /// The last policy that was read.
    pub fn last(&self) -> Option<Generation> {
        self.inner().generations.back().cloned()
    }

    /// Notes what is changed by hand, and what is hidden of the environment, in the policy in service.
    pub fn set_policy(&self, overrides: Overrides, mask: Option<Mask>) {
        let mut inner = self.inner();
        inner.overrides = overrides;
        if let Some(mask) = mask {
            inner.mask = mask;
        }
    }

    /// What is changed by hand.
    pub fn overrides(&self) -> Overrides {
        self.inner().overrides.clone()
    }

    /// The values of the environment that are not to be shown.
    pub fn mask(&self) -> Mask {
        self.inner().mask.clone()
    }

    /// Notes the files of the Unix sockets that are open.
    pub fn set_socket_files(&self, files: Vec<PathBuf>) {
        self.inner().socket_files = files;
    }

    /// Removes the files of the Unix sockets: the process is about to end.
    pub fn remove_socket_files(&self) {
        for file in std::mem::take(&mut self.inner().socket_files) {
            // It may have been removed by hand.
            let _ = std::fs::remove_file(file);
        }
    }

    /// Notes that the gateway ends.
    pub fn end(&self) {
        self.inner().is_ending = true;
    }

    /// Whether the gateway ends: nothing is changed any more.
    pub fn is_ending(&self) -> bool {
        self.inner().is_ending
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn refused(reason: &str) -> Generation {
        let outcome = Outcome::Refused { shown: String::new(), diagnostics: Vec::new(), reason: Some(reason.into()) };
        Generation { generation: 1, at: SystemTime::now(), ms: 1, cause: "a file changed".into(), outcome }
    }

    fn reasons(facts: &Facts) -> Vec<String> {
        let reason = |generation: &Generation| match &generation.outcome {
            Outcome::Refused { reason, .. } => reason.clone().unwrap_or_default(),
            Outcome::InService(_) => "in service".to_owned(),
        };
        facts.generations().iter().map(reason).collect()
    }

    #[test]
    fn what_is_refused_again_and_again_is_one_entry() {
        let facts = Facts::new("a.gate".into(), 1);
        for reason in ["port", "port", "other", "port"] {
            facts.note(refused(reason));
        }
        assert_eq!(reasons(&facts), ["port", "other", "port"]);
        facts.note(Generation { outcome: Outcome::InService(Changes::default()), ..refused("") });
        facts.note(refused("port"));
        assert_eq!(reasons(&facts)[..2], ["port", "in service"]);
    }

    #[test]
    fn the_last_few_are_kept() {
        let facts = Facts::new("a.gate".into(), 1);
        (0..limits::GENERATIONS_KEPT + 3).for_each(|at| facts.note(refused(&at.to_string())));
        let kept = reasons(&facts);
        assert_eq!(kept.len(), limits::GENERATIONS_KEPT);
        assert_eq!((kept.first().unwrap().as_str(), kept.last().unwrap().as_str()), ("22", "3"));
        assert!(matches!(facts.last().unwrap().outcome, Outcome::Refused { reason: Some(last), .. } if last == "22"));
    }
}
