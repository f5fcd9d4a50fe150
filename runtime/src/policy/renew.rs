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

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::policy::prepare::tests::Files;
    use crate::tls::tests::Authority;

    const POLICY: &str = r#"tidegate 1
        certificate shop { chain "shop.pem"; key "shop.key" }
        certificate blog { chain "blog.pem"; key "blog.key" }
        ca partners { bundle "partners.pem" }
        listener https main { port 8443; certificate shop; certificate blog; client-ca partners; rules site }
        rules site { otherwise { respond 204 } }"#;

    struct World {
        authority: Authority,
        files: Files,
        old: Snapshot,
    }

    impl World {
        fn new() -> Self {
            let (authority, files) = (Authority::new("ours"), Files::new(POLICY));
            for name in ["shop", "blog"] {
                write(&files, name, &authority.files(&format!("{name}.test")));
            }
            files.write("partners.pem", &authority.file());
            let prepared = files.prepare(None, &[]);
            let old = prepared.snapshot.unwrap_or_else(|| panic!("{:?}", prepared.diagnostics));
            Self { authority, files, old }
        }

        fn renew(&self) -> Renewed {
            renew(&self.old)
        }

        /// The only sentence about what was kept, without the folder.
        fn kept(&self, renewed: &Renewed) -> String {
            assert_eq!(renewed.kept.len(), 1, "{:?}", renewed.kept);
            renewed.kept[0].replace(&format!("{}/", self.files.path("").display()).replace("//", "/"), "")
        }
    }

    fn write(files: &Files, name: &str, (chain, key): &(String, String)) {
        files.write(&format!("{name}.pem"), chain);
        files.write(&format!("{name}.key"), key);
    }

    #[test]
    fn what_is_the_same_is_not_renewed() {
        let world = World::new();
        let blog = std::fs::read_to_string(world.files.path("blog.pem")).unwrap();
        world.files.write("blog.pem", &blog);
        let renewed = world.renew();
        assert!(renewed.snapshot.is_none() && renewed.names.is_empty() && renewed.kept.is_empty());
        let names = ["shop.pem", "shop.key", "blog.pem", "blog.key", "partners.pem"];
        assert_eq!(files(world.old.plan()), names.map(|name| world.files.path(name)));
    }

    #[test]
    fn a_sound_one_is_taken_and_a_broken_one_is_kept() {
        let world = World::new();
        write(&world.files, "shop", &world.authority.files("shop.test"));
        world.files.write("blog.pem", "");
        let renewed = world.renew();
        assert_eq!(renewed.names, ["shop"]);
        let said = world.kept(&renewed);
        assert!(
            said.starts_with("certificate `blog`: the file `blog.pem` cannot be used: it holds no certificate"),
            "{said}"
        );
        let (new, old) = (renewed.snapshot.unwrap(), &world.old);
        assert_eq!(new.generation, old.generation + 1);
        assert!(Arc::ptr_eq(&new.engine, &old.engine), "the rules are the same");
        let (new, old) = (&new.tls.certificates, &old.tls.certificates);
        assert!(new.chains[0].key.cert != old.chains[0].key.cert && Arc::ptr_eq(&new.chains[1], &old.chains[1]));
        assert!(Arc::ptr_eq(&new.authorities[0], &old.authorities[0]));
    }

    #[test]
    fn a_pair_is_taken_once_both_of_its_files_are_there() {
        let world = World::new();
        let (chain, key) = world.authority.files("shop.test");
        world.files.write("shop.pem", &chain);
        let half = world.renew();
        assert!(half.snapshot.is_none() && half.names.is_empty());
        let said =
            "certificate `shop`: the key in `shop.key` does not belong to the certificate in `shop.pem`; renew both";
        assert_eq!(world.kept(&half), said);
        world.files.write("shop.pem", &format!("{}{chain}", world.authority.file()));
        world.files.write("shop.key", &key);
        let said = "certificate `shop`: the key in `shop.key` belongs to certificate 2 in `shop.pem`; put that one first, and \
                    its issuers behind it";
        assert_eq!(world.kept(&world.renew()), said);
        world.files.write("shop.pem", &chain);
        assert_eq!(world.renew().names, ["shop"]);
    }

    #[test]
    fn trust_changes_by_a_bundle_that_can_be_read() {
        let world = World::new();
        world.files.write("partners.pem", "");
        let broken = world.renew();
        assert!(broken.snapshot.is_none());
        let said = world.kept(&broken);
        assert!(said.starts_with("ca `partners`: the file `partners.pem` cannot be used: "), "{said}");
        world.files.write("partners.pem", &format!("{}{}", world.authority.file(), Authority::new("another").file()));
        let renewed = world.renew();
        assert_eq!(renewed.names, ["partners"]);
        assert_eq!(renewed.snapshot.unwrap().tls.certificates.authorities[0].roots.len(), 2);
    }
}
