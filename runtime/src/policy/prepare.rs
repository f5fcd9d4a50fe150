//! Everything of a reload that can fail, off to the side: compile, load, build.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_base::secret::{Purpose, Secrets};
use tidegate_dsl::{Compilation, Diagnostic, PolicyTest, Sources, compile};
use tidegate_engine::Engine;
use tidegate_engine::affinity::CookieKeys;
use tidegate_wasm_host::Host;

use super::file_stamps::FileStamps;
use super::loader::{Loaded, PolicyLoader};
use super::mask::Mask;
use super::snapshot::Snapshot;
use crate::tls::Certificates;

/// What reading a policy led to.
pub struct Prepared {
    /// The policy, ready to serve; `None` if it has an error.
    pub snapshot: Option<Snapshot>,
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
pub fn prepare(root: &Path, host: &Host, previous: Option<&Snapshot>, known_inputs: &[PathBuf]) -> Prepared {
    let before = FileStamps::at(known_inputs);
    let files = PolicyLoader::new(host);
    let Compilation { plan, tests, mut diagnostics, sources, inputs } = compile(root, &files);
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
        let secrets = plan.gateway.secrets.iter().filter_map(|secret| secrets.get(secret)).map(Vec::as_slice);
        let certificates = Certificates { chains, authorities, secrets: Secrets::new(secrets) };
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
    Prepared { snapshot, tests, diagnostics, sources, refusal, inputs, seen, mask, troubled }
}
