//! Numbers for the operator, shared by all workers. Needs `metrics` in `allow`. Define them in
//! [`Filter::init`](crate::Filter::init) and keep them in the filter.
#![forbid(unsafe_code)]

use crate::sys;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A number that only grows.
#[derive(Debug, Clone, Copy)]
pub struct Counter(u32);

/// A number that goes up and down.
#[derive(Debug, Clone, Copy)]
pub struct Gauge(u32);

/// How often values of each size came.
#[derive(Debug, Clone, Copy)]
pub struct Histogram(u32);

impl Counter {
    /// The counter of this name: `[a-z][a-z0-9_]*`.
    pub fn new(name: &str) -> Self {
        Self(sys::metric_define(name, Kind::Counter))
    }

    /// Adds to it; nothing negative.
    pub fn add(self, by: f64) {
        sys::metric_add(self.0, by);
    }
}

impl Gauge {
    /// The gauge of this name.
    pub fn new(name: &str) -> Self {
        Self(sys::metric_define(name, Kind::Gauge))
    }

    /// Adds to it.
    pub fn add(self, by: f64) {
        sys::metric_add(self.0, by);
    }

    /// Sets it.
    pub fn set(self, value: f64) {
        sys::metric_record(self.0, value);
    }
}

impl Histogram {
    /// The histogram of this name.
    pub fn new(name: &str) -> Self {
        Self(sys::metric_define(name, Kind::Histogram))
    }

    /// Counts a value.
    pub fn record(self, value: f64) {
        sys::metric_record(self.0, value);
    }
}
