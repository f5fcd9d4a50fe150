//! Numbers for the operator, shared by all workers. Needs `metrics` in `allow`. Define them in
//! [`Filter::init`](crate::Filter::init) and keep them in the filter.
#![forbid(unsafe_code)]

pub(crate) mod kind;

use self::kind::MetricKind;
use crate::sys;

/// A number that only grows.
///
/// ```
/// # use tidegate_guest::{TestHost, metrics::Counter};
/// let outcome = TestHost::new().in_request(|_| Counter::new("requests").add(1.0));
/// assert_eq!(outcome.metric("requests"), [1.0]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Counter(u32);

/// A number that goes up and down.
///
/// ```
/// # use tidegate_guest::{TestHost, metrics::Gauge};
/// let outcome = TestHost::new().in_request(|_| Gauge::new("open").set(3.0));
/// assert_eq!(outcome.metric("open"), [3.0]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Gauge(u32);

/// A metric of how often values of each size came.
///
/// ```
/// # use tidegate_guest::{TestHost, metrics::Histogram};
/// let outcome = TestHost::new().in_request(|_| Histogram::new("bytes").record(512.0));
/// assert_eq!(outcome.metric("bytes"), [512.0]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Histogram(u32);

impl Counter {
    /// The counter of this name: `[a-z][a-z0-9_]*`.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, metrics::Counter};
    /// struct Counted(Counter);
    ///
    /// impl Filter for Counted {
    ///     type Config = ();
    ///     fn init((): ()) -> Result<Self> {
    ///         Ok(Self(Counter::new("requests")))
    ///     }
    /// }
    /// ```
    pub fn new(name: &str) -> Self {
        Self(sys::metric_define(name, MetricKind::Counter))
    }

    /// Adds to it; nothing negative.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, metrics::Counter};
    /// let outcome = TestHost::new().in_request(|_| Counter::new("requests").add(2.0));
    /// assert_eq!(outcome.metric("requests"), [2.0]);
    /// ```
    pub fn add(self, by: f64) {
        sys::metric_add(self.0, by);
    }
}

impl Gauge {
    /// The gauge of this name.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, metrics::Gauge};
    /// struct Counted(Gauge);
    ///
    /// impl Filter for Counted {
    ///     type Config = ();
    ///     fn init((): ()) -> Result<Self> {
    ///         Ok(Self(Gauge::new("open")))
    ///     }
    /// }
    /// ```
    pub fn new(name: &str) -> Self {
        Self(sys::metric_define(name, MetricKind::Gauge))
    }

    /// Adds to it.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, metrics::Gauge};
    /// let outcome = TestHost::new().in_request(|_| Gauge::new("open").add(-1.0));
    /// assert_eq!(outcome.metric("open"), [-1.0]);
    /// ```
    pub fn add(self, by: f64) {
        sys::metric_add(self.0, by);
    }

    /// Sets it.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, metrics::Gauge};
    /// let outcome = TestHost::new().in_request(|_| Gauge::new("open").set(3.0));
    /// assert_eq!(outcome.metric("open"), [3.0]);
    /// ```
    pub fn set(self, value: f64) {
        sys::metric_record(self.0, value);
    }
}

impl Histogram {
    /// The histogram of this name.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, metrics::Histogram};
    /// struct Counted(Histogram);
    ///
    /// impl Filter for Counted {
    ///     type Config = ();
    ///     fn init((): ()) -> Result<Self> {
    ///         Ok(Self(Histogram::new("bytes")))
    ///     }
    /// }
    /// ```
    pub fn new(name: &str) -> Self {
        Self(sys::metric_define(name, MetricKind::Histogram))
    }

    /// Counts a value.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, metrics::Histogram};
    /// let outcome = TestHost::new().in_request(|_| Histogram::new("bytes").record(5.0));
    /// assert_eq!(outcome.metric("bytes"), [5.0]);
    /// ```
    pub fn record(self, value: f64) {
        sys::metric_record(self.0, value);
    }
}
