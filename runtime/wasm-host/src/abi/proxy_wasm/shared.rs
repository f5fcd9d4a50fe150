//! Shared data and metrics, which go beyond one request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use tidegate_engine::hook::Capability;

use super::status::{Answer, Cx, Data, Status, give, keep_words};
use crate::abi::foreign::head;
use crate::abi::foreign::state::{bytes, enter, put};
use crate::base::host_error::HostError;
use crate::base::limits::{METRIC_NAME_BYTES, STORE_KEY_BYTES};
use crate::functions::define::memory::Reader;
use crate::guest::Guest;
use crate::shared::metrics::MetricKind;
use crate::shared::store::NotSet;

/// Reads shared data. They lie in the store, with a number that changes with each write.
pub(super) fn get_data(
    mut caller: Cx<'_>,
    key: u32,
    length: u32,
    value_at: u32,
    length_at: u32,
    version_at: u32,
) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    let Some(key) = key_of(&mut data.guest, "proxy_get_shared_data", bytes(memory, key, length)?)? else {
        return Ok(Status::BadArgument.into());
    };
    let Some((value, version)) = data.guest.settings.shared.store.get_versioned(key, Instant::now()) else {
        return Ok(Status::NotFound.into());
    };
    put(&mut caller, version_at, &version.to_le_bytes())?;
    give(&mut caller, &value, value_at, length_at)
}

/// Writes shared data; with a version, only if nobody has written since.
pub(super) fn set_data(
    mut caller: Cx<'_>,
    key: u32,
    length: u32,
    value: u32,
    value_length: u32,
    version: u32,
) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    let mut reader = Reader::new(memory);
    let (key, value) = (reader.slice(key, length)?, reader.slice(value, value_length)?);
    let Some(key) = key_of(&mut data.guest, "proxy_set_shared_data", key)? else {
        return Ok(Status::BadArgument.into());
    };
    let version = (version != 0).then_some(version);
    Ok(match data.guest.settings.shared.store.set_versioned(key, value, version, Instant::now()) {
        Ok(()) => Status::Ok,
        Err(NotSet::Changed) => Status::CasMismatch,
        Err(NotSet::Full) => Status::InternalFailure,
    }
    .into())
}

fn key_of<'k>(guest: &mut Guest, function: &str, key: &'k [u8]) -> Result<Option<&'k str>, HostError> {
    guest.needs(function, Capability::Store)?;
    guest.count_store()?;
    Ok(std::str::from_utf8(key).ok().filter(|key| key.len() <= STORE_KEY_BYTES))
}

pub(super) fn define_metric(mut caller: Cx<'_>, kind: u32, name: u32, length: u32, number_at: u32) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    data.guest.needs("proxy_define_metric", Capability::Metrics)?;
    let kind = match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Histogram,
        _ => return Ok(Status::BadArgument.into()),
    };
    let name = metric_name(head::text(bytes(memory, name, length)?)?);
    match data.guest.settings.shared.metrics.define(&name, kind) {
        Ok(number) => {
            put(&mut caller, number_at, &number.to_le_bytes())?;
            Ok(Status::Ok.into())
        }
        Err(why) => {
            keep_words(data, &why.0.message, false);
            Ok(Status::InternalFailure.into())
        }
    }
}

/// A name that the host's metrics can have: what it may not hold becomes `_`, and one that is too long ends in a hash.
fn metric_name(given: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut name: String = given.to_ascii_lowercase().chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.starts_with("host_") {
        name.insert_str(0, "m_");
    }
    if name.len() > METRIC_NAME_BYTES {
        let mut hasher = DefaultHasher::new();
        given.hash(&mut hasher);
        name.truncate(METRIC_NAME_BYTES - 17);
        name.push_str(&format!("_{:016x}", hasher.finish()));
    }
    name
}

pub(super) fn increment_metric(mut caller: Cx<'_>, metric: u32, by: i64) -> Answer {
    caller.data().guest.needs("proxy_increment_metric", Capability::Metrics)?;
    let done = caller.data().guest.settings.shared.metrics.add(metric, by as f64);
    done_or_said(caller.data_mut(), done)
}

pub(super) fn record_metric(mut caller: Cx<'_>, metric: u32, value: u64) -> Answer {
    caller.data().guest.needs("proxy_record_metric", Capability::Metrics)?;
    let done = caller.data().guest.settings.shared.metrics.record(metric, value as f64);
    done_or_said(caller.data_mut(), done)
}

fn done_or_said(data: &mut Data, done: Result<(), HostError>) -> Answer {
    Ok(match done {
        Ok(()) => Status::Ok,
        Err(why) => {
            keep_words(data, &why.0.message, false);
            Status::BadArgument
        }
    }
    .into())
}

pub(super) fn get_metric(mut caller: Cx<'_>, metric: u32, value_at: u32) -> Answer {
    caller.data().guest.needs("proxy_get_metric", Capability::Metrics)?;
    let Some(value) = caller.data().guest.settings.shared.metrics.value(metric) else {
        return Ok(Status::NotFound.into());
    };
    put(&mut caller, value_at, &(value as u64).to_le_bytes())?;
    Ok(Status::Ok.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_metrics_are_made_to_fit() {
        assert_eq!(metric_name("wasmcustom.Hits-total"), "wasmcustom_hits_total");
        assert_eq!(metric_name("5xx"), "m_5xx");
        assert_eq!(metric_name("host_x"), "m_host_x");
        let long = "route.".repeat(30);
        assert_eq!(metric_name(&long).len(), METRIC_NAME_BYTES);
        assert_ne!(metric_name(&long), metric_name(&format!("{long}x")));
    }
}
