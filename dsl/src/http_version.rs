//! Versions of HTTP, and the words for them.

use crate::plan::{Listener, Protocol};

/// A version of HTTP, as `protocol` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1, and what came before it
    H1,
    /// HTTP/2
    H2,
    /// HTTP/3
    H3,
}

impl HttpVersion {
    /// The words of all versions.
    pub(crate) const WORDS: [&str; 3] = [Self::H1.word(), Self::H2.word(), Self::H3.word()];

    /// The word that stands for the version.
    pub const fn word(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::H3 => "h3",
        }
    }

    /// The version that a word stands for.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::H1, Self::H2, Self::H3].into_iter().find(|version| version.word() == word)
    }

    /// Whether clients of a listener can speak the version.
    pub(crate) fn is_spoken_at(self, listener: &Listener) -> bool {
        match (listener.protocol, self) {
            (Protocol::Quic, version) => version == Self::H3,
            (_, Self::H1) | (Protocol::Http, Self::H2) => true,
            (Protocol::Https, Self::H2) => listener.tls.as_ref().is_some_and(|tls| tls.http2),
            (_, Self::H3) => false,
        }
    }
}
