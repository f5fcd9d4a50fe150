//! What the admin API answers from.

use std::sync::Arc;

use http::StatusCode;
use tidegate_base::limits;
use tidegate_wasm_host::Host;
use tokio::sync::{Semaphore, oneshot};

use super::answer::Answer;
use super::facts::Facts;
use super::orders::{Asked, Order, Refusal};
use crate::policy::snapshot::Snapshot;
use crate::request::worker::Shared;

/// The way to the thread that carries out orders; `false` once that is gone.
pub type Orders = Box<dyn Fn(Asked) -> bool + Send + Sync>;

/// All that an answer is made from.
pub struct Context {
    /// What the thread `policy` wrote down.
    pub facts: Arc<Facts>,
    /// What workers share.
    pub shared: Arc<Shared>,
    /// The extensions.
    pub host: Arc<Host>,
    orders: Orders,
    waiting: Semaphore,
    work: Semaphore,
    /// Room for answers that go on.
    pub streams: Arc<Semaphore>,
}

impl Context {
    /// The context of a gateway; `orders` takes what is to be changed.
    pub fn new(facts: Arc<Facts>, shared: Arc<Shared>, host: Arc<Host>, orders: Orders) -> Self {
        let (waiting, work) = (Semaphore::new(limits::ADMIN_ORDERS), Semaphore::new(limits::ADMIN_WORK));
        let streams = Arc::new(Semaphore::new(limits::ADMIN_STREAMS));
        Self { facts, shared, host, orders, waiting, work, streams }
    }

    /// The policy in service.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    /// Has an order carried out, and waits for that. It is carried out also if whoever asked goes away.
    pub async fn order(&self, order: Order) -> Answer {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            let detail = format!("{} orders wait already; ask again when they are done", limits::ADMIN_ORDERS);
            return Answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail);
        };
        if self.facts.is_ending() {
            return Answer::problem(StatusCode::CONFLICT, "the gateway ends: nothing is changed any more");
        }
        let (reply, outcome) = oneshot::channel();
        if !(self.orders)(Asked { order, reply }) {
            return Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "the thread that carries out orders has failed");
        }
        match tokio::time::timeout(limits::ADMIN_ORDER_TIME, outcome).await {
            Ok(Ok(Ok(done))) => Answer::json(&done),
            Ok(Ok(Err(Refusal::Unknown(detail)))) => Answer::problem(StatusCode::NOT_FOUND, detail),
            Ok(Ok(Err(Refusal::Cannot(detail)))) => Answer::problem(StatusCode::CONFLICT, detail),
            Ok(Err(_)) => Answer::problem(StatusCode::CONFLICT, "the gateway ends: nothing is changed any more"),
            Err(_) => {
                let detail = "the order is queued: a policy is being read, and it is carried out after that";
                Answer::problem(StatusCode::ACCEPTED, detail)
            }
        }
    }

    /// Does work that takes a processor for a while, away from the server's own thread; a few at a time.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Answer> {
        let Ok(_permit) = self.work.try_acquire() else {
            let detail = format!("{} such requests are worked on already; ask again in a moment", limits::ADMIN_WORK);
            return Err(Answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, format!("it failed: {error}")))
    }
}
