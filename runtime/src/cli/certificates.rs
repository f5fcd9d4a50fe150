//! `tidegate demo certificates`: an authority and certificates of one's own, to try policies with.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::{Failed, answer};

/// Writes `ca.pem`, and for each name `NAME.pem` and `NAME.key`, for servers and clients. The authority's key is kept nowhere: nobody
/// can sign anything else with it.
pub(super) fn certificates(folder: &Path, names: &[String]) -> Result<(), Failed> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Failed::Because(format!("cannot make the folder `{}`: {error}", folder.display())))?;
    let authority = authority().map_err(|error| not_made("the authority", &error))?;
    write(&folder.join("ca.pem"), &authority.1)?;
    for name in names {
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c)) {
            return Err(Failed::Usage(format!("`{name}` is neither a host name nor an address")));
        }
        let (chain, key) = signed(name, &authority.0).map_err(|error| not_made(&format!("`{name}`"), &error))?;
        write(&folder.join(format!("{name}.pem")), &chain)?;
        write(&folder.join(format!("{name}.key")), &key)?;
    }
    answer(&format!(
        "{} certificates for {} in {}, signed by ca.pem there; trust them nowhere but in tests",
        names.len(),
        names.join(", "),
        folder.display()
    ))
}

/// A new authority, and its certificate.
fn authority() -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Tidegate demo authority");
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

/// A certificate for a host name and those below it, or for an address; and its key.
fn signed(name: &str, authority: &Issuer<'static, KeyPair>) -> Result<(String, String), rcgen::Error> {
    let mut names = vec![name.to_owned()];
    if name.parse::<std::net::IpAddr>().is_err() {
        names.push(format!("*.{name}"));
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, authority)?.pem(), key.serialize_pem()))
}

fn not_made(what: &str, error: &rcgen::Error) -> Failed {
    Failed::Because(format!("cannot make a certificate for {what}: {error}"))
}

/// Never writes over a file: it may be the only copy of somebody's key.
fn write(path: &Path, text: &str) -> Result<(), Failed> {
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failed::Because(format!("`{}` is there already; remove it, or name another folder", path.display()))
        }
        _ => Failed::Because(format!("cannot write `{}`: {error}", path.display())),
    })
}
