//! A metric that an extension defined.

use crate::metrics::kind::MetricKind;

/// A metric: of a counter or a gauge its one value, of a histogram all that came.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(super) kind: MetricKind,
    pub(crate) values: Vec<f64>,
}
