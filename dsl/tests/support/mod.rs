//! A loader almost without files: texts, variables and what modules hold are given by the test. What is included lies in
//! `tests/cases/sites` or, of a shipped policy, in `policies/shared`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tidegate_dsl::plan::{Ca, Capability, Certificate, Extension, Secret};
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateFile, CertificateProblem, Hook, KeyAlgorithm, Loader, LogProblem,
    ModuleFacts, Need, fits_pattern,
};

/// Seconds of a day.
const DAY: i64 = 24 * 3600;

/// The loader of tests: what the compiler may see.
pub(crate) struct TestLoader {
    texts: HashMap<PathBuf, String>,
}

impl TestLoader {
    /// A loader for one policy.
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self { texts: HashMap::from([(path.to_path_buf(), text.to_owned())]) }
    }
}

/// The file that a path below `sites`, of the cases, or `shared`, of the shipped policies, stands for.
fn site(path: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = path.components().collect();
    let at = parts.iter().rposition(|part| part.as_os_str() == "sites" || part.as_os_str() == "shared")?;
    let holder = if parts.get(at)?.as_os_str() == "sites" { "tests/cases" } else { "../policies" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(holder);
    Some(parts.get(at..)?.iter().fold(folder, |path, part| path.join(part)))
}

impl Loader for TestLoader {
    fn text(&self, path: &Path) -> Result<String, String> {
        if path.ends_with("sites/huge.gate") {
            return Ok("# A comment.\n".repeat(400_000));
        }
        let site = || site(path).and_then(|site| std::fs::read_to_string(site).ok());
        self.texts.get(path).cloned().or_else(site).ok_or_else(|| "no such file".to_owned())
    }

    /// The files that fit a pattern, in the reverse of the order in which they are to be read.
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let folder = pattern.parent().unwrap_or(Path::new(""));
        let fit = |name: &str| fits_pattern(&pattern.file_name().unwrap_or_default().to_string_lossy(), name);
        let names = site(folder).and_then(|site| std::fs::read_dir(site).ok()).into_iter().flatten().flatten();
        let names =
            names.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut files: Vec<_> = names.filter(|name| fit(name)).map(|name| folder.join(name)).collect();
        files.sort_by(|a, b| b.cmp(a));
        Ok(files)
    }

    fn env(&self, name: &str) -> Option<String> {
        match name {
            "BACKEND" => Some("10.9.8.7:8080".to_owned()),
            "GREETING" => Some("hello ${host}".to_owned()),
            _ => None,
        }
    }

    /// The name of the module says what it holds.
    fn module(&self, extension: &Extension) -> Result<ModuleFacts, String> {
        let name = Path::new(&extension.module).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let need = |import: &str, capability| Need { import: format!("tidegate:extension/{import}"), capability };
        let hooks = vec![Hook::Request, Hook::Response];
        let facts = ModuleFacts { hooks, ..ModuleFacts::default() };
        Ok(match name.as_str() {
            "missing" => return Err("no such file".to_owned()),
            "hookless" => ModuleFacts::default(),
            "unknown-import" => ModuleFacts { unknown_imports: vec!["wasi:sockets/tcp.connect".to_owned()], ..facts },
            "refusing" => ModuleFacts { init_error: Some("`header` is not set".to_owned()), ..facts },
            "enormous" => {
                ModuleFacts { bound: Some("function 7 has 10000 locals, and 4096 is the most".to_owned()), ..facts }
            }
            "endless" => {
                let why = "the module was not compiled within 60s".to_owned();
                ModuleFacts { uncompiled: Some(why), ..ModuleFacts::default() }
            }
            "looping" => {
                let why = "`init` used more than 5s of CPU time".to_owned();
                ModuleFacts { start_error: Some(why), ..facts }
            }
            "writer" => ModuleFacts {
                needs: vec![
                    need("request.get", Capability::ReadRequest),
                    need("request.set", Capability::WriteRequestHeaders),
                    need("request.add", Capability::WriteRequestHeaders),
                ],
                ..facts
            },
            _ => facts,
        })
    }

    /// The names of the files say what they hold: `expired.pem`, `rsa.pem`, `nameless.pem`.
    fn certificate(&self, certificate: &Certificate) -> Result<CertificateFacts, CertificateProblem> {
        let (chain, key) = (stem(&certificate.chain), stem(&certificate.key));
        let problem = |file, reason: &str| Err(CertificateProblem::File(file, reason.to_owned()));
        match (chain.as_str(), key.as_str(), certificate.staple.as_deref().map(stem).as_deref()) {
            ("missing", ..) => return problem(CertificateFile::Chain, "there is no such file"),
            (_, "missing", _) => return problem(CertificateFile::Key, "there is no such file"),
            (_, "encrypted", _) => return problem(CertificateFile::Key, "its private key is encrypted"),
            (.., Some("missing")) => return problem(CertificateFile::Staple, "there is no such file"),
            (_, "foreign", _) => return Err(CertificateProblem::KeyMismatch { belongs_to: None }),
            ("backwards", ..) => return Err(CertificateProblem::KeyMismatch { belongs_to: Some(2) }),
            _ => {}
        }
        let names = match chain.as_str() {
            "nameless" => Vec::new(),
            "shop" | "rsa" => vec!["shop.example".to_owned(), "*.shop.example".to_owned()],
            other => vec![format!("{other}.example")],
        };
        let staple_seconds_left =
            certificate.staple.as_deref().map(|staple| if stem(staple) == "stale" { -DAY } else { 3 * DAY });
        Ok(CertificateFacts {
            names,
            key: if chain.starts_with("rsa") { KeyAlgorithm::Rsa } else { KeyAlgorithm::Ecdsa },
            seconds_left: match chain.as_str() {
                "expired" => -3 * DAY,
                "ending" => 12 * DAY + 5,
                "today" => 3600,
                _ => 80 * DAY,
            },
            seconds_to_begin: if chain == "early" { 2 * DAY } else { -DAY },
            gap: (chain == "unordered").then_some(2),
            staple_seconds_left,
        })
    }

    /// The name of a secret says how long it is, or what is wrong with it.
    fn secret(&self, secret: &Secret) -> Result<usize, String> {
        match secret {
            Secret::Env(name) if name == "UNSET" => Err("the environment variable is not set".to_owned()),
            Secret::File(path) if stem(path) == "missing" => Err("there is no such file".to_owned()),
            Secret::Env(name) if name == "SHORT" => Ok(31),
            Secret::Env(name) if name == "TINY" => Ok(15),
            _ => Ok(32),
        }
    }

    fn authority(&self, authority: &Ca) -> Result<AuthorityFacts, String> {
        match stem(&authority.bundle).as_str() {
            "missing" => Err("there is no such file".to_owned()),
            "expired" => Ok(AuthorityFacts { count: 1, seconds_left: -3 * DAY }),
            "ending" => Ok(AuthorityFacts { count: 1, seconds_left: 12 * DAY + 5 }),
            _ => Ok(AuthorityFacts { count: 2, seconds_left: 800 * DAY }),
        }
    }

    fn access_log(&self, path: &Path) -> Result<(), LogProblem> {
        match stem(&path.to_string_lossy()).as_str() {
            "pipe" => Err(LogProblem::NoFile("it is a named pipe, and a regular file is needed".to_owned())),
            "locked" => Err(LogProblem::Locked("this user may not write it".to_owned())),
            _ => Ok(()),
        }
    }
}

/// A file's name without folder and ending.
fn stem(path: &str) -> String {
    Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
