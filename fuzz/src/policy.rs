//! Properties that must hold for every text that is called a policy.

use std::path::{Path, PathBuf};

use tidegate_dsl::plan::{Ca, Certificate, Extension, Secret};
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateProblem, Compilation, Hook, KeyAlgorithm, Loader, ModuleFacts, diff,
    format, print, render,
};

/// Reading ends, and what is said can be shown.
pub fn parse(text: &str) {
    let Err(said) = format(text) else { return };
    assert!(!said.is_empty());
    let mut sources = tidegate_dsl::Sources::default();
    sources.add(Path::new("policy.gate"), text.to_owned());
    assert!(!render::human(&said, &sources, true).is_empty());
}

/// Compiling ends; what is said can be shown in every form; and a plan is printed as a policy that means the same.
pub fn compile(text: &str) {
    let compilation = compiled(text);
    let (said, sources) = (&compilation.diagnostics, &compilation.sources);
    assert_eq!(compilation.plan.is_none(), compilation.has_errors());
    assert_eq!(render::human(said, sources, false).is_empty(), said.is_empty());
    assert_eq!(render::json(said, sources).lines().count(), said.len());
    assert_eq!(render::github(said, sources).lines().count(), said.len());
    let Some(plan) = &compilation.plan else { return };
    let printed = print::policy(plan);
    assert_eq!(compiled(&printed).plan.as_ref(), Some(plan), "{printed}");
    assert!(!print::plan(plan).is_empty());
    assert!(diff::diff(plan, plan).is_empty());
}

/// Formatting again changes nothing, and formatting keeps the meaning.
pub fn fmt(text: &str) {
    let Ok(once) = format(text) else { return };
    assert_eq!(format(&once).ok().as_ref(), Some(&once), "{once}");
    assert_eq!(compiled(&once).plan, compiled(text).plan, "{once}");
}

/// Compiles a text in a world where every file is there that it names, but for other policies.
pub fn compiled(text: &str) -> Compilation {
    tidegate_dsl::compile(Path::new("policy.gate"), &OneText(text))
}

struct OneText<'t>(&'t str);

impl Loader for OneText<'_> {
    fn text(&self, path: &Path) -> Result<String, String> {
        if path == Path::new("policy.gate") { Ok(self.0.to_owned()) } else { Err("no such file".to_owned()) }
    }

    fn glob(&self, _: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }

    fn env(&self, name: &str) -> Option<String> {
        (name != "UNSET").then(|| "127.0.0.1:8080".to_owned())
    }

    fn module(&self, _: &Extension) -> Result<ModuleFacts, String> {
        Ok(ModuleFacts { hooks: vec![Hook::Request, Hook::Response], ..ModuleFacts::default() })
    }

    fn certificate(&self, _: &Certificate) -> Result<CertificateFacts, CertificateProblem> {
        const DAY: i64 = 24 * 60 * 60;
        Ok(CertificateFacts {
            names: vec!["shop.example".to_owned()],
            key: KeyAlgorithm::Ecdsa,
            seconds_left: 80 * DAY,
            seconds_to_begin: -DAY,
            gap: None,
            staple_seconds_left: None,
        })
    }

    fn secret(&self, _: &Secret) -> Result<usize, String> {
        Ok(32)
    }

    fn authority(&self, _: &Ca) -> Result<AuthorityFacts, String> {
        Ok(AuthorityFacts { count: 1, seconds_left: 1_000_000_000 })
    }
}
