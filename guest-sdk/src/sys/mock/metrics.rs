//! The metrics that an extension defines.

use super::call;
use super::metric::Metric;
use super::permissions::needs;
use super::shared::on;
use super::stop::{Fault, shown, stop};
use crate::bounds::{METRIC_NAME_BYTES, METRICS_PER_EXTENSION};
use crate::metrics::kind::MetricKind;

pub(crate) fn metric_define(name: &str, kind: MetricKind) -> u32 {
    needs("metrics", "metrics");
    call::transfer([name.len()]);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !first || !rest || name.len() > METRIC_NAME_BYTES || name.starts_with("host_") {
        let name = shown(name);
        let what = "it is of `[a-z0-9_]`, begins with a letter and not with `host_`";
        let why = format!("`{name}` is no name of a metric: {what}, and has at most {METRIC_NAME_BYTES} bytes");
        stop(Fault::BadValue, why);
    }
    on(|shared| {
        let at = match shared.metrics.iter().position(|metric| metric.name == name) {
            Some(at) if shared.metrics[at].kind != kind => {
                stop(Fault::BadValue, format!("the metric `{name}` is of another kind"))
            }
            Some(at) => at,
            None if shared.metrics.len() >= METRICS_PER_EXTENSION => {
                let most = format!("an extension may define {METRICS_PER_EXTENSION}");
                stop(Fault::TooMuch, format!("the metric `{name}` is one too many: {most}"))
            }
            None => {
                shared.metrics.push(Metric { name: name.to_owned(), kind, values: Vec::new() });
                shared.metrics.len() - 1
            }
        };
        u32::try_from(at).unwrap_or(u32::MAX)
    })
}

pub(crate) fn metric_add(metric: u32, by: f64) {
    change(metric, |metric| {
        let name = &metric.name;
        match metric.kind {
            MetricKind::Histogram => Err(format!("the metric `{name}` is a histogram: record values")),
            MetricKind::Counter if by < 0.0 => Err(format!("the metric `{name}` cannot take {by}")),
            _ if !by.is_finite() => Err(format!("the metric `{name}` cannot take {by}")),
            _ => {
                let sum = metric.values.first().copied().unwrap_or_default() + by;
                metric.values = vec![sum];
                Ok(())
            }
        }
    });
}

pub(crate) fn metric_record(metric: u32, value: f64) {
    change(metric, |metric| {
        let name = &metric.name;
        match metric.kind {
            _ if !value.is_finite() => Err(format!("the metric `{name}` cannot take {value}")),
            MetricKind::Counter => Err(format!("the metric `{name}` is a counter: add to it")),
            MetricKind::Gauge => {
                metric.values = vec![value];
                Ok(())
            }
            MetricKind::Histogram => {
                metric.values.push(value);
                Ok(())
            }
        }
    });
}

fn change(metric: u32, work: impl FnOnce(&mut Metric) -> Result<(), String>) {
    needs("metrics", "metrics");
    let unknown = || format!("there is no metric {metric}: define it first");
    let done = on(|shared| shared.metrics.get_mut(metric as usize).map_or_else(|| Err(unknown()), work));
    if let Err(why) = done {
        stop(Fault::BadValue, why);
    }
}
