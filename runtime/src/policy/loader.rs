//! The compiler's way to the outside: files, the environment, and the inside of Wasm modules.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_base::disk::{self, Disk};
use tidegate_base::limits;
use tidegate_dsl::plan::{
    Ca as CaPlan, Certificate as CertificatePlan, Extension as ExtensionPlan, InstanceMode, Secret,
};
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateProblem, Loader, LogProblem, ModuleFacts, Need, fits_pattern,
};
use tidegate_wasm_host::{Extension, ExtensionSpec, Host, LoadError, ModuleError, inspect};

use super::mask::Mask;
use crate::tls::files::{Authorities, ServerCertificate, read_authorities, read_certificate};

/// Reads for one compilation, and keeps what it read: what was checked is what will run.
pub struct PolicyLoader<'h> {
    /// Runs modules; without one, they are inspected.
    host: Option<&'h Host>,
    modules: RefCell<HashMap<String, Arc<[u8]>>>,
    extensions: RefCell<HashMap<String, Arc<Extension>>>,
    certificates: RefCell<HashMap<String, Arc<ServerCertificate>>>,
    authorities: RefCell<HashMap<String, Arc<Authorities>>>,
    secrets: RefCell<HashMap<Secret, Vec<u8>>>,
    mask: RefCell<Mask>,
    /// A text in place of that of a file.
    draft: Option<(PathBuf, String)>,
    disk: Disk,
}

/// What a compilation read that serves, by name.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Extensions that compiled and accepted their configuration.
    pub extensions: HashMap<String, Arc<Extension>>,
    /// Certificates that can be served.
    pub certificates: HashMap<String, Arc<ServerCertificate>>,
    /// Authorities that can be trusted.
    pub authorities: HashMap<String, Arc<Authorities>>,
    /// The secrets that keys are derived from.
    pub secrets: HashMap<Secret, Vec<u8>>,
    /// The values that came from the environment.
    pub mask: Mask,
    /// Something could not be read for a reason that may pass.
    pub troubled: bool,
}

impl<'h> PolicyLoader<'h> {
    /// Compiles modules for this host, and runs `init` of each.
    pub fn new(host: &'h Host) -> Self {
        Self { host: Some(host), ..Self::inspecting() }
    }

    /// Looks at modules without compiling or running anything of them.
    pub fn inspecting() -> Self {
        Self {
            host: None,
            modules: RefCell::default(),
            extensions: RefCell::default(),
            certificates: RefCell::default(),
            authorities: RefCell::default(),
            secrets: RefCell::default(),
            mask: RefCell::default(),
            draft: None,
            disk: Disk::default(),
        }
    }

    /// Reads this text in place of a file's.
    pub fn with_draft(self, path: &Path, text: String) -> Self {
        Self { draft: Some((path.to_owned(), text)), ..self }
    }

    /// Everything that was read and is to serve.
    pub fn into_loaded(self) -> Loaded {
        Loaded {
            extensions: self.extensions.into_inner(),
            certificates: self.certificates.into_inner(),
            authorities: self.authorities.into_inner(),
            secrets: self.secrets.into_inner(),
            mask: self.mask.into_inner(),
            troubled: self.disk.is_troubled(),
        }
    }

    fn module_bytes(&self, path: &str) -> Result<Arc<[u8]>, String> {
        if let Some(bytes) = self.modules.borrow().get(path) {
            return Ok(Arc::clone(bytes));
        }
        let bytes: Arc<[u8]> = self.disk.read(Path::new(path), limits::MODULE_BYTES)?.into();
        self.modules.borrow_mut().insert(path.to_owned(), Arc::clone(&bytes));
        Ok(bytes)
    }
}

