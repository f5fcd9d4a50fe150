//! What a worker counts of requests: the cells of a policy's listeners, found by position, and the part of one request in them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tidegate_base::failure::Failure;
use tidegate_base::metrics::{Counter, Names, PerWorker};
use tidegate_dsl::plan::GroupId;

use crate::telemetry::metrics::Registry;
use crate::telemetry::metrics::registry::{ListenerCells, ListenerSeries, Statuses, WorkerCells};

/// The cells of a listener of one policy on one worker. Those of a rule are asked for by name when the first request comes to it,
/// once a policy; from then on its position finds them.
pub struct ListenerMeter {
    /// By nothing but the listener.
    pub cells: Arc<ListenerCells>,
    /// By nothing but the worker.
    worker: Arc<WorkerCells>,
    index: u16,
    registry: Arc<Registry>,
    series: Arc<ListenerSeries>,
    /// By position: requests without a rule, then those of the first rule, and so on. As long as the last one that was used.
    rules: RefCell<Vec<RuleMeter>>,
}

/// The cells of one rule of one listener.
#[derive(Default)]
struct RuleMeter {
    /// By group, in their order; most rules have one.
    groups: Vec<(Option<GroupId>, Arc<Statuses>)>,
    /// Requests that a `limit` refused.
    limited: Option<Arc<Counter>>,
}

/// What names the cells of a request: asked for only where they are not known yet.
pub struct RequestNames<'n> {
    /// The position of the rule, and its name.
    pub rule: Option<(usize, &'n str)>,
    /// The group, and its name.
    pub group: Option<(GroupId, &'n str)>,
}

impl ListenerMeter {
    /// The cells of a listener of this name on a worker.
    pub fn new(registry: &Arc<Registry>, name: &str, worker: u16) -> Rc<Self> {
        let series = registry.listeners.of(name);
        Rc::new(Self {
            cells: series.cells.of(worker),
            worker: registry.workers.of(worker),
            index: worker,
            registry: Arc::clone(registry),
            series,
            rules: RefCell::default(),
        })
    }

    /// Reads, and makes if it must, what is known of a rule.
    fn with_rule<T>(&self, names: &RequestNames<'_>, read: impl FnOnce(&mut RuleMeter) -> Option<T>) -> Option<T> {
        let at = names.rule.map_or(0, |(at, _)| at + 1);
        let mut rules = self.rules.borrow_mut();
        if rules.len() <= at {
            rules.resize_with(at + 1, RuleMeter::default);
        }
        rules.get_mut(at).and_then(read)
    }

    /// The cells of requests of this rule that went to this group.
    fn statuses(&self, names: &RequestNames<'_>) -> Option<Arc<Statuses>> {
        let group = names.group.map(|(id, _)| id);
        self.with_rule(names, |rule| {
            let at = match rule.groups.binary_search_by_key(&group, |(id, _)| *id) {
                Ok(at) => at,
                Err(at) => {
                    rule.groups.insert(at, (group, self.find(names)));
                    at
                }
            };
            rule.groups.get(at).map(|(_, statuses)| Arc::clone(statuses))
        })
    }

    #[cold]
    fn find(&self, names: &RequestNames<'_>) -> Arc<Statuses> {
        let rule: Arc<Names<PerWorker<Statuses>>> = self.series.requests.of(names.rule.map_or("", |(_, name)| name));
        rule.of(names.group.map_or("", |(_, name)| name)).of(self.index)
    }

    /// Counts a request that a `limit` of this rule refused.
    fn limited(&self, names: &RequestNames<'_>) {
        let Some((_, name)) = names.rule else { return };
        self.with_rule(names, |rule| {
            rule.limited.get_or_insert_with(|| self.registry.limited.of(name).of(self.index)).one();
            Some(())
        });
    }

    /// Counts a request that was refused before it had a rule.
    pub fn refused(&self, failure: Failure, took: Duration) {
        let status = failure.status();
        if let Some(count) = self.statuses(&RequestNames { rule: None, group: None }).as_deref().and_then(class(status))
        {
            count.one();
        }
        self.cells.duration.observe(took);
        self.worker.failed(failure);
    }
}

/// The count of a status among those of all classes.
fn class(status: StatusCode) -> impl FnOnce(&Statuses) -> Option<&Counter> {
    move |statuses| statuses.get(usize::from(status.as_u16() / 100).checked_sub(1)?)
}

/// The part of a request in the numbers. It is in flight until this is dropped.
pub struct Tally {
    meter: Rc<ListenerMeter>,
    started: Instant,
    /// What is counted at the end, once rule and group are known.
    statuses: Option<Arc<Statuses>>,
    is_tunnel: bool,
}

impl Tally {
    /// A request begins, whose head was there at this time.
    pub fn begin(meter: &Rc<ListenerMeter>, started: Instant) -> Self {
        meter.cells.in_flight.add(1);
        Self { meter: Rc::clone(meter), started, statuses: None, is_tunnel: false }
    }

    /// Rule and group are known, and nothing will change them. What is said first counts.
    pub fn settle(&mut self, names: &RequestNames<'_>, limited: bool) {
        if self.statuses.is_none() {
            self.statuses = self.meter.statuses(names);
            if limited {
                self.meter.limited(names);
            }
        }
    }

    /// The request becomes a tunnel.
    pub fn become_tunnel(&mut self) {
        if !std::mem::replace(&mut self.is_tunnel, true) {
            self.meter.cells.in_flight.add(-1);
            self.meter.cells.tunnels.add(1);
        }
    }

    /// Counts the end of the request, and says how long it took. The length of a tunnel says nothing of the gateway, and is
    /// not among the durations.
    pub fn end(&self, status: StatusCode, failure: Option<Failure>, trace_id: Option<u128>) -> Duration {
        let took = self.started.elapsed();
        if let Some(count) = self.statuses.as_deref().and_then(class(status)) {
            count.one();
        }
        if let Some(failure) = failure {
            self.meter.worker.failed(failure);
        }
        let duration = &self.meter.cells.duration;
        match trace_id {
            _ if self.is_tunnel => {}
            None => duration.observe(took),
            Some(trace_id) => duration.observe_traced(took, trace_id, epoch_ms()),
        }
        took
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let gauge = if self.is_tunnel { &self.meter.cells.tunnels } else { &self.meter.cells.in_flight };
        gauge.add(-1);
    }
}

fn epoch_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
