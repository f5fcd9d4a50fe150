//! Certificates are renewed by themselves: what reads nothing but their files needs no compiler, and a mistake in the policy
//! that is being written does not keep an old certificate in service.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_base::disk::Disk;
use tidegate_dsl::plan::Plan;
use tidegate_dsl::{CertificateFile, CertificateProblem};

use super::snapshot::Snapshot;
use crate::tls::Certificates;
use crate::tls::files::{read_authorities, read_certificate};

/// What reading the files of certificates anew led to.
pub struct Renewed {
    /// The policy with what could be renewed; `None` if nothing could, or nothing is new.
    pub snapshot: Option<Snapshot>,
    /// The names of the certificates and authorities that are new.
    pub names: Vec<String>,
    /// Why others were kept as they are, and what to do; a sentence each.
    pub kept: Vec<String>,
    /// Something could not be read for a reason that may pass.
    pub troubled: bool,
}

/// The files of a plan's certificates and authorities.
pub fn files(plan: &Plan) -> Vec<PathBuf> {
    let certificates = plan.certificates.iter().flat_map(|one| [Some(&one.chain), Some(&one.key), one.staple.as_ref()]);
    let authorities = plan.authorities.iter().map(|one| Some(&one.bundle));
    certificates.chain(authorities).flatten().map(PathBuf::from).collect()
}

/// Reads the files of the certificates in service. Each that is sound is taken; each that is not is kept as it was, for
/// another one's sake neither waits: a renewal writes its files one after another.
pub fn renew(old: &Snapshot) -> Renewed {
    let plan = old.plan();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut renewed = Renewed { snapshot: None, names: Vec::new(), kept: Vec::new(), troubled: false };
    let disk = Disk::default();
    let known = &old.tls.certificates;
    let (secrets, tokens) = (known.secrets.clone(), known.tokens.clone());
    let mut certificates = Certificates { secrets, tokens, ..Certificates::default() };
    for (certificate, known) in plan.certificates.iter().zip(&old.tls.certificates.chains) {
        let staple = certificate.staple.as_deref().map(Path::new);
        let read =
            read_certificate(Path::new(&certificate.chain), Path::new(&certificate.key), staple, &provider, &disk);
        certificates.chains.push(match read {
            Ok(new) if new.key.cert == known.key.cert && new.key.ocsp == known.key.ocsp => Arc::clone(known),
            Ok(new) => {
                renewed.names.push(certificate.name.clone());
                Arc::new(new)
            }
            Err(problem) => {
                renewed.kept.push(format!("certificate `{}`: {}", certificate.name, words(&problem, certificate)));
                Arc::clone(known)
            }
        });
    }
    for (authority, known) in plan.authorities.iter().zip(&old.tls.certificates.authorities) {
        certificates.authorities.push(match read_authorities(Path::new(&authority.bundle), &disk) {
            Ok(new) if new.roots.roots == known.roots.roots => Arc::clone(known),
            Ok(new) => {
                renewed.names.push(authority.name.clone());
                Arc::new(new)
            }
            Err(why) => {
                renewed
                    .kept
                    .push(format!("ca `{}`: the file `{}` cannot be used: {why}", authority.name, authority.bundle));
                Arc::clone(known)
            }
        });
    }
    if !renewed.names.is_empty() {
        match Snapshot::build(Arc::clone(&old.engine), old.extensions.clone(), certificates, Some(old)) {
            Ok(snapshot) => renewed.snapshot = Some(snapshot),
            Err(why) => renewed.kept.push(why),
        }
    }
    renewed.troubled = disk.is_troubled();
    renewed
}

fn words(problem: &CertificateProblem, certificate: &tidegate_dsl::plan::Certificate) -> String {
    let (chain, key) = (&certificate.chain, &certificate.key);
    match problem {
        CertificateProblem::File(file, why) => {
            let path = match file {
                CertificateFile::Chain => chain,
                CertificateFile::Key => key,
                CertificateFile::Staple => certificate.staple.as_ref().unwrap_or(chain),
            };
            format!("the file `{path}` cannot be used: {why}")
        }
        CertificateProblem::KeyMismatch { belongs_to: None } => {
            format!("the key in `{key}` does not belong to the certificate in `{chain}`; renew both")
        }
        CertificateProblem::KeyMismatch { belongs_to: Some(at) } => format!(
            "the key in `{key}` belongs to certificate {at} in `{chain}`; put that one first, and its issuers behind it"
        ),
    }
}
