//! The thread that checks servers: a task for each.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidegate_base::address::address;
use tidegate_base::limits;
use tidegate_base::standstill::within;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval_at};
use tracing::{info, warn};

use super::probe::probe;
use super::{Health, ServerHealth, Streak};

/// Checks the servers of the policy in service.
#[derive(Default)]
pub struct Checker(Option<UnboundedSender<Vec<Arc<ServerHealth>>>>);

impl Checker {
    /// Checks these servers from now on, and no others. Checks of a server that stays go on as they were. The thread is started when there is something to
    /// check for the first time.
    ///
    /// # Errors
    /// The system has no thread or no event loop left.
    pub fn watch(&mut self, health: &Health) -> io::Result<()> {
        let servers: Vec<_> = health.servers().cloned().collect();
        let sender = match &self.0 {
            Some(sender) => sender,
            None if servers.is_empty() => return Ok(()),
            None => self.0.insert(start()?),
        };
        // The thread ends with this sender, and not before.
        let _ = sender.send(servers);
        Ok(())
    }
}

fn start() -> io::Result<UnboundedSender<Vec<Arc<ServerHealth>>>> {
    let (sender, receiver) = unbounded_channel();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("health".to_owned()).spawn(move || {
        LocalSet::new().block_on(&runtime, serve(receiver, probe));
    })?;
    Ok(sender)
}

/// Keeps a task for each of the servers that came last.
async fn serve<P>(mut receiver: UnboundedReceiver<Vec<Arc<ServerHealth>>>, probe: P)
where
    P: AsyncFn(&ServerHealth) -> Result<(), String> + Copy + 'static,
{
    let mut tasks: HashMap<*const ServerHealth, AbortHandle> = HashMap::new();
    while let Some(servers) = receiver.recv().await {
        let mut next = HashMap::new();
        for (at, server) in servers.into_iter().enumerate() {
            let key = Arc::as_ptr(&server);
            // A task holds its server: no other can have come to the same place.
            let task = tasks.remove(&key).unwrap_or_else(|| spawn_local(watch(server, at, probe)).abort_handle());
            next.insert(key, task);
        }
        tasks.into_values().for_each(|task| task.abort());
        tasks = next;
    }
}

/// Checks one server until the task is aborted; `at` spreads the checks of many servers over time.
async fn watch<P>(server: Arc<ServerHealth>, at: usize, probe: P)
where
    P: AsyncFn(&ServerHealth) -> Result<(), String>,
{
    let offset = limits::HEALTH_SPREAD.saturating_mul(u32::try_from(at % limits::HEALTH_SPREAD_OVER).unwrap_or(0));
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, server.check.every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::default();
    loop {
        ticks.tick().await;
        let late = || Err(format!("no answer within {:?}", server.check.timeout));
        let began = Instant::now();
        let answer = within(server.check.timeout, probe(&server)).await.unwrap_or_else(|_| late());
        server.note(began.elapsed(), answer.as_ref().err().cloned());
        if streak.note(answer.is_ok(), server.is_healthy(), &server.check) {
            server.healthy.store(answer.is_ok(), Ordering::Relaxed);
            let (group, address) = (&server.group, address(&server.server.host, server.server.port));
            match answer {
                Ok(()) => info!(group, server = address, "a server is healthy again"),
                Err(reason) => warn!(group, server = address, reason, "a server is unhealthy"),
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use tidegate_dsl::plan::{HealthCheck, Probe};
    use tokio::time::sleep;

    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    fn run(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    /// A server that is checked every five seconds, and changes after two good or three bad answers.
    fn server() -> Arc<ServerHealth> {
        let (healthy, unhealthy) = (2, 3);
        let check = HealthCheck {
            probe: Probe::Tcp,
            port: None,
            every: EVERY,
            timeout: Duration::from_secs(1),
            healthy,
            unhealthy,
        };
        Arc::new(ServerHealth::at("127.0.0.1", 1, check))
    }

    #[test]
    fn a_server_changes_after_enough_answers_in_a_row() {
        run(async {
            let server = server();
            let answers = "good bad bad good bad bad bad bad good bad good good good";
            let expected = "1 1 1 1 1 1 0 0 0 0 0 1 1";
            let script: Vec<bool> = answers.split(' ').map(|answer| answer == "good").collect();
            let (states, at) = (Rc::new(RefCell::new(Vec::new())), Cell::new(0));
            let (told, watched) = (Rc::clone(&states), Arc::clone(&server));
            let watching = spawn_local(watch(Arc::clone(&server), 0, async move |_: &ServerHealth| {
                if at.get() > 0 {
                    told.borrow_mut().push(watched.is_healthy());
                }
                at.set(at.get() + 1);
                script.get(at.get() - 1).filter(|good| **good).map(drop).ok_or_else(|| "bad".to_owned())
            }));
            sleep(EVERY * u32::try_from(answers.split(' ').count()).unwrap() + EVERY / 2).await;
            watching.abort();
            let states: Vec<&str> = states.borrow().iter().map(|healthy| if *healthy { "1" } else { "0" }).collect();
            assert_eq!(states.join(" "), expected, "{answers}");
        });
    }

    #[test]
    fn who_does_not_answer_in_time_is_unhealthy() {
        run(async {
            let server = server();
            let watching = spawn_local(watch(Arc::clone(&server), 0, async |_: &ServerHealth| {
                sleep(Duration::from_millis(1001)).await;
                Ok(())
            }));
            sleep(2 * EVERY + Duration::from_millis(999)).await;
            assert!(server.is_healthy(), "the third answer is not late yet");
            sleep(Duration::from_millis(2)).await;
            assert!(!server.is_healthy());
            watching.abort();
        });
    }

    #[test]
    fn checks_that_begin_together_are_spread() {
        run(async {
            let began = tokio::time::Instant::now();
            let times = Rc::new(RefCell::new(Vec::new()));
            for at in [0, 1, 2, limits::HEALTH_SPREAD_OVER - 1, limits::HEALTH_SPREAD_OVER] {
                let times = Rc::clone(&times);
                spawn_local(watch(server(), at, async move |_: &ServerHealth| {
                    times.borrow_mut().push(began.elapsed());
                    Ok(())
                }));
            }
            sleep(Duration::from_secs(1)).await;
            assert_eq!(*times.borrow(), [0, 0, 1, 2, 99].map(|at| limits::HEALTH_SPREAD * at));
        });
    }

    #[test]
    fn a_server_that_stays_keeps_its_checks() {
        run(async {
            let (one, other) = (server(), server());
            let (sender, receiver) = unbounded_channel();
            let serving = spawn_local(serve(receiver, async |_: &ServerHealth| Ok(())));
            let tasks = |server: &Arc<ServerHealth>| Arc::strong_count(server) - 1;
            sender.send(vec![Arc::clone(&one), Arc::clone(&other)]).unwrap();
            sleep(Duration::from_micros(1)).await;
            assert_eq!((tasks(&one), tasks(&other)), (1, 1));
            sender.send(vec![Arc::clone(&one)]).unwrap();
            sleep(Duration::from_micros(1)).await;
            assert_eq!((tasks(&one), tasks(&other)), (1, 0), "who is gone is not asked");
            drop(sender);
            assert!(serving.await.is_ok());
        });
    }

    #[test]
    fn without_servers_there_is_no_thread() {
        let mut checker = Checker::default();
        assert!(checker.watch(&Health::default()).is_ok() && checker.0.is_none());
    }
}
