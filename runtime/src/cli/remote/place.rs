//! Where a gateway is asked: what the command line says, the environment, or the policy in the working folder.

use std::path::{Path, PathBuf};

use tidegate_dsl::plan::{Ca, Certificate, Endpoints, Extension, Secret};
use tidegate_dsl::{AuthorityFacts, CertificateFacts, CertificateProblem, KeyAlgorithm, Loader, ModuleFacts, compile};

use super::super::Failed;
use crate::policy::loader::PolicyLoader;

/// An address of a gateway's admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `host:port`.
    Tcp(String),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

impl Place {
    /// An address as people write it.
    ///
    /// # Errors
    /// The text is no address.
    pub(super) fn parse(written: &str) -> Result<Self, Failed> {
        if let Some(path) = written.strip_prefix("unix:") {
            return Ok(Self::Unix(path.strip_prefix("//").unwrap_or(path).into()));
        }
        let address = written.strip_prefix("http://").unwrap_or(written).trim_end_matches('/');
        let is_place =
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !is_place || address.contains('/') {
            let message = format!("`{written}` is not an admin address: write `127.0.0.1:9901`, or `unix:FILE`");
            return Err(Failed::Usage(message));
        }
        Ok(Self::Tcp(address.to_owned()))
    }

    /// The address to ask.
    ///
    /// # Errors
    /// Nothing says which.
    pub(super) fn find(written: Option<&str>) -> Result<Self, Failed> {
        if let Some(written) = written {
            return Self::parse(written);
        }
        if let Some(written) = std::env::var("TIDEGATE_ADMIN").ok().filter(|written| !written.is_empty()) {
            return Self::parse(&written);
        }
        in_folder(Path::new(".")).ok_or_else(|| {
            Failed::Usage(
                "say which gateway: `--admin 127.0.0.1:9901`, or `--admin unix:FILE`, or set `TIDEGATE_ADMIN`; no policy \
                 in this folder has an `admin`"
                    .to_owned(),
            )
        })
    }
}

/// The admin address of a policy in a folder; of several, the first whose socket is there.
fn in_folder(folder: &Path) -> Option<Place> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "gate"));
    files.sort();
    let places: Vec<_> = files.iter().filter_map(|file| of_policy(file)).collect();
    let open = places.iter().find(|place| matches!(place, Place::Unix(path) if path.exists()));
    open.or(places.first()).cloned()
}

fn of_policy(file: &Path) -> Option<Place> {
    let Endpoints { listen, unix } = compile(file, &Elsewhere(PolicyLoader::inspecting())).plan?.admin?.at;
    unix.map(|path| Place::Unix(path.into())).or(listen.map(|address| Place::Tcp(address.to_string())))
}

/// Reads the files of a policy that runs elsewhere: what its environment says, and what only it can read, is there.
struct Elsewhere(PolicyLoader<'static>);

impl Loader for Elsewhere {
    fn text(&self, path: &Path) -> Result<String, String> {
        self.0.text(path)
    }

    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        self.0.glob(pattern)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name).or_else(|| Some("there".to_owned()))
    }

    fn secret(&self, _: &Secret) -> Result<usize, String> {
        Ok(usize::MAX)
    }

    fn module(&self, extension: &Extension) -> Result<ModuleFacts, String> {
        self.0.module(extension)
    }

    fn certificate(&self, _: &Certificate) -> Result<CertificateFacts, CertificateProblem> {
        Ok(CertificateFacts {
            names: Vec::new(),
            key: KeyAlgorithm::Ecdsa,
            seconds_left: i64::MAX,
            seconds_to_begin: 0,
            gap: None,
            staple_seconds_left: None,
        })
    }

    fn authority(&self, _: &Ca) -> Result<AuthorityFacts, String> {
        Ok(AuthorityFacts { count: 1, seconds_left: i64::MAX })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn parsed(written: &str) -> Option<Place> {
        Place::parse(written).ok()
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let tcp = |address: &str| Some(Place::Tcp(address.to_owned()));
        let unix = |path: &str| Some(Place::Unix(path.into()));
        assert_eq!(parsed("127.0.0.1:9901"), tcp("127.0.0.1:9901"));
        assert_eq!(parsed("http://edge:9901/"), tcp("edge:9901"));
        assert_eq!(parsed("[::1]:9901"), tcp("[::1]:9901"));
        assert_eq!(parsed("unix:run/admin.sock"), unix("run/admin.sock"));
        assert_eq!(parsed("unix:/run/admin.sock"), unix("/run/admin.sock"));
        assert_eq!(parsed("unix:///run/admin.sock"), unix("/run/admin.sock"));
        for wrong in ["", "9901", "edge", "edge:", ":9901", "edge:http", "http://edge:1/path", "https://edge:1"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_policy_of_a_folder_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, admin: &str| {
            let text = format!(
                "tidegate 1\n{admin}\nlistener http main {{ port 80; rules r }}\nrules r {{ otherwise {{ respond 204 }} }}\n"
            );
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        assert_eq!(in_folder(folder.path()), None);
        write("a.gate", "");
        write("b.gate", "admin { listen 127.0.0.1:9901; operate-token env \"ONLY_THE_GATEWAY_HAS_IT\" }");
        assert_eq!(in_folder(folder.path()), Some(Place::Tcp("127.0.0.1:9901".to_owned())));
        let socket = folder.path().join("admin.sock");
        write("c.gate", "admin { listen 127.0.0.1:9902; unix \"admin.sock\" }");
        assert_eq!(in_folder(folder.path()), Some(Place::Tcp("127.0.0.1:9901".to_owned())), "nobody has opened it");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(in_folder(folder.path()), Some(Place::Unix(socket)));
    }
}
