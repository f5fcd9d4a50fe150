//! `tls-policy`: versions, suites and groups, those that are declared and those that are predefined.

use super::args::{Args, Line};
use super::checker::Checker;
use super::names::Kind;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::plan::{CipherSuite, KeyExchangeGroup, TlsPolicy, TlsPolicyId, TlsVersion};
use crate::source::Span;
use crate::suggest;
use crate::vocabulary::Place;

/// A policy while it is read: what it says itself, and where.
#[derive(Clone)]
struct Draft {
    name: String,
    base: Option<(TlsPolicyId, Span)>,
    versions: Option<Vec<(TlsVersion, Span)>>,
    suites: Option<Vec<(CipherSuite, Span)>>,
    groups: Option<Vec<(KeyExchangeGroup, Span)>>,
}

/// The predefined policy of a name, by its place in the table.
pub(crate) fn predefined(name: &str) -> Option<usize> {
    Place::PredefinedPolicy.words().iter().position(|word| word.name == name)
}

/// The part of a predefined policy that this gateway carries.
pub(crate) fn predefined_policy(at: usize) -> Option<TlsPolicy> {
    use CipherSuite::{
        Aes128GcmSha256, Aes256GcmSha384, Chacha20Poly1305Sha256, EcdheEcdsaAes128GcmSha256, EcdheEcdsaAes256GcmSha384,
        EcdheRsaAes128GcmSha256, EcdheRsaAes256GcmSha384,
    };
    let name = Place::PredefinedPolicy.words().get(at)?.name;
    let with_13 = name.ends_with("1_3");
    let (mut versions, mut suites) = (vec![TlsVersion::Tls12], Vec::new());
    if with_13 {
        versions.push(TlsVersion::Tls13);
        suites.extend([Aes128GcmSha256, Aes256GcmSha384, Chacha20Poly1305Sha256]);
    }
    suites.extend([
        EcdheEcdsaAes128GcmSha256,
        EcdheEcdsaAes256GcmSha384,
        EcdheRsaAes128GcmSha256,
        EcdheRsaAes256GcmSha384,
    ]);
    let groups = KeyExchangeGroup::ALL.iter().copied().filter(|group| usable(*group, &versions)).collect();
    Some(TlsPolicy { name: name.to_owned(), predefined: true, versions, suites, groups })
}

/// Whether one of the versions can use a group.
fn usable(group: KeyExchangeGroup, versions: &[TlsVersion]) -> bool {
    group != KeyExchangeGroup::X25519MlKem768 || versions.contains(&TlsVersion::Tls13)
}

