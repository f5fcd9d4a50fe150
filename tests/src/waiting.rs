//! Waiting for what comes: the one place that looks again and again at what tells nobody when it changes.

use std::fmt::Debug;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The time that a test waits for an event that must come: far longer than any takes, so that a slow machine fails nothing.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two looks: short beside what a test takes, and long enough that waiting costs next to nothing.
const PAUSE: Duration = Duration::from_millis(5);

/// The time for which something must not have grown to count as settled. What is looked at grows by what is on its way through
/// sockets of this machine, which moves every few milliseconds as long as there is any.
const QUIET: Duration = Duration::from_millis(500);

/// Waits until a look finds what it is for, and returns that; for what can only be looked at and not waited for, such as `/proc`
/// or the end of a child.
///
/// # Panics
/// Nothing is found within [`PATIENCE`]; the message shows what was seen last.
pub fn eventually<T, S: Debug>(what: &str, look: impl FnMut() -> Result<T, S>) -> T {
    look_until(Instant::now() + PATIENCE, look)
        .unwrap_or_else(|seen| panic!("{what}: not within {PATIENCE:?}; last seen: {seen:?}"))
}

/// Waits until something holds; as [`eventually`], where there is nothing to return or to show.
///
/// # Panics
/// It does not hold within [`PATIENCE`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || if holds() { Ok(()) } else { Err("not so") });
}

/// Looks until something is found, or time is up: then, what was seen last.
pub(crate) fn look_until<T, S>(end: Instant, mut look: impl FnMut() -> Result<T, S>) -> Result<T, S> {
    loop {
        match look() {
            Err(_) if Instant::now() < end => std::thread::sleep(PAUSE),
            seen => return seen,
        }
    }
}

/// Has a socket wait no longer than [`PATIENCE`], and keep nothing back.
pub(crate) fn patient(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))
}

/// Waits until a number has not grown by more than `step` for a while; for the end of what nobody announces, such as a peer that
/// fills every buffer there is. It only makes a test stricter: what is asserted of such a number is that it is small.
///
/// # Panics
/// The number grows for [`PATIENCE`].
pub fn settled(what: &str, step: u64, mut look: impl FnMut() -> u64) {
    let (mut last, mut since) = (look(), Instant::now());
    eventually(what, || {
        let now = look();
        if now > last + step {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() < QUIET { Err(now) } else { Ok(()) }
    });
}
