//! `/v1/certificates`: what is shown to clients, and how long it holds.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use tidegate_dsl::plan::CertificateId;

use super::super::answer::Answer;
use super::super::context::Context;
use super::{masked, since_epoch};

/// All certificates.
#[derive(Debug, Serialize)]
pub struct CertificateList {
    /// The number of the policy in service.
    pub generation: u64,
    /// The certificates, in the order of the policy.
    pub certificates: Vec<CertificateView>,
}

/// A certificate with its chain.
#[derive(Debug, Serialize)]
pub struct CertificateView {
    /// The name.
    pub name: String,
    /// The file of the chain.
    pub chain: String,
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// When it begins to hold.
    pub not_before: String,
    /// When it ends.
    pub not_after: String,
    /// Whole days until then; negative once it has ended.
    pub days_left: i64,
    /// When its OCSP response runs out, if it has one that says so.
    pub staple_until: Option<String>,
    /// The listeners that show it.
    pub listeners: Vec<String>,
}

/// `GET /v1/certificates`
pub fn all(context: &Context) -> Answer {
    let snapshot = context.snapshot();
    let plan = snapshot.plan();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let both = plan.certificates.iter().zip(&snapshot.tls.certificates.chains).enumerate();
    let certificates = both.map(|(at, (certificate, read))| {
        let shown = |tls: &tidegate_dsl::plan::ListenerTls| tls.certificates.contains(&CertificateId(at));
        let listeners = plan.listeners.iter().filter(|listener| listener.tls.as_ref().is_some_and(shown));
        CertificateView {
            name: certificate.name.clone(),
            chain: certificate.chain.clone(),
            names: read.names.clone(),
            not_before: since_epoch(read.not_before),
            not_after: since_epoch(read.not_after),
            days_left: days_left(read.not_after, now),
            staple_until: read.staple_until.map(since_epoch),
            listeners: listeners.map(|listener| listener.name.clone()).collect(),
        }
    });
    masked(context, &CertificateList { generation: snapshot.generation, certificates: certificates.collect() })
}

fn days_left(not_after: Duration, now: Duration) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(not_after).saturating_sub(seconds(now)).div_euclid(24 * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_a_certificate_that_ended_has_fewer_than_none() {
        const DAY: u64 = 24 * 3600;
        for (end, days) in [(3 * DAY, 3), (3 * DAY - 1, 2), (DAY - 1, 0), (0, 0)] {
            let now = Duration::from_secs(1_000 * DAY);
            assert_eq!(days_left(now + Duration::from_secs(end), now), days);
        }
        assert_eq!(days_left(Duration::from_secs(10), Duration::from_secs(11)), -1);
    }
}
