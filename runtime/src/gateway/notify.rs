//! What the gateway tells the service manager that started it (sd_notify(3)): that it is ready, that it reads its policy anew,
//! that it ends. Without one nobody is told.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// The way that the environment names.
    pub fn from_environment() -> Self {
        std::env::var_os("NOTIFY_SOCKET").map(|socket| Self::to(&socket)).unwrap_or_default()
    }

    /// The way to a socket: a file, or an abstract name behind `@`.
    fn to(socket: &OsStr) -> Self {
        let address = match socket.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(socket),
        };
        match address.and_then(|address| Ok((UnixDatagram::unbound()?, address))) {
            Ok(way) => Self(Some(way)),
            Err(error) => {
                warn!(%error, "the service manager cannot be told anything");
                Self(None)
            }
        }
    }

    /// The first policy is in service.
    pub fn ready(&self, generation: u64) {
        self.tell(&format!("READY=1\nSTATUS=serving generation {generation}"));
    }

    /// The policy is read anew, as somebody wanted.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The policy was read; whether it is in service or was refused, the gateway serves.
    pub fn reloaded(&self, generation: u64) {
        self.ready(generation);
    }

    /// The gateway ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    fn tell(&self, words: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            warn!(%error, "the service manager does not listen");
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_in_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str());
        let told = || {
            let mut bytes = [0; 256];
            let length = manager.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        notifier.ready(1);
        assert_eq!(told(), "READY=1\nSTATUS=serving generation 1");
        notifier.reloading();
        let reloading = told();
        let (state, micros) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
        assert!(state == "RELOADING=1" && micros.parse::<u64>().is_ok(), "{reloading}");
        notifier.reloaded(2);
        assert!(told().starts_with("READY=1\n"));
        notifier.stopping();
        assert!(told().starts_with("STOPPING=1\n"));
    }

    #[test]
    fn an_abstract_name_is_one_too_and_nobody_is_no_mistake() {
        let name = format!("tidegate-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::to(OsStr::new(&format!("@{name}"))).stopping();
        let mut bytes = [0; 64];
        assert!(manager.recv(&mut bytes).is_ok());
        Notifier::default().ready(1);
        Notifier::to(OsStr::new("/nowhere/at/all")).ready(1);
    }
}
