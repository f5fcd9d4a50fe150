//! Which servers work, as health checks see it. All workers share it, and it outlives reloads as long as a server and the way it is
//! checked stay the same.

mod checker;
mod probe;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tidegate_dsl::plan::{GroupId, HealthCheck, Plan, Server};

pub use self::checker::Checker;
use crate::tls::{GroupTls, Secure};

/// What is known of the servers of a policy.
#[derive(Default)]
pub struct Health {
    /// What is known of each group, in the order of the plan; empty if its servers are not checked.
    groups: Vec<Vec<Arc<ServerHealth>>>,
    /// The servers that get requests: what becomes of the others is of no interest.
    checked: Vec<Arc<ServerHealth>>,
}

/// What is known of one server of one group.
pub struct ServerHealth {
    /// The group, for the log.
    group: String,
    /// Where the server is checked.
    server: Server,
    check: HealthCheck,
    /// What checks are secured with; `None` is in clear text.
    secure: Option<Secure>,
    healthy: AtomicBool,
    /// What became of the last check. The thread `health` writes it, and whoever watches the gateway reads it.
    last: Mutex<Option<LastCheck>>,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCheck {
    /// The time when the check was done.
    pub at: SystemTime,
    /// The time that the check took.
    pub took: Duration,
    /// The reason why the check failed, if it did.
    pub error: Option<String>,
}

impl Health {
    /// What is known of the servers of a plan; what stayed the same is taken over. `checks` says of each group what its checks are secured with.
    pub fn of(plan: &Plan, checks: &[Option<GroupTls>], previous: Option<&Self>) -> Self {
        let known = previous.map(|previous| previous.groups.as_slice()).unwrap_or_default();
        let groups = plan.groups.iter().enumerate().map(|(at, group)| {
            let Some(check) = &group.health_check else { return Vec::new() };
            let secure = |server| checks.get(at).and_then(Option::as_ref).and_then(|tls| tls.secure(server));
            let servers = group.servers.iter().enumerate().map(|(position, server)| {
                let server = Server { port: check.port.unwrap_or(server.port), ..server.clone() };
                let new = ServerHealth {
                    group: group.name.clone(),
                    server,
                    check: check.clone(),
                    secure: secure(position),
                    healthy: AtomicBool::new(true),
                    last: Mutex::default(),
                };
                known.iter().flatten().find(|old| old.is_same(&new)).cloned().unwrap_or_else(|| Arc::new(new))
            });
            servers.collect()
        });
        let groups: Vec<Vec<_>> = groups.collect();
        let all = plan.groups.iter().zip(&groups).flat_map(|(group, health)| group.servers.iter().zip(health));
        let checked = all.filter(|(server, _)| server.takes_requests());
        let checked = checked.map(|(_, health)| Arc::clone(health)).collect();
        Self { groups, checked }
    }

    /// What is known of the servers of a group; empty if they are not checked.
    pub fn group(&self, id: GroupId) -> &[Arc<ServerHealth>] {
        self.groups.get(id.0).map_or(&[], Vec::as_slice)
    }

    /// All servers that are checked.
    fn servers(&self) -> impl Iterator<Item = &Arc<ServerHealth>> {
        self.checked.iter()
    }
}

impl ServerHealth {
    /// Whether the server works, as far as is known. One that was not checked yet is taken to work.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// What became of the last check; nothing before the first.
    pub fn last_check(&self) -> Option<LastCheck> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, took: Duration, error: Option<String>) {
        let last = LastCheck { at: SystemTime::now(), took, error };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    /// A server of a test.
    #[cfg(test)]
    fn at(host: &str, port: u16, check: HealthCheck) -> Self {
        let server = Server { host: host.into(), port, weight: 1, backup: false, stopped: false };
        Self {
            group: "web".into(),
            server,
            check,
            secure: None,
            healthy: AtomicBool::new(true),
            last: Mutex::default(),
        }
    }

    /// Whether both check the same server in the same way.
    fn is_same(&self, other: &Self) -> bool {
        let place = |health: &Self| (health.server.host.clone(), health.server.port);
        self.group == other.group
            && place(self) == place(other)
            && self.check == other.check
            && self.secure == other.secure
    }
}

/// Good or bad answers in a row.
#[derive(Debug, Default)]
struct Streak(u32);

impl Streak {
    /// Notes an answer; returns whether the server is to change to what the answer says.
    fn note(&mut self, good: bool, healthy: bool, check: &HealthCheck) -> bool {
        if good == healthy {
            self.0 = 0;
            return false;
        }
        self.0 += 1;
        let enough = self.0 >= if good { check.healthy } else { check.unhealthy };
        if enough {
            self.0 = 0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use tidegate_dsl::plan::Probe;

    use super::*;
    use crate::tests::world::policy;

    fn of(words: &str, previous: Option<&Health>) -> Health {
        Health::of(&policy(words), &[], previous)
    }

    #[test]
    fn what_stayed_the_same_is_taken_over() {
        let words = "server 10.0.0.1:1; server 10.0.0.1:2; health-check tcp { every 1s }";
        let old = of(words, None);
        let (first, second) = (&old.group(GroupId(0))[0], &old.group(GroupId(0))[1]);
        second.healthy.store(false, Ordering::Relaxed);
        let same = of("server 10.0.0.1:3; server 10.0.0.1:2; health-check tcp { every 1s }", Some(&old));
        assert!(Arc::ptr_eq(&same.group(GroupId(0))[1], second), "and what is known of it");
        assert!(same.group(GroupId(0))[0].is_healthy(), "who was not checked yet is taken to work");
        for changed in [
            "server 10.0.0.1:2; health-check tcp { every 2s }",
            "server 10.0.0.1:2; health-check tcp { every 1s; port 3 }",
        ] {
            assert!(of(changed, Some(&old)).group(GroupId(0))[0].is_healthy(), "{changed}: it is another check");
        }
        assert!(first.is_healthy() && !second.is_healthy());
    }

    #[test]
    fn who_gets_no_requests_is_not_asked() {
        let health = of(
            "server 10.0.0.1:1 state stopped; server 10.0.0.1:2 weight 0; server 10.0.0.1:3; health-check tcp { every 1s }",
            None,
        );
        assert_eq!(health.servers().map(|server| server.server.port).collect::<Vec<_>>(), [3]);
        assert_eq!((health.group(GroupId(0)).len(), health.group(GroupId(9)).len()), (3, 0));
        assert!(of("server 10.0.0.1:1", None).servers().next().is_none(), "there are no checks");
    }

    #[test]
    fn it_takes_answers_in_a_row() {
        let second = Duration::from_secs(1);
        let check =
            HealthCheck { probe: Probe::Tcp, port: None, every: second, timeout: second, healthy: 2, unhealthy: 3 };
        let (mut streak, mut healthy) = (Streak::default(), true);
        let answers = "bad bad good bad bad bad good bad good good good bad bad bad";
        let states: Vec<bool> = answers
            .split(' ')
            .map(|answer| {
                let good = answer == "good";
                if streak.note(good, healthy, &check) {
                    healthy = good;
                }
                healthy
            })
            .collect();
        let expected = [true, true, true, true, true, false, false, false, false, true, true, true, true, false];
        assert_eq!(states, expected, "{answers}");
    }
}
