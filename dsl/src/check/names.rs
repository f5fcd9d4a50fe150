//! Declared names: collected first, so that they may be used before they are declared.

use std::collections::{HashMap, HashSet};

use super::Checker;
use super::args::Args;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Plan, Reached};
use crate::source::Span;
use crate::suggest;
use crate::tree::{Item, ItemKind};
use crate::vocabulary::Place;

/// The kind of a declaration that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `list`
    List,
    /// `extension`
    Extension,
    /// `server-group`
    Group,
    /// `rules`
    Rules,
    /// `listener`
    Listener,
    /// `certificate`
    Certificate,
    /// `ca`
    Ca,
    /// `tls-policy`
    TlsPolicy,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::List,
        Self::Extension,
        Self::Group,
        Self::Rules,
        Self::Listener,
        Self::Certificate,
        Self::Ca,
        Self::TlsPolicy,
    ];

    /// The kind that a word declares.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The word that declares it.
    pub fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Extension => "extension",
            Self::Group => "server-group",
            Self::Rules => "rules",
            Self::Listener => "listener",
            Self::Certificate => "certificate",
            Self::Ca => "ca",
            Self::TlsPolicy => "tls-policy",
        }
    }

    /// The words for a reference to a declaration of this kind.
    fn reference(self) -> &'static str {
        match self {
            Self::List => "the name of a list",
            Self::Extension => "the name of an extension",
            Self::Group => "the name of a server-group",
            Self::Rules => "the name of `rules`",
            Self::Listener => "the name of a listener",
            Self::Certificate => "the name of a certificate",
            Self::Ca => "the name of a `ca`",
            Self::TlsPolicy => "the name of a tls-policy",
        }
    }

    fn example(self, name: &str) -> String {
        match self {
            Self::List => format!("list {name} [10.0.0.0/8]"),
            Self::Listener => format!("listener http {name} {{ … }}"),
            kind => format!("{} {name} {{ … }}", kind.word()),
        }
    }
}

/// A declared name.
#[derive(Debug)]
struct Declared<'t> {
    name: &'t str,
    span: Span,
    used: bool,
}

/// Every declared name, by kind, in the order declared.
#[derive(Debug, Default)]
pub(crate) struct Names<'t> {
    declared: HashMap<Kind, Vec<Declared<'t>>>,
    index: HashMap<(Kind, &'t str), usize>,
    /// Names that declarations with a mistake in their first line may have.
    doubtful: HashSet<&'t str>,
    /// A file could not be read that may declare any name.
    pub(crate) incomplete: bool,
}

impl<'t> Names<'t> {
    /// The number of declarations of a kind.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.declared.get(&kind).map_or(0, Vec::len)
    }

    /// The names of a kind, in the order declared.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &'t str> {
        self.declared.get(&kind).into_iter().flatten().map(|declared| declared.name)
    }

    /// Takes every word that may be meant as a name.
    pub(crate) fn doubt<'n>(&mut self, items: impl Iterator<Item = &'n Item<'t>>)
    where
        't: 'n,
    {
        for item in items {
            if let ItemKind::Word(text) | ItemKind::Text(text) | ItemKind::Broken(text) = item.kind {
                self.doubtful.extend(text.split(['"', ' ', '{']).filter(|word| is_name(word)));
            }
        }
    }
}

/// Whether a text is a name: `[a-z][a-z0-9_-]*`.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

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
