//! The sockets of `admin` and `metrics`: opened before a policy is put in service, so that a taken address refuses it, and
//! kept over reloads.

use std::collections::HashSet;
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tidegate_dsl::plan::{Endpoints, Plan};

/// What is answered at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The admin API, and all that metrics have.
    Admin,
    /// Metrics, and whether the gateway lives.
    Metrics,
}

/// An address with its role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// What is answered there.
    pub role: Role,
    /// The address.
    pub at: At,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum At {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

/// A socket that listens.
pub enum Socket {
    /// For TCP.
    Tcp(TcpListener),
    /// A Unix socket, whose file goes with it.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; it is removed with this.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may have been removed by hand.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The addresses in service.
#[derive(Default)]
pub struct AdminSockets(HashSet<Place>);

/// Sockets that a policy needs and that nobody serves yet, and the addresses that it has no more. Dropping it closes the
/// sockets.
#[derive(Default)]
pub struct Opened {
    /// The new ones.
    pub new: Vec<(Place, Socket)>,
    /// Those that are gone.
    pub gone: Vec<Place>,
}

impl Opened {
    /// Whether nothing changes.
    pub const fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty()
    }
}

impl AdminSockets {
    /// Opens what the policy needs and is not open.
    ///
    /// # Errors
    /// A sentence that names the address, if it cannot be had.
    pub fn prepare(&self, plan: &Plan) -> Result<Opened, String> {
        let wanted = places(plan);
        let gone = self.0.iter().filter(|place| !wanted.contains(place)).cloned().collect();
        let mut new = Vec::new();
        for place in wanted.into_iter().filter(|place| !self.0.contains(place)) {
            let socket = open(&place.at).map_err(|error| {
                let word = if place.role == Role::Admin { "admin" } else { "metrics" };
                format!("`{word}` cannot listen on {}: {}", words(&place.at), reason(&error))
            })?;
            new.push((place, socket));
        }
        Ok(Opened { new, gone })
    }

    /// The files of the Unix sockets in service.
    pub fn files(&self) -> Vec<PathBuf> {
        let file = |place: &Place| match &place.at {
            At::Unix(path) => Some(path.clone()),
            At::Tcp(_) => None,
        };
        self.0.iter().filter_map(file).collect()
    }

    /// Notes what is in service from now on.
    pub fn commit(&mut self, opened: &Opened) {
        self.0.retain(|place| !opened.gone.contains(place));
        self.0.extend(opened.new.iter().map(|(place, _)| place.clone()));
    }
}

fn places(plan: &Plan) -> Vec<Place> {
    let of = |role: Role, at: &Endpoints| {
        let tcp = at.listen.map(At::Tcp);
        let unix = at.unix.as_ref().map(|path| At::Unix(path.into()));
        tcp.into_iter().chain(unix).map(move |at| Place { role, at }).collect::<Vec<_>>()
    };
    let admin = plan.admin.iter().flat_map(|admin| of(Role::Admin, &admin.at));
    admin.chain(plan.metrics.iter().flat_map(|metrics| of(Role::Metrics, &metrics.at))).collect()
}

fn open(at: &At) -> io::Result<Socket> {
    match at {
        At::Tcp(address) => {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(Socket::Tcp(socket))
        }
        At::Unix(path) => {
            remove_stale(path)?;
            let socket = UnixListener::bind(path)?;
            let file = SocketFile(path.clone());
            // Whoever connects is asked for his user, too.
            std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
            socket.set_nonblocking(true)?;
            Ok(Socket::Unix(socket, file))
        }
    }
}

/// Removes a socket that nobody listens on: a gateway that was killed leaves one.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(facts) if !facts.file_type().is_socket() => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}

/// An address in the policy's words.
pub fn words(at: &At) -> String {
    match at {
        At::Tcp(address) => format!("`{address}`"),
        At::Unix(path) => format!("the socket `{}`", path.display()),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "another process listens there".to_owned(),
        ErrorKind::NotFound => "its folder is not there".to_owned(),
        _ => tidegate_base::disk::words(error),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tests::{ANSWERS, plan, policy};

    fn with(words: &str) -> Plan {
        plan(&(policy("", ANSWERS) + words))
    }

    fn at(folder: &tempfile::TempDir) -> (PathBuf, Plan) {
        let path = folder.path().join("admin.sock");
        let plan = with(&format!("admin {{ unix \"{}\" }}", path.display()));
        (path, plan)
    }

    #[test]
    fn what_is_open_stays_open_and_what_is_gone_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plan) = at(&folder);
        let mut sockets = AdminSockets::default();
        let opened = sockets.prepare(&plan).unwrap();
        assert_eq!((opened.new.len(), opened.gone.len()), (1, 0));
        sockets.commit(&opened);
        assert!(sockets.prepare(&plan).unwrap().is_empty());
        let other = folder.path().join("metrics.sock");
        let next = sockets.prepare(&with(&format!("metrics {{ unix \"{}\" }}", other.display()))).unwrap();
        assert_eq!((next.new.len(), next.gone.len()), (1, 1));
        drop(opened);
        assert!(!path.exists(), "the file goes with its socket");
    }

    #[test]
    fn only_the_owner_reaches_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plan) = at(&folder);
        let _opened = AdminSockets::default().prepare(&plan).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plan) = at(&folder);
        drop(UnixListener::bind(&path).unwrap());
        assert!(AdminSockets::default().prepare(&plan).is_ok());
    }

    #[test]
    fn a_socket_in_use_and_a_file_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plan) = at(&folder);
        let said = || AdminSockets::default().prepare(&plan).err().unwrap();
        let other = UnixListener::bind(&path).unwrap();
        assert!(said().ends_with("another process listens there"), "{}", said());
        drop(other);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(said().contains("no socket"), "{}", said());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn an_address_that_cannot_be_had_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let said = AdminSockets::default().prepare(&with(&format!("admin {{ listen {address} }}"))).err().unwrap();
        assert_eq!(said, format!("`admin` cannot listen on `{address}`: another process listens there"));
        let missing = with("metrics { unix \"/nowhere/at/all.sock\" }");
        let said = AdminSockets::default().prepare(&missing).err().unwrap();
        assert!(said.contains("`metrics`") && said.contains("folder is not there"), "{said}");
    }
}
