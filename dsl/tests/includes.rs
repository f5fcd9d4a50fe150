//! The files that `include` reads, and how far it goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "sites are files")]

mod support;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use support::TestLoader;
use tidegate_dsl::plan::{Ca, Certificate, Extension};
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateFile, CertificateProblem, Loader, ModuleFacts, compile,
};

#[test]
fn everything_that_was_asked_for_is_watched() {
    let path = Path::new("conf/main.gate");
    let text = "tidegate 1\ninclude \"sites/*.gate\"\ninclude \"sites/none-*.gate\"\ninclude \"sites/gone.gate\"\n";
    let inputs = compile(path, &TestLoader::new(path, text)).inputs;
    let wanted = [
        "conf/main.gate",
        "conf/sites",
        "conf/sites/shop.gate",
        "conf/sites/gone.gate",
        "conf/sites/../modules/basket.wasm",
    ];
    assert_eq!(inputs, wanted.map(PathBuf::from));
}

#[test]
fn a_pattern_beside_the_policy_looks_into_its_folder() {
    let path = Path::new("main.gate");
    let inputs = compile(path, &TestLoader::new(path, "tidegate 1\ninclude \"*.gate\"\n")).inputs;
    assert_eq!(inputs, ["main.gate", "."].map(PathBuf::from));
}

/// Every file includes the next one, for ever.
#[derive(Default)]
struct Endless(Cell<usize>);

impl Loader for Endless {
    fn text(&self, path: &Path) -> Result<String, String> {
        self.0.set(self.0.get() + 1);
        Ok(format!("tidegate 1\ninclude \"{}x\"\n", path.file_name().unwrap().to_string_lossy()))
    }

    fn glob(&self, _: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn module(&self, _: &Extension) -> Result<ModuleFacts, String> {
        Err("no modules".to_owned())
    }

    fn certificate(&self, _: &Certificate) -> Result<CertificateFacts, CertificateProblem> {
        Err(CertificateProblem::File(CertificateFile::Chain, "no certificates".to_owned()))
    }

    fn authority(&self, _: &Ca) -> Result<AuthorityFacts, String> {
        Err("no authorities".to_owned())
    }
}

#[test]
fn endless_includes_end() {
    let loader = Endless::default();
    let compilation = compile(Path::new("x"), &loader);
    let codes: Vec<_> = compilation.diagnostics.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["E0108"]);
    assert_eq!(loader.0.get(), 1001);
}
