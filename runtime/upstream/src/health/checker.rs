//! The thread that checks servers: a task for each.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
    /// Checks these from now on, and no others. Checks of a server that stays go on as they were. The thread is started when there is something to
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
        LocalSet::new().block_on(&runtime, serve(receiver));
    })?;
    Ok(sender)
}

async fn serve(mut receiver: UnboundedReceiver<Vec<Arc<ServerHealth>>>) {
    let mut tasks: HashMap<*const ServerHealth, AbortHandle> = HashMap::new();
    while let Some(servers) = receiver.recv().await {
        let mut next = HashMap::new();
        for (at, server) in servers.into_iter().enumerate() {
            let key = Arc::as_ptr(&server);
            // A task holds its server: no other can have come to the same place.
            let task = tasks.remove(&key).unwrap_or_else(|| spawn_local(watch(server, at)).abort_handle());
            next.insert(key, task);
        }
        tasks.into_values().for_each(|task| task.abort());
        tasks = next;
    }
}

/// Checks one server until it is aborted; `at` spreads the checks of many servers over time.
async fn watch(server: Arc<ServerHealth>, at: usize) {
    let offset = limits::HEALTH_SPREAD.saturating_mul(u32::try_from(at % limits::HEALTH_SPREAD_OVER).unwrap_or(0));
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, server.check.every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::default();
    loop {
        ticks.tick().await;
        let late = || Err(format!("no answer within {:?}", server.check.timeout));
        let answer = within(server.check.timeout, probe(&server)).await.unwrap_or_else(|_| late());
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
