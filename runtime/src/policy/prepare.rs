//! Everything of a reload that can fail, off to the side: compile, load, build.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_base::secret::{Purpose, Secrets};
use tidegate_base::token::{Token, Tokens};
use tidegate_dsl::plan::{Plan, Secret};
use tidegate_dsl::{Compilation, Diagnostic, PolicyTest, Sources, compile};
use tidegate_engine::Engine;
use tidegate_engine::affinity::CookieKeys;
use tidegate_wasm_host::Host;

use super::file_stamps::FileStamps;
use super::loader::{Loaded, PolicyLoader};
use super::mask::Mask;
use super::overrides::Overrides;
use super::snapshot::Snapshot;
use crate::tls::Certificates;

/// What is read, and what for.
pub struct Reading<'r> {
    /// The policy's file.
    pub root: &'r Path,
    /// A text in place of that file's.
    pub draft: Option<String>,
    /// Runs modules.
    pub host: &'r Host,
    /// The policy in service, from which is taken over what did not change.
    pub previous: Option<&'r Snapshot>,
    /// The files of that one.
    pub known_inputs: &'r [PathBuf],
    /// What was changed by hand.
    pub overrides: &'r Overrides,
}

impl<'r> Reading<'r> {
    /// A policy by itself.
    pub fn of(root: &'r Path, host: &'r Host) -> Self {
        Self { root, draft: None, host, previous: None, known_inputs: &[], overrides: Overrides::NONE }
    }
}

/// What reading a policy led to.
pub struct Prepared {
    /// The policy, ready to serve; `None` if it has an error.
    pub snapshot: Option<Snapshot>,
    /// The plan as the files say it, before changes by hand; `None` with the snapshot.
    pub written: Option<Plan>,
    /// The changes by hand that hold beside these files.
    pub overrides: Overrides,
    /// The policy's tests. They are no part of what serves: a change of them alone changes no plan.
    pub tests: Vec<PolicyTest>,
    /// What the compiler says, warnings included.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
    /// A mistake that no place in the text stands for.
    pub refusal: Option<String>,
    /// Every file that was read, or that was to be read.
    pub inputs: Vec<PathBuf>,
    /// What these files looked like before they were read.
    pub seen: FileStamps,
    /// The values that came from the environment: they are not to be shown unasked, and no diagnostic shows them.
    pub mask: Mask,
    /// Something could not be read for a reason that may pass: it is worth another try.
    pub troubled: bool,
}

/// Compiles a policy and builds what serves it. Nothing in service is touched.
pub fn prepare(reading: Reading<'_>) -> Prepared {
    let Reading { root, draft, host, previous, known_inputs, overrides } = reading;
    let before = FileStamps::at(known_inputs);
    let files = match draft {
        Some(text) => PolicyLoader::new(host).with_draft(root, text),
        None => PolicyLoader::new(host),
    };
    let Compilation { plan: written, tests, mut diagnostics, sources, inputs } = compile(root, &files);
    let overrides = written.as_ref().map(|written| overrides.after_reload(written)).unwrap_or_default();
    let plan = written.clone().map(|mut plan| {
        overrides.apply(&mut plan);
        plan
    });
    // Files that this reading found for the first time are taken as they are now.
    let seen = before.extend_to(&inputs);
    let Loaded { mut extensions, certificates, authorities, secrets, mask, troubled } = files.into_loaded();
    diagnostics.iter_mut().for_each(|said| mask.diagnostic(said));
    let built = plan.map(|plan| {
        let loaded: Option<Vec<_>> =
            plan.extensions.iter().map(|extension| extensions.remove(&extension.name)).collect();
        let loaded = loaded.ok_or_else(|| "an extension was not loaded".to_owned())?;
        let chains: Option<Vec<_>> =
            plan.certificates.iter().map(|certificate| certificates.get(&certificate.name).cloned()).collect();
        let authorities: Option<Vec<_>> =
            plan.authorities.iter().map(|ca| authorities.get(&ca.name).cloned()).collect();
        let (Some(chains), Some(authorities)) = (chains, authorities) else {
            return Err("a certificate was not loaded".to_owned());
        };
        let of_gateway = plan.gateway.secrets.iter().filter_map(|secret| secrets.get(secret)).map(Vec::as_slice);
        let token =
            |secret: &Option<Secret>| secret.as_ref().and_then(|secret| secrets.get(secret)).map(|it| Token::new(it));
        let tokens = plan
            .admin
            .as_ref()
            .map(|admin| Tokens { read: token(&admin.read_token), operate: token(&admin.operate_token) });
        let secrets = Secrets::new(of_gateway);
        let certificates = Certificates { chains, authorities, secrets, tokens: tokens.unwrap_or_default() };
        let cookies = CookieKeys::new(certificates.secrets.keys_or_own(Purpose::Cookies));
        let engine = Engine::build_keyed(Arc::new(plan), previous.map(|previous| &*previous.engine), cookies)
            .map_err(|error| error.to_string())?;
        Snapshot::build(Arc::new(engine), loaded, certificates, previous)
    });
    let (snapshot, refusal) = match built {
        Some(Ok(snapshot)) => (Some(snapshot), None),
        Some(Err(refusal)) => (None, Some(refusal)),
        None => (None, None),
    };
    let written = written.filter(|_| snapshot.is_some());
    Prepared { snapshot, written, overrides, tests, diagnostics, sources, refusal, inputs, seen, mask, troubled }
}

