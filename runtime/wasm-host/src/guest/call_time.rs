//! The time that a call may take.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::base::host_error::HostError;
use crate::base::limits::{INIT_WALL, WALL_CLOCK_FACTOR};

/// The time of one call: CPU time of this thread, so that a machine with too much to do does not fail requests, and a bound on
/// the wall clock.
///
/// Time counts from the first tick within the call, at most one tick late: reading the CPU clock costs a system call, which
/// a call that ends before the first tick, as nearly all do, need not pay.
#[derive(Default)]
pub(super) struct CallTime {
    /// CPU time that the call may use.
    cpu: Duration,
    /// Time on the wall clock that the call may take.
    wall: Duration,
    /// The thread's CPU time and the clock at the first tick within the call.
    first_tick: Option<(Duration, Instant)>,
}

impl CallTime {
    /// The time of a hook that may use so much CPU time.
    pub(super) const fn of_hook(cpu: Duration) -> Self {
        Self { cpu, wall: cpu.saturating_mul(WALL_CLOCK_FACTOR), first_tick: None }
    }

    /// The time of `init`, which may use so much CPU time.
    pub(super) const fn of_init(cpu: Duration) -> Self {
        Self { cpu, wall: INIT_WALL, first_tick: None }
    }

    /// Ends the call if its time is used up.
    pub(super) fn tick(&mut self) -> Result<(), HostError> {
        self.tick_at(thread_cpu_time(), Instant::now())
    }

    fn tick_at(&mut self, cpu: Duration, now: Instant) -> Result<(), HostError> {
        let Some((first_cpu, first)) = self.first_tick else {
            self.first_tick = Some((cpu, now));
            return Ok(());
        };
        let Self { cpu: limit, wall, .. } = *self;
        if cpu.saturating_sub(first_cpu) >= limit {
            return Err(HostError::deadline(format!("the guest used more than {limit:?} of CPU time")));
        }
        if now.saturating_duration_since(first) >= wall {
            let message = format!("the guest did not get done in {wall:?}: the machine is overloaded");
            return Err(HostError::deadline(message));
        }
        Ok(())
    }

    /// Stops counting: the guest waits. What it used is taken off its time.
    pub(super) fn pause(&mut self) {
        if let Some((first_cpu, _)) = self.first_tick.take() {
            self.cpu = self.cpu.saturating_sub(thread_cpu_time().saturating_sub(first_cpu));
        }
    }

    /// Counts again from the next tick on, unless there is no time left.
    pub(super) fn resume(&self) -> Result<(), HostError> {
        if self.cpu.is_zero() {
            return Err(HostError::deadline("the guest used up its CPU time"));
        }
        Ok(())
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    fn refused(ticked: Result<(), HostError>) -> String {
        ticked.unwrap_err().0.message
    }

    #[test]
    fn time_on_the_wall_is_not_cpu_time() {
        let (mut time, start, cpu) = (CallTime::of_hook(LIMIT), Instant::now(), Duration::from_secs(7));
        time.tick_at(cpu, start).unwrap();
        time.tick_at(cpu, start + LIMIT * 3).unwrap();
        let least = Duration::from_nanos(1);
        time.tick_at(cpu + LIMIT - least, start + LIMIT * 3).unwrap();
        let message = refused(time.tick_at(cpu + LIMIT, start + LIMIT * 3));
        assert_eq!(message, "the guest used more than 20ms of CPU time");
    }

    #[test]
    fn the_wall_clock_has_an_end_too() {
        for (mut time, wall) in
            [(CallTime::of_hook(LIMIT), LIMIT * WALL_CLOCK_FACTOR), (CallTime::of_init(LIMIT), INIT_WALL)]
        {
            let (start, cpu) = (Instant::now(), Duration::ZERO);
            time.tick_at(cpu, start).unwrap();
            time.tick_at(cpu, start + wall - Duration::from_nanos(1)).unwrap();
            let message = refused(time.tick_at(cpu, start + wall));
            assert_eq!(message, format!("the guest did not get done in {wall:?}: the machine is overloaded"));
        }
    }

    #[test]
    fn a_call_that_waits_is_not_charged_for_it() {
        let mut time = CallTime::of_hook(LIMIT);
        time.resume().unwrap();
        time.pause();
        assert_eq!(time.cpu, LIMIT, "no tick came, so nothing was counted");
        let before = thread_cpu_time();
        time.tick().unwrap();
        while thread_cpu_time() - before < LIMIT {}
        time.pause();
        assert!(time.cpu < LIMIT && time.first_tick.is_none(), "what was used before is taken off");
        let mut time = CallTime { cpu: Duration::ZERO, ..time };
        assert_eq!(refused(time.resume()), "the guest used up its CPU time");
        time.tick().unwrap();
        assert!(time.tick().is_err());
    }
}
