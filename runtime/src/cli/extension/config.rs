//! `--config`: what a policy writes in `config { … }`, without a policy.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use tidegate_base::disk::Disk;
use tidegate_base::limits::POLICY_BYTES;
use tidegate_dsl::plan::{Ca, Certificate, Extension};
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateProblem, Compilation, Loader, ModuleFacts, compile, render,
};

use super::super::Failed;

/// The text itself, or that of the file that it names.
pub(super) fn text(given: &str) -> Result<String, Failed> {
    let file = Path::new(given);
    if given.contains(['\n', '{']) || !file.is_file() {
        return Ok(given.to_owned());
    }
    let bytes = Disk::default().read(file, POLICY_BYTES).map_err(|why| Failed::Because(format!("`{given}`: {why}")))?;
    String::from_utf8(bytes).map_err(|_| Failed::Because(format!("`{given}` is no UTF-8 text")))
}

/// The JSON that `init` is told.
pub(super) fn json(text: String) -> Result<String, Failed> {
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(_) => Ok(text),
        Err(_) => tree(&text),
    }
}

/// The lines of a `config` block, as the compiler understands them.
fn tree(lines: &str) -> Result<String, Failed> {
    let policy = format!("tidegate 1\nextension guest {{\nmodule \"guest.wasm\"\nconfig {{\n{lines}\n}}\n}}\n");
    let written = Written { policy, config: RefCell::default() };
    let Compilation { diagnostics, sources, .. } = compile(Path::new("--config"), &written);
    // A policy of an extension alone has other mistakes, which are of no interest where the configuration was understood.
    written.config.into_inner().ok_or_else(|| {
        eprintln!("{}", render::human(&diagnostics, &sources, false).trim_end());
        Failed::Usage("`--config` takes the lines of a `config` block, JSON, or a file with either".to_owned())
    })
}

/// The policy around the lines. It keeps the configuration of the extension that the compiler asks it about.
struct Written {
    policy: String,
    config: RefCell<Option<String>>,
}

impl Loader for Written {
    fn text(&self, _: &Path) -> Result<String, String> {
        Ok(self.policy.clone())
    }

    fn glob(&self, _: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn module(&self, extension: &Extension) -> Result<ModuleFacts, String> {
        *self.config.borrow_mut() = Some(extension.config.clone());
        Ok(ModuleFacts::default())
    }

    fn certificate(&self, _: &Certificate) -> Result<CertificateFacts, CertificateProblem> {
        Err(CertificateProblem::KeyMismatch { belongs_to: None })
    }

    fn authority(&self, _: &Ca) -> Result<AuthorityFacts, String> {
        Err("there are no files here".to_owned())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn understood(given: &str) -> Option<String> {
        json(text(given).ok()?).ok()
    }

    #[test]
    fn lines_json_and_files() {
        assert_eq!(understood("greeting \"hello\"; percent 5").unwrap(), r#"{"greeting":"hello","percent":5}"#);
        assert_eq!(
            understood("request { x \"1\" }\nallow [a, b]").unwrap(),
            r#"{"request":{"x":"1"},"allow":["a","b"]}"#
        );
        assert_eq!(understood(r#"{"a": 1}"#).unwrap(), r#"{"a": 1}"#);
        assert_eq!(understood("").unwrap(), "{}");
        assert_eq!(understood("greeting \"hello"), None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, "percent 7\n").unwrap();
        assert_eq!(understood(file.to_str().unwrap()).unwrap(), r#"{"percent":7}"#);
    }
}