/// Policies in files, for the tests of what is made from them.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
pub(crate) mod tests {
    use std::fs;
    use std::sync::Arc;

    use tempfile::TempDir;
    use tidegate_wasm_host::HostOptions;

    use super::*;

    /// A folder with a policy in `main.gate`.
    pub(crate) struct Files {
        folder: TempDir,
        pub(crate) host: Arc<Host>,
    }

    impl Files {
        pub(crate) fn new(policy: &str) -> Self {
            let host = Arc::new(Host::new(HostOptions::new(Arc::new(|_| {}))).unwrap());
            let files = Self { folder: tempfile::tempdir().unwrap(), host };
            files.write("main.gate", policy);
            files
        }

        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        pub(crate) fn root(&self) -> PathBuf {
            self.path("main.gate")
        }

        pub(crate) fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        /// Reads the policy after another one, whose files are known.
        pub(crate) fn prepare(&self, previous: Option<&Snapshot>, known: &[PathBuf]) -> Prepared {
            prepare(Reading { previous, known_inputs: known, ..Reading::of(&self.root(), &self.host) })
        }
    }

    const POLICY: &str = "tidegate 1\ninclude \"site.gate\"\nlistener http main { port 8080; rules site }\n";
    const SITE: &str = "rules site { otherwise { respond 204 } }\n";

    fn codes(prepared: &Prepared) -> Vec<&str> {
        prepared.diagnostics.iter().map(|said| said.code).collect()
    }

    #[test]
    fn a_policy_with_an_error_leaves_what_to_watch_and_what_to_say() {
        let files = Files::new(POLICY);
        let missing = files.prepare(None, &[]);
        assert!(missing.snapshot.is_none() && missing.refusal.is_none() && !missing.troubled);
        assert!(!codes(&missing).is_empty());
        assert!(missing.inputs.contains(&files.path("site.gate")), "it may come: {:?}", missing.inputs);
        assert_eq!(missing.seen.changed(), [] as [PathBuf; 0]);
        files.write("site.gate", SITE);
        assert_eq!(missing.seen.changed(), [files.path("site.gate")]);
        let first = files.prepare(None, &missing.inputs);
        let first = first.snapshot.unwrap();
        assert_eq!((first.generation, files.prepare(Some(&first), &[]).snapshot.unwrap().generation), (1, 2));
    }

    #[test]
    fn tests_are_beside_the_plan() {
        let test = "test \"it answers\" { request GET \"http://a/\"; expect status 204 }\n";
        let files = Files::new(&format!("{POLICY}{test}"));
        files.write("site.gate", SITE);
        let with = files.prepare(None, &[]);
        assert_eq!(with.tests.iter().map(|test| &*test.name).collect::<Vec<_>>(), ["it answers"]);
        files.write("main.gate", POLICY);
        let without = files.prepare(None, &[]);
        assert!(without.tests.is_empty());
        assert!(with.snapshot.unwrap().plan() == without.snapshot.unwrap().plan());
    }
}
