//! Declared names: collected first, so that they may be used before they are declared.

use std::collections::{HashMap, HashSet};

use crate::source::Span;
use crate::tree::{Item, ItemKind};

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
    pub(super) const ALL: [Self; 8] = [
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
    pub(super) fn reference(self) -> &'static str {
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

    pub(super) fn example(self, name: &str) -> String {
        match self {
            Self::List => format!("list {name} [10.0.0.0/8]"),
            Self::Listener => format!("listener http {name} {{ … }}"),
            kind => format!("{} {name} {{ … }}", kind.word()),
        }
    }
}

/// A declared name.
#[derive(Debug)]
pub(super) struct Declared<'t> {
    pub(super) name: &'t str,
    pub(super) span: Span,
    pub(super) used: bool,
}

/// Every declared name, by kind, in the order declared.
#[derive(Debug, Default)]
pub(crate) struct Names<'t> {
    pub(super) declared: HashMap<Kind, Vec<Declared<'t>>>,
    pub(super) index: HashMap<(Kind, &'t str), usize>,
    /// Names that declarations with a mistake in their first line may have.
    pub(super) doubtful: HashSet<&'t str>,
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
