//! The process as the system sees it.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// What the system says of this process. What it does not say is `None`.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) started_seconds: Option<f64>,
}

/// Clock ticks a second in `/proc`: the kernel converts to this, whatever its own clock is (proc(5), `_SC_CLK_TCK`).
const USER_HZ: f64 = 100.0;

/// Asks the system.
pub(super) fn process() -> Process {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Process {
        #[expect(clippy::cast_precision_loss, reason = "a float has 15 digits")]
        cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes: kilobytes(&status, "VmRSS:"),
        virtual_bytes: kilobytes(&status, "VmSize:"),
        open_fds: open_fds(),
        max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        started_seconds: started(),
    }
}

/// A line of `/proc/self/status`, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The descriptors that are open, less the one that reads them.
fn open_fds() -> Option<u64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count.saturating_sub(1)).ok()
}

/// The start of the process, in seconds since the epoch.
fn started() -> Option<f64> {
    let after = ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)? / USER_HZ;
    let up = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = up.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some((boot + after).min(now))
}

/// `starttime` of a line of `/proc/PID/stat`: the 22nd field, where the second, the name in brackets, may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_this_process() {
        let process = process();
        assert!(process.cpu_seconds > 0.0);
        let (resident, all) = (process.resident_bytes.unwrap(), process.virtual_bytes.unwrap());
        assert!(resident > 0 && all >= resident);
        let (open, most) = (process.open_fds.unwrap(), process.max_fds.unwrap_or(u64::MAX));
        assert!(open > 2 && open <= most);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - process.started_seconds.unwrap();
        assert!((0.0..24.0 * 3600.0).contains(&age), "{age} s");
    }

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 4 0 4711 1000 10";
        assert_eq!(ticks(stat), Some(4711.0));
        assert_eq!(ticks("7 (a"), None);
    }
}
