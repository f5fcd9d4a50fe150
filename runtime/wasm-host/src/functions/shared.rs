//! `metrics`, `store` and `groups`: what goes beyond one request.

use std::time::{Duration, Instant};

use crate::base::host_error::HostError;
use crate::base::limits::STORE_KEY_BYTES;
use crate::functions::define::{ByteList, Define, Defined, Text};
use crate::guest::Guest;
use crate::shared::metrics::{MetricKind, Shared};
use crate::wit;

pub(super) fn metrics(functions: &mut impl Define) -> Defined {
    functions.scalar::<(Text, wit::MetricKind), _>("define", |guest, (name, kind)| {
        let kind = match kind {
            wit::MetricKind::Counter => MetricKind::Counter,
            wit::MetricKind::Gauge => MetricKind::Gauge,
            wit::MetricKind::Histogram => MetricKind::Histogram,
        };
        guest.settings.shared.metrics.define(name, kind)
    })?;
    functions.scalar::<(u32, f64), _>("add", |guest, (metric, by)| guest.settings.shared.metrics.add(metric, by))?;
    functions.scalar::<(u32, f64), _>("record-value", |guest, (metric, value)| {
        guest.settings.shared.metrics.record(metric, value)
    })
}

pub(super) fn store(functions: &mut impl Define) -> Defined {
    functions.answer::<(Text,), _>("get", |guest, (key,)| Ok(enter(guest, key)?.store.get(key, Instant::now())))?;
    functions.scalar::<(Text, ByteList, u32), _>("set", |guest, (key, value, ttl)| {
        Ok(enter(guest, key)?.store.set(key, value, time_to_live(ttl), Instant::now()).is_ok())
    })?;
    functions
        .scalar::<(Text,), _>("delete", |guest, (key,)| Ok(enter(guest, key)?.store.delete(key, Instant::now())))?;
    functions.answer::<(Text, i64, u32), _>("incr", |guest, (key, by, ttl)| {
        let sum = enter(guest, key)?.store.incr(key, by, time_to_live(ttl), Instant::now());
        Ok(sum.unwrap_or(None))
    })?;
    functions.scalar::<(Text, u32, f64), _>("take", |guest, (key, burst, per_second)| {
        Ok(match enter(guest, key)?.store.take(key, burst, per_second, Instant::now()) {
            Ok(true) => wit::Taken::Yes,
            Ok(false) => wit::Taken::No,
            Err(_) => wit::Taken::Full,
        })
    })
}

/// Counts a call of the store.
fn enter<'g>(guest: &'g mut Guest, key: &str) -> Result<&'g Shared, HostError> {
    if key.len() > STORE_KEY_BYTES {
        let bytes = key.len();
        return Err(HostError::too_much(format!(
            "the store's key has {bytes} bytes, and {STORE_KEY_BYTES} is the most"
        )));
    }
    guest.count_store()?;
    Ok(&guest.settings.shared)
}

fn time_to_live(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

pub(super) fn groups(functions: &mut impl Define) -> Defined {
    functions.answer::<(), _>("list", |guest, ()| {
        let groups = guest.groups.as_ref().map(|groups| groups.list()).unwrap_or_default();
        let group = |group: crate::shared::metrics::GroupState| wit::Group {
            name: group.name,
            healthy: group.healthy,
            total: group.total,
        };
        let reach = &guest.settings.reach.route;
        Ok(groups.into_iter().filter(|group| reach.covers(&group.name)).map(group).collect::<Vec<_>>())
    })
}
