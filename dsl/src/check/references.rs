//! References: names that declarations give, and where they are used.

use super::args::Args;
use super::checker::Checker;
use super::names::{Declared, Kind, is_name};
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Plan, Reached};
use crate::source::Span;
use crate::suggest;
use crate::tree::ItemKind;
use crate::vocabulary::Place;

impl<'t> Checker<'_, 't> {
    /// Takes the name of a declaration, unless it is not one; what is wrong with it is said when the declaration is
    /// checked.
    pub(crate) fn declare_name(&mut self, kind: Kind, args: &Args<'_, 't>) {
        let position = usize::from(kind == Kind::Listener);
        let Some((name, span)) = args.word_at(position) else { return };
        if !is_name(name) {
            return;
        }
        let declared = self.names.declared.entry(kind).or_default();
        if let Some(first) = self.names.index.get(&(kind, name)).and_then(|at| declared.get(*at)) {
            let report = Diagnostic::new(
                codes::DUPLICATE_NAME,
                span,
                format!("the {} {} is declared twice", kind.word(), quoted(name)),
            )
            .also(first.span, "it is declared here first")
            .help("give one of the two another name");
            self.report(report);
            return;
        }
        self.names.index.insert((kind, name), declared.len());
        declared.push(Declared { name, span, used: false });
    }

    /// Reads the name of a declaration.
    pub(crate) fn new_name(&mut self, args: &mut Args<'_, 't>, what: &str) -> Option<(String, Span)> {
        let (name, span) = self.bare(args, what)?;
        if is_name(name) {
            return Some((name.to_owned(), span));
        }
        let lower: String = name.to_ascii_lowercase().replace('.', "-");
        let report = Diagnostic::new(codes::BAD_NAME, span, format!("{} is not a name", quoted(name)));
        let rule = "a name begins with a small letter, then come small letters, digits, `-` and `_`";
        self.report(if is_name(&lower) {
            report.help(format!("{rule}: write `{lower}`")).edit(span, lower)
        } else {
            report.help(rule)
        });
        None
    }

    /// Reads a reference.
    pub(crate) fn reference(&mut self, args: &mut Args<'_, 't>, kind: Kind) -> Option<(usize, Span)> {
        let (name, span) = self.bare(args, kind.reference())?;
        self.resolve(name, span, kind).map(|id| (id, span))
    }

    /// Finds what a name refers to.
    pub(crate) fn resolve(&mut self, name: &str, span: Span, kind: Kind) -> Option<usize> {
        if let Some(id) = self.names.index.get(&(kind, name)).copied() {
            if let Some(declared) = self.names.declared.get_mut(&kind).and_then(|all| all.get_mut(id)) {
                declared.used = true;
            }
            return Some(id);
        }
        if self.names.incomplete || self.names.doubtful.contains(name) {
            return None;
        }
        let predefined = if kind == Kind::TlsPolicy { Place::PredefinedPolicy.words() } else { &[] };
        let known = self.names.declared.get(&kind).into_iter().flatten().map(|declared| declared.name);
        let known = known.chain(predefined.iter().map(|word| word.name));
        let report =
            Diagnostic::new(codes::UNKNOWN_NAME, span, format!("there is no {} {}", kind.word(), quoted(name)));
        if let Some(meant) = suggest::nearest(name, known) {
            self.report(report.meant(meant));
            return None;
        }
        let help =
            if let Some(other) = Kind::ALL.into_iter().find(|other| self.names.index.contains_key(&(*other, name))) {
                format!("{} is a {}", quoted(name), other.word())
            } else if is_name(name) {
                format!("declare it: `{}`", kind.example(name))
            } else {
                format!("declare it, as in `{}`", kind.example("name"))
            };
        self.report(report.help(help));
        None
    }

    /// The place where a name is declared.
    pub(crate) fn declared_at(&self, kind: Kind, name: &str) -> Span {
        let id = self.names.declared.get(&kind).and_then(|all| all.iter().find(|declared| declared.name == name));
        id.map(|declared| declared.span).unwrap_or_default()
    }

    /// Warns of names that nothing refers to. A guest that may `route` or call (`outbound`) every group can name any while it
    /// runs.
    pub(crate) fn unused(&mut self, plan: &Plan) {
        let guests_route = plan.extensions.iter().any(|extension| {
            let mut words = extension.allow.iter();
            words.any(|word| extension.reached(*word) == Some(&Reached::Every))
        });
        let known = |kind: &Kind| match kind {
            Kind::Listener => false,
            Kind::Group => !guests_route,
            _ => true,
        };
        let mut reports = Vec::new();
        for kind in Kind::ALL.into_iter().filter(known) {
            for declared in self.names.declared.get(&kind).into_iter().flatten().filter(|declared| !declared.used) {
                let what = format!("the {} {} is never used", kind.word(), quoted(declared.name));
                reports.push(Diagnostic::new(codes::UNUSED, declared.span, what).help("use it or remove it"));
            }
        }
        reports.into_iter().for_each(|report| self.report(report));
    }
}

impl<'t> Args<'_, 't> {
    /// The bare word at a position, counted from the next one.
    fn word_at(&self, position: usize) -> Option<(&'t str, Span)> {
        let item = self.rest().get(position)?;
        match item.kind {
            ItemKind::Word(word) => Some((word, item.span)),
            _ => None,
        }
    }
}
