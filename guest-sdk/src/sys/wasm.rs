//! The real host: straight calls of the imports.

use crate::bindings::extension::tidegate::extension as host;
use crate::groups::group::Group;
use crate::log::level::Level;
use crate::metrics::kind::MetricKind;
use crate::outbound::answer::{Answer, Failure};
use crate::outbound::call::Call;
use crate::store::taken::Taken;
use crate::tls::Tls;

pub(crate) use host::clock::{monotonic_ns, now_unix_ns};
pub(crate) use host::conn::{client_ip, listener, peer, protocol};
pub(crate) use host::fault::message as fault_message;
pub(crate) use host::metrics::{add as metric_add, record_value as metric_record};
pub(crate) use host::random::get_u64 as random_u64;
pub(crate) use host::read_request::{
    authority, get as request_get, get_all as request_get_all, method, path, query, scheme, version,
};
pub(crate) use host::read_response::{get as response_get, get_all as response_get_all, status};
pub(crate) use host::respond::may_respond;
pub(crate) use host::rewrite::{set_authority, set_path, set_query};
pub(crate) use host::route::may_forward;
pub(crate) use host::store::{delete as store_delete, get as store_get, incr as store_incr, set as store_set};
pub(crate) use host::vars::{get as var_get, set as var_set};
pub(crate) use host::write_request_headers::{add as request_add, remove as request_remove, set as request_set};
pub(crate) use host::write_response_headers::{
    add as response_add, remove as response_remove, set as response_set, set_status,
};

pub(crate) fn request_all() -> Vec<(String, Vec<u8>)> {
    host::read_request::all().into_iter().map(|header| (header.name, header.value)).collect()
}

pub(crate) fn response_all() -> Vec<(String, Vec<u8>)> {
    host::read_response::all().into_iter().map(|header| (header.name, header.value)).collect()
}

pub(crate) fn tls() -> Option<Tls> {
    host::conn::tls().map(|tls| Tls { sni: tls.sni, version: tls.version, cipher: tls.cipher })
}

pub(crate) fn log_enabled(level: Level) -> bool {
    host::log::enabled(log_level(level))
}

pub(crate) fn log_write(level: Level, message: &str) {
    host::log::write(log_level(level), message);
}

const fn log_level(level: Level) -> host::log::Level {
    match level {
        Level::Debug => host::log::Level::Debug,
        Level::Info => host::log::Level::Info,
        Level::Warn => host::log::Level::Warn,
        Level::Error => host::log::Level::Error,
    }
}

pub(crate) fn metric_define(name: &str, kind: MetricKind) -> u32 {
    let kind = match kind {
        MetricKind::Counter => host::metrics::Kind::Counter,
        MetricKind::Gauge => host::metrics::Kind::Gauge,
        MetricKind::Histogram => host::metrics::Kind::Histogram,
    };
    host::metrics::define(name, kind)
}

pub(crate) fn store_take(key: &str, burst: u32, per_second: f64) -> Taken {
    match host::store::take(key, burst, per_second) {
        host::store::Taken::Yes => Taken::Yes,
        host::store::Taken::No => Taken::No,
        host::store::Taken::Full => Taken::Full,
    }
}

pub(crate) fn groups() -> Vec<Group> {
    let group = |group: host::groups::Group| Group { name: group.name, healthy: group.healthy, total: group.total };
    host::groups::list().into_iter().map(group).collect()
}

pub(crate) fn fetch(call: &Call) -> Result<Answer, Failure> {
    let header = |(name, value): &(String, Vec<u8>)| host::types::Header { name: name.clone(), value: value.clone() };
    let call = host::outbound::Call {
        group: call.group.clone(),
        method: call.method.clone(),
        authority: call.authority.clone(),
        target: call.target.clone(),
        headers: call.headers.iter().map(header).collect(),
        body: call.body.clone(),
        timeout_ms: call.timeout_ms,
    };
    let answer = host::outbound::fetch(&call).map_err(|failure| match failure {
        host::outbound::Failure::Unreachable => Failure::Unreachable,
        host::outbound::Failure::Timeout => Failure::Timeout,
        host::outbound::Failure::Broken => Failure::Broken,
        host::outbound::Failure::TooLarge => Failure::TooLarge,
        host::outbound::Failure::Busy => Failure::Busy,
        host::outbound::Failure::Offline => Failure::Offline,
    })?;
    let headers = answer.headers.into_iter().map(|header| (header.name, header.value)).collect();
    Ok(Answer { status: answer.status, headers, body: answer.body })
}
