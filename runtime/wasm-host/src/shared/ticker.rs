//! The thread that moves the engine's epoch, by which running guests are interrupted. It sleeps while no guest runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};

use wasmtime::Engine;

use crate::base::limits::{IDLE_TICKS, TICK};

/// The owner of the thread, which ends when the owner is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// A guest was called, or was seen running, since the last tick.
    active: AtomicBool,
    /// The thread sleeps, and must be woken.
    asleep: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let thread = thread::Builder::new().name("wasm-ticker".to_owned()).spawn({
            let state = Arc::clone(&state);
            move || state.run(&engine)
        })?;
        let _ = state.thread.set(thread.thread().clone());
        Ok(Self { state, thread: Some(thread) })
    }

    /// Says that a guest runs now. Guests are called before every run and on every tick, so this writes to shared
    /// memory at most once a tick.
    pub(crate) fn guest_runs(&self) {
        if !self.state.active.load(Ordering::Relaxed) {
            self.state.active.store(true, Ordering::SeqCst);
        }
        if self.state.asleep.load(Ordering::SeqCst) {
            self.state.wake();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.state.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn run(&self, engine: &Engine) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if self.active.swap(false, Ordering::SeqCst) {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS {
                self.sleep();
                idle = 0;
            }
            thread::sleep(TICK);
            engine.increment_epoch();
        }
    }

    /// Parks until a guest runs. A guest that starts meanwhile sees `asleep`, or is seen as `active`: both stores
    /// come before both loads. A guest that was already running has had ticks to say so.
    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        while !self.active.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test")]
    fn sleeps_when_idle_and_wakes_for_a_guest() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let asleep = || ticker.state.asleep.load(Ordering::SeqCst);
        let within = |what: &dyn Fn() -> bool| {
            let start = Instant::now();
            while !what() && start.elapsed() < Duration::from_secs(20) {
                thread::sleep(TICK);
            }
            what()
        };
        assert!(within(&asleep));
        ticker.guest_runs();
        assert!(within(&|| !asleep()));
        assert!(within(&asleep));
    }
}
