//! The loader: how the compiler asks for files, modules and certificates.

use std::path::{Path, PathBuf};

use crate::certificate_facts::{AuthorityFacts, CertificateFacts, CertificateFile, CertificateProblem};
use crate::module_facts::ModuleFacts;
use crate::plan;

/// The only way to the outside.
pub trait Loader {
    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence for the user: "no such file".
    fn text(&self, path: &Path) -> Result<String, String>;

    /// The files that fit a pattern, in any order: the last part of its path may have `*` and `?`
    /// ([`fits_pattern`](crate::fits_pattern)). A folder that is not there holds none.
    ///
    /// # Errors
    /// Why the folder cannot be read, as a sentence for the user.
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String>;

    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;

    /// Reads the module of an extension and looks at it.
    ///
    /// # Errors
    /// Why it cannot be read or is no module, as a sentence for the user.
    fn module(&self, extension: &plan::Extension) -> Result<ModuleFacts, String>;

    /// Reads the files of a certificate, and checks that they belong together.
    ///
    /// # Errors
    /// Why it cannot be used. Nothing of a private key may be in it.
    fn certificate(&self, certificate: &plan::Certificate) -> Result<CertificateFacts, CertificateProblem>;

    /// Reads the certificates of an authority.
    ///
    /// # Errors
    /// Why they cannot be used, as a sentence for the user.
    fn authority(&self, authority: &plan::Ca) -> Result<AuthorityFacts, String>;

    /// Reads a secret, and says how many bytes it has, without a line end behind it. The secret itself stays with
    /// the loader.
    ///
    /// # Errors
    /// The reason why the secret cannot be read, as a sentence for the user.
    fn secret(&self, _: &plan::Secret) -> Result<usize, String> {
        Err("there are no secrets here".to_owned())
    }

    /// Whether a file can be the access log. The file need not be there, and is not made. A loader without files has
    /// nothing to say.
    ///
    /// # Errors
    /// The reason why the file cannot be the access log.
    fn access_log(&self, _: &Path) -> Result<(), LogProblem> {
        Ok(())
    }
}

/// A policy that is one text, in a world without files: for tests and measurements.
#[derive(Debug)]
pub struct OneText(pub String);

impl Loader for OneText {
    fn text(&self, _: &Path) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn glob(&self, _: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn module(&self, _: &plan::Extension) -> Result<ModuleFacts, String> {
        Err("there are no modules here".to_owned())
    }

    fn certificate(&self, _: &plan::Certificate) -> Result<CertificateFacts, CertificateProblem> {
        Err(CertificateProblem::File(CertificateFile::Chain, "there are no certificates here".to_owned()))
    }

    fn authority(&self, _: &plan::Ca) -> Result<AuthorityFacts, String> {
        Err("there are no authorities here".to_owned())
    }
}

/// The reason why a file cannot be the access log, as a sentence for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogProblem {
    /// Something else than a file is there.
    NoFile(String),
    /// The user who checks cannot write the file, on this machine.
    Locked(String),
}