impl Loader for PolicyLoader<'_> {
    fn text(&self, path: &Path) -> Result<String, String> {
        if let Some((_, text)) = self.draft.as_ref().filter(|(draft, _)| draft == path) {
            return Ok(text.clone());
        }
        let bytes = self.disk.read(path, limits::POLICY_BYTES)?;
        String::from_utf8(bytes).map_err(|error| {
            let line =
                error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count() + 1;
            format!("the file is not UTF-8 text (line {line})")
        })
    }

    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let folder = match pattern.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let wanted = pattern.file_name().unwrap_or_default().to_string_lossy();
        let mut names = self.disk.names(folder)?;
        // A name that is no text fits no pattern. Folders are passed over; a link to a file is one.
        names.retain(|name| name.to_str().is_some_and(|name| fits_pattern(&wanted, name)));
        names.retain(|name| !folder.join(name).is_dir());
        Ok(names.into_iter().map(|name| pattern.with_file_name(name)).collect())
    }

    fn env(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok()?;
        self.mask.borrow_mut().hide(name, &value);
        Some(value)
    }

    fn module(&self, extension: &ExtensionPlan) -> Result<ModuleFacts, String> {
        let module = self.module_bytes(&extension.module)?;
        let report = match inspect(&module, extension.abi) {
            Ok(report) => report,
            Err(ModuleError::Bound(bound)) => {
                return Ok(ModuleFacts { bound: Some(bound.to_string()), ..ModuleFacts::default() });
            }
            Err(error) => return Err(error.to_string()),
        };
        let needs: Vec<_> =
            report.needs.into_iter().map(|need| Need { import: need.import, capability: need.capability }).collect();
        let allowed = needs.iter().all(|need| extension.allow.contains(&need.capability));
        let (mut init_error, mut start_error) = (None, None);
        if let Some(host) = self.host
            && allowed
            && report.unknown_imports.is_empty()
        {
            match host.load(&spec(extension, module)) {
                Ok(loaded) => {
                    self.extensions.borrow_mut().insert(extension.name.clone(), loaded);
                }
                Err(LoadError::Init(reason)) => init_error = Some(reason),
                Err(LoadError::InitFault(fault)) => start_error = Some(fault.message),
                Err(late @ (LoadError::Late(_) | LoadError::Crowded(_))) => {
                    return Ok(ModuleFacts { uncompiled: Some(late.to_string()), ..ModuleFacts::default() });
                }
                Err(error) => init_error = Some(error.to_string()),
            }
        }
        Ok(ModuleFacts {
            hooks: report.hooks,
            needs,
            unknown_imports: report.unknown_imports,
            init_error,
            start_error,
            bound: None,
            uncompiled: None,
        })
    }

    fn certificate(&self, certificate: &CertificatePlan) -> Result<CertificateFacts, CertificateProblem> {
        let staple = certificate.staple.as_deref().map(Path::new);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let read = read_certificate(
            Path::new(&certificate.chain),
            Path::new(&certificate.key),
            staple,
            &provider,
            &self.disk,
        )?;
        let facts = read.facts(SystemTime::now());
        self.certificates.borrow_mut().insert(certificate.name.clone(), Arc::new(read));
        Ok(facts)
    }

    fn secret(&self, secret: &Secret) -> Result<usize, String> {
        use std::os::unix::ffi::OsStringExt;
        let mut bytes = match secret {
            Secret::Env(name) => std::env::var_os(name).ok_or("the environment variable is not set")?.into_vec(),
            Secret::File(path) => self.disk.read(Path::new(path), limits::SECRET_BYTES)?,
        };
        // Editors and `echo` leave one.
        for end in [b'\n', b'\r'] {
            bytes.pop_if(|last| *last == end);
        }
        let length = bytes.len();
        self.secrets.borrow_mut().insert(secret.clone(), bytes);
        Ok(length)
    }

    fn authority(&self, authority: &CaPlan) -> Result<AuthorityFacts, String> {
        let read = read_authorities(Path::new(&authority.bundle), &self.disk)?;
        let facts = read.facts(SystemTime::now());
        self.authorities.borrow_mut().insert(authority.name.clone(), Arc::new(read));
        Ok(facts)
    }

    fn access_log(&self, path: &Path) -> Result<(), LogProblem> {
        disk::may_add_to(path)
    }
}

fn spec(extension: &ExtensionPlan, module: Arc<[u8]>) -> ExtensionSpec {
    ExtensionSpec {
        name: extension.name.clone(),
        module,
        abi: extension.abi,
        config: extension.config.clone(),
        memory: extension.limits.memory,
        time: extension.limits.time,
        instances: extension.limits.instances,
        fresh: extension.instance == InstanceMode::Fresh,
        allow: extension.allow.clone(),
        reach: extension.reach.clone(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    /// A folder with these files.
    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn a_text_is_utf_8_or_the_line_is_named() {
        let folder = folder(&[("good.gate", "tidegate 1 # ü".as_bytes()), ("bad.gate", b"one\ntwo \xff\n")]);
        let loader = PolicyLoader::inspecting();
        assert_eq!(loader.text(&folder.path().join("good.gate")).unwrap(), "tidegate 1 # ü");
        let why = loader.text(&folder.path().join("bad.gate")).unwrap_err();
        assert_eq!(why, "the file is not UTF-8 text (line 2)");
        assert!(loader.text(&folder.path().join("none.gate")).is_err());
    }

    #[test]
    fn a_pattern_finds_files_and_no_folders() {
        let folder = folder(&[("a.gate", b""), ("b.gate", b""), ("c.txt", b""), (".d.gate", b"")]);
        std::fs::create_dir(folder.path().join("e.gate")).unwrap();
        let loader = PolicyLoader::inspecting();
        let mut found = loader.glob(&folder.path().join("*.gate")).unwrap();
        found.sort();
        assert_eq!(found, ["a.gate", "b.gate"].map(|name| folder.path().join(name)));
        assert!(loader.glob(&folder.path().join("none/*.gate")).unwrap().is_empty(), "a folder that is not there");
    }

    #[test]
    fn a_secret_is_kept_without_the_end_of_its_line() {
        let folder = folder(&[("secret", b"0123456789\r\n"), ("bare", b"0123456789")]);
        let loader = PolicyLoader::inspecting();
        let [ended, bare] = ["secret", "bare"].map(|name| Secret::File(folder.path().join(name).display().to_string()));
        assert_eq!((loader.secret(&ended), loader.secret(&bare)), (Ok(10), Ok(10)));
        let loaded = loader.into_loaded();
        assert_eq!((&*loaded.secrets[&ended], &*loaded.secrets[&bare]), (&b"0123456789"[..], &b"0123456789"[..]));
        assert!(!loaded.troubled);
    }

    #[test]
    fn a_secret_of_the_environment_that_is_not_set_is_told() {
        let secret = Secret::Env("TIDEGATE_TEST_THAT_IS_NOT_SET".to_owned());
        assert_eq!(PolicyLoader::inspecting().secret(&secret), Err("the environment variable is not set".to_owned()));
    }
}