impl<'t> Checker<'_, 't> {
    /// Every `tls-policy NAME { … }`; they may be based on each other.
    pub(crate) fn tls_policies(&mut self, lines: Vec<Line<'_, 't>>) -> Option<Vec<TlsPolicy>> {
        let drafts: Vec<Option<Draft>> = lines.into_iter().map(|mut line| self.tls_policy(&mut line.args)).collect();
        let mut policies: Vec<Option<TlsPolicy>> = vec![None; drafts.len()];
        let mut waiting: Vec<usize> = (0..drafts.len()).collect();
        let mut wrong = drafts.iter().any(Option::is_none);
        // Each round makes those whose base is made; what waits at the end is based on itself, or on a mistake.
        loop {
            let before = waiting.len();
            for at in std::mem::take(&mut waiting) {
                let Some(Some(draft)) = drafts.get(at) else { continue };
                let base = draft.base.map(|(id, _)| self.made(&policies, id));
                if let Some(None) = base {
                    waiting.push(at);
                    continue;
                }
                let made = self.finish_policy(draft, base.flatten().as_ref());
                wrong |= made.is_none();
                if let Some(slot) = policies.get_mut(at) {
                    *slot = made;
                }
            }
            if waiting.len() == before {
                break;
            }
        }
        if !wrong {
            self.report_base_cycles(&drafts, &policies);
        }
        policies.into_iter().collect()
    }

    fn made(&self, policies: &[Option<TlsPolicy>], id: TlsPolicyId) -> Option<TlsPolicy> {
        match id.0.checked_sub(self.declared_policies()) {
            Some(at) => predefined_policy(at),
            None => policies.get(id.0).cloned().flatten(),
        }
    }

    fn report_base_cycles(&mut self, drafts: &[Option<Draft>], policies: &[Option<TlsPolicy>]) {
        let left = drafts.iter().zip(policies).enumerate().filter(|(_, (_, made))| made.is_none());
        // One report for the whole of a cycle is enough to break it.
        let Some((at, (Some(draft), _))) = left.into_iter().next() else { return };
        let Some((base, span)) = draft.base else { return };
        let mut report = Diagnostic::new(
            codes::BASE_CYCLE,
            span,
            format!("the TLS policy {} is based on itself", quoted(&draft.name)),
        );
        let mut next = base.0;
        let mut seen = vec![at];
        while let Some(Some(Draft { base: Some((base, span)), .. })) = drafts.get(next) {
            if seen.contains(&next) {
                break;
            }
            report = report.also(*span, "by way of this one");
            seen.push(next);
            next = base.0;
        }
        self.report(report.help("let one of them stand alone, or be based on a predefined policy"));
    }

    /// The number of policies declared: predefined ones come behind them.
    fn declared_policies(&self) -> usize {
        self.names.count(Kind::TlsPolicy)
    }

    /// The name of a policy that is declared or predefined. A predefined one has, for now, the id of its place in the table
    /// behind the declared ones.
    pub(crate) fn policy_reference(&mut self, args: &mut Args<'_, 't>) -> Option<(TlsPolicyId, Span)> {
        let (name, span) = self.bare(args, "the name of a tls-policy")?;
        let id = match predefined(name) {
            Some(at) => self.predefined_id(at),
            None => TlsPolicyId(self.resolve(name, span, Kind::TlsPolicy)?),
        };
        Some((id, span))
    }

    /// The id, for now, of a predefined policy.
    pub(crate) fn predefined_id(&self, at: usize) -> TlsPolicyId {
        TlsPolicyId(self.declared_policies() + at)
    }

    fn tls_policy(&mut self, args: &mut Args<'_, 't>) -> Option<Draft> {
        let (name, name_span) = self.new_name(args, "a name for the TLS policy")?;
        if predefined(&name).is_some() {
            self.report(
                Diagnostic::new(
                    codes::DUPLICATE_NAME,
                    name_span,
                    format!("the tls-policy {} is predefined", quoted(&name)),
                )
                .help("give this one another name; `base` can take the predefined one"),
            );
            return None;
        }
        let block = self.block(args)?;
        self.warn_if_empty(args.of.name, block);
        let mut draft = Draft { name, base: None, versions: None, suites: None, groups: None };
        let lines = self.lines(block, Place::TlsPolicy);
        let mut right = lines.whole;
        for mut line in lines.all {
            let args = &mut line.args;
            let read = match line.word.name {
                "base" => self.policy_reference(args).map(|base| draft.base = Some(base)),
                "versions" => self.versions(args).map(|versions| draft.versions = Some(versions)),
                "ciphers" => self.suites(args).map(|suites| draft.suites = Some(suites)),
                _ => self.groups(args).map(|groups| draft.groups = Some(groups)),
            };
            right &= read.and_then(|()| self.done(args)).is_some();
        }
        right.then_some(draft)
    }

    /// `versions [ … ]`, the lowest first, however they are written.
    fn versions(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<(TlsVersion, Span)>> {
        let mut versions = self.listed(args, "a version of TLS", |cx, args| {
            let (written, span) = cx.bare(args, "`tls1.2` or `tls1.3`")?;
            let version = match written {
                "tls1.2" => TlsVersion::Tls12,
                "tls1.3" => TlsVersion::Tls13,
                _ => return cx.no_version(written, span),
            };
            Some((version, span))
        })?;
        versions.sort_by_key(|(version, _)| *version);
        Some(versions)
    }

    fn no_version<T>(&mut self, written: &str, span: Span) -> Option<T> {
        let plain = written.to_ascii_lowercase().replace(['v', '_', '-'], "");
        let report = match plain.as_str() {
            "tls1.2" | "tls1.3" => {
                Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a version of TLS", quoted(written)))
                    .meant(&plain)
            }
            "tls1" | "tls1.0" | "tls1.1" | "ssl2" | "ssl3" | "ssl3.0" | "ssl2.0" => Diagnostic::new(
                codes::NOT_CARRIED,
                span,
                format!("{} is not carried: it is broken, and nothing current needs it", quoted(written)),
            )
            .help("what is left: `tls1.2` and `tls1.3`"),
            _ => Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a version of TLS", quoted(written)))
                .help("write `tls1.2` or `tls1.3`"),
        };
        self.report(report);
        None
    }

    /// `groups [ … ]`
    fn groups(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<(KeyExchangeGroup, Span)>> {
        self.listed(args, "a group", |cx, args| {
            let (written, span) = cx.bare(args, "a group")?;
            let found = KeyExchangeGroup::named(written);
            if found.is_none() {
                let names = || KeyExchangeGroup::ALL.iter().map(|group| group.name());
                let other = ["secp521r1", "p-521", "x448", "ffdhe2048", "ffdhe3072", "ffdhe4096", "prime256v1"];
                let lower = written.to_ascii_lowercase();
                let report = if lower == "prime256v1" {
                    Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a group", quoted(written)))
                        .help("did you mean `secp256r1`? It is the same curve")
                        .edit(span, "secp256r1")
                } else if other.contains(&lower.as_str()) {
                    Diagnostic::new(codes::NOT_CARRIED, span, format!("the group {} is not carried", quoted(written)))
                        .help(format!("what is left: {}", one_of(names())))
                } else {
                    let report =
                        Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a group", quoted(written)));
                    match suggest::nearest(&lower, names()) {
                        Some(meant) => report.meant(meant),
                        None => report.help(format!("write {}", one_of(names()))),
                    }
                };
                cx.report(report);
            }
            Some((found?, span))
        })
    }

    /// The values of a list, each of which may stand once.
    fn listed<T: PartialEq + Copy>(
        &mut self,
        args: &mut Args<'_, 't>,
        what: &str,
        mut read: impl FnMut(&mut Self, &mut Args<'_, 't>) -> Option<(T, Span)>,
    ) -> Option<Vec<(T, Span)>> {
        let mut values = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, what)? {
            right &= match read(self, &mut element) {
                Some((value, span)) => {
                    self.element_done(&mut element).is_some() && self.once(value, span, &mut values).is_some()
                }
                None => false,
            };
        }
        right.then_some(values)
    }

    /// Takes a value that may stand once.
    pub(crate) fn once<T: PartialEq>(&mut self, value: T, span: Span, values: &mut Vec<(T, Span)>) -> Option<()> {
        if let Some((_, first)) = values.iter().find(|(known, _)| *known == value) {
            let shown = quoted(self.sources.slice(span).trim_matches('"'));
            self.report(
                Diagnostic::new(codes::REPEATED_WORD, span, format!("{shown} stands twice"))
                    .also(*first, "it stands here first")
                    .help("remove one of the two"),
            );
            return None;
        }
        values.push((value, span));
        Some(())
    }

    /// Fills in what a policy leaves out, and checks that versions, suites and groups fit together.
    fn finish_policy(&mut self, draft: &Draft, base: Option<&TlsPolicy>) -> Option<TlsPolicy> {
        let own_suites: Option<Vec<CipherSuite>> =
            draft.suites.as_ref().map(|all| all.iter().map(|(s, _)| *s).collect());
        let own_groups: Option<Vec<KeyExchangeGroup>> =
            draft.groups.as_ref().map(|all| all.iter().map(|(g, _)| *g).collect());
        let own_versions: Option<Vec<TlsVersion>> =
            draft.versions.as_ref().map(|all| all.iter().map(|(v, _)| *v).collect());
        let versions = match (own_versions, base, &own_suites) {
            (Some(versions), ..) => versions,
            (None, Some(base), _) => base.versions.clone(),
            (None, None, Some(suites)) => {
                let used = |version: &TlsVersion| suites.iter().any(|suite| suite.version() == *version);
                [TlsVersion::Tls12, TlsVersion::Tls13].into_iter().filter(used).collect()
            }
            (None, None, None) => vec![TlsVersion::Tls12, TlsVersion::Tls13],
        };
        // What is taken over is cut to the versions; what is written must fit.
        let inherited = base.map_or(CipherSuite::ALL, |base| base.suites.as_slice());
        let cut = || inherited.iter().copied().filter(|suite| versions.contains(&suite.version())).collect();
        let suites: Vec<CipherSuite> = own_suites.unwrap_or_else(cut);
        let inherited = base.map_or(KeyExchangeGroup::ALL, |base| base.groups.as_slice());
        let cut = || inherited.iter().copied().filter(|group| usable(*group, &versions)).collect();
        let groups: Vec<KeyExchangeGroup> = own_groups.unwrap_or_else(cut);
        self.check_fit(draft, &versions, &suites)?;
        Some(TlsPolicy { name: draft.name.clone(), predefined: false, versions, suites, groups })
    }

    fn check_fit(&mut self, draft: &Draft, versions: &[TlsVersion], suites: &[CipherSuite]) -> Option<()> {
        let mut right = true;
        let offered = || one_of(versions.iter().map(|version| version.word()));
        for (suite, span) in draft.suites.iter().flatten().filter(|(suite, _)| !versions.contains(&suite.version())) {
            let needed = suite.version().word();
            let mut report = Diagnostic::new(
                codes::USELESS_SUITE,
                *span,
                format!("no version of this policy can use the suite: it is for {needed}"),
            );
            if let Some((_, at)) = draft.versions.iter().flatten().next() {
                report = report.also(*at, format!("the policy has {} alone", offered()));
            }
            self.report(report.help(format!("remove it, or add `{needed}` to `versions`")));
            right = false;
        }
        for (group, span) in draft.groups.iter().flatten().filter(|(group, _)| !usable(*group, versions)) {
            let message =
                format!("no version of this policy can use the group {}: it is for tls1.3", quoted(group.name()));
            let report = Diagnostic::new(codes::USELESS_SUITE, *span, message);
            self.report(report.help("remove it, or add `tls1.3` to `versions`"));
            right = false;
        }
        if !right {
            return None;
        }
        for version in versions.iter().filter(|version| !suites.iter().any(|suite| suite.version() == **version)) {
            let written = draft.versions.iter().flatten().find(|(own, _)| own == version).map(|(_, span)| *span);
            let (base, ciphers) = (draft.base.map(|(_, span)| span), draft.suites.iter().flatten().next());
            let Some(span) = written.or(base).or(ciphers.map(|(_, span)| *span)) else { continue };
            let example = CipherSuite::ALL.iter().find(|suite| suite.version() == *version);
            let example = example.map_or("", |suite| suite.name());
            let word = version.word();
            self.report(
                Diagnostic::new(codes::USELESS_SUITE, span, format!("the policy has no suite for {word}"))
                    .help(format!("add one to `ciphers`, as `\"{example}\"`, or offer `versions` without `{word}`")),
            );
            right = false;
        }
        right.then_some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn predefined_policies_are_whole() {
        for at in 0..Place::PredefinedPolicy.words().len() {
            let policy = predefined_policy(at).unwrap();
            for version in &policy.versions {
                assert!(policy.suites.iter().any(|suite| suite.version() == *version), "{policy:?}");
            }
            assert!(policy.suites.iter().all(|suite| policy.versions.contains(&suite.version())), "{policy:?}");
        }
        assert!(predefined(crate::vocabulary::DEFAULT_POLICY).is_some());
    }

    /// Every word of the table is one of the plan, and the other way around.
    #[test]
    fn words_and_plan_agree() {
        let words = |place: Place| place.words().iter().map(|word| word.name).collect::<Vec<_>>();
        assert_eq!(words(Place::KeyExchangeGroup), KeyExchangeGroup::ALL.iter().map(|g| g.name()).collect::<Vec<_>>());
        assert_eq!(words(Place::TlsVersion), [TlsVersion::Tls12.word(), TlsVersion::Tls13.word()]);
    }
}
