//! Processes, as the kernel sees them: what they hold, and their end.

use std::fs;
use std::process::{Child, ExitStatus};
use std::time::Instant;

use crate::PATIENCE;
use crate::waiting::look_until;

/// The resources that a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Open descriptors.
    pub descriptors: usize,
    /// Of which sockets.
    pub sockets: usize,
    /// Threads.
    pub threads: usize,
    /// Resident memory, in bytes.
    pub resident: u64,
    /// The most that its resident memory has been, in bytes.
    pub peak: u64,
}

impl Usage {
    /// Asks `/proc`.
    ///
    /// # Panics
    /// The process is gone.
    pub fn of(pid: u32) -> Self {
        let links: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("the descriptors of a living process")
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .collect();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the status of a living process");
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of /proc/PID/status");
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).expect("a number")
        };
        Self {
            descriptors: links.len(),
            sockets: links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count(),
            threads: usize::try_from(number("Threads:")).unwrap(),
            resident: number("VmRSS:") * 1024,
            peak: number("VmHWM:") * 1024,
        }
    }
}

/// Has the kernel forget the most that a process has held: [`Usage::peak`] counts from here on (proc_pid_clear_refs(5)).
///
/// # Panics
/// The process is gone.
pub fn reset_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a living process of ours");
}

/// The clock ticks that threads of this name have computed for, of a process; there are some hundred a second.
///
/// # Panics
/// The process is gone.
pub fn ticks_of(pid: u32, thread: &str) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the threads of a living process");
    let stats = threads.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    // proc_pid_stat(5): the name is in parentheses, and the time is the 12th field behind it.
    let named = stats.filter_map(|stat| {
        let (before, behind) = stat.rsplit_once(") ")?;
        before.ends_with(&format!("({thread}")).then(|| behind.split(' ').nth(11)?.parse::<u64>().ok()).flatten()
    });
    named.sum()
}

/// Waits for the end of a child.
///
/// # Panics
/// The child does not end, and is killed; the message has what it said.
pub(crate) fn end_of(child: &mut Child, said: impl FnOnce() -> String) -> ExitStatus {
    let ended = look_until(Instant::now() + PATIENCE, || child.try_wait().expect("a child").ok_or(()));
    ended.unwrap_or_else(|()| {
        let _ = child.kill();
        panic!("the process does not end; it said:\n{}", said())
    })
}
