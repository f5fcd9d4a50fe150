//! The protocol table: what stands in a listener of which protocol.

use super::place::Place;
use crate::plan::Protocol;

/// Whether a word stands in a listener of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// The word may stand there.
    Yes,
    /// The word must stand there.
    Required,
    /// The word may not stand there; the mend.
    Never(&'static str),
}

use Fit::{Never, Required, Yes};

/// The words that depend on the protocol: place, word; `http`, `https`, `quic`. All else stands in every listener.
const TABLE: &[(Place, &str, [Fit; 3])] = &[
    (
        Place::Listener,
        "certificate",
        [Never("clear text needs no certificate: remove it, or write `listener https`"), Required, Required],
    ),
    (
        Place::Listener,
        "client-ca",
        [
            Never("clients show certificates in TLS: remove it, or write `listener https`"),
            Yes,
            Never("mutual TLS is for `https` listeners: remove it, and let these clients come there"),
        ],
    ),
    (
        Place::Listener,
        "tls-policy",
        [
            Never("clear text has no TLS: remove it, or write `listener https`"),
            Yes,
            Never("QUIC always has TLS 1.3 and its suites (RFC 9001): remove it"),
        ],
    ),
    (
        Place::Listener,
        "http2",
        [
            Never("clear text takes HTTP/2 from clients that begin with it: remove it"),
            Yes,
            Never("QUIC carries HTTP/3: remove it"),
        ],
    ),
    (
        Place::Listener,
        "quic-upgrade",
        [
            Never("clients follow `Alt-Svc` from `https` listeners: write it there"),
            Yes,
            Never("write it in the `https` listener, with the name of this one"),
        ],
    ),
    (
        Place::Listener,
        "early-data",
        [Never("0-RTT data comes with TLS: remove it, or write `listener https`"), Yes, Yes],
    ),
    (
        Place::ClientIp,
        "x-forwarded-for",
        [Yes, Yes, Never("QUIC clients come themselves: write `client-ip peer`, or remove the line")],
    ),
    (
        Place::ClientIp,
        "proxy-protocol",
        [Yes, Yes, Never("the PROXY protocol comes over TCP: write `client-ip peer`, or remove the line")],
    ),
    (Place::Forwarded, "client-port", [Yes, Yes, Never("the port of a QUIC client changes as it moves: remove it")]),
    (
        Place::Forwarded,
        "client-cert",
        [
            Never("clients show certificates in TLS: remove it, or write `listener https`"),
            Yes,
            Never("QUIC listeners ask for no certificate: remove it"),
        ],
    ),
];

/// Whether a word of a place stands in a listener of a protocol.
pub fn fit(place: Place, word: &str, protocol: Protocol) -> Fit {
    let row = TABLE.iter().find(|(at, name, _)| *at == place && *name == word);
    let Some((_, _, [http, https, quic])) = row else { return Yes };
    match protocol {
        Protocol::Http => *http,
        Protocol::Https => *https,
        Protocol::Quic => *quic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_words_of_the_language() {
        for (place, word, _) in TABLE {
            assert!(place.find(word).is_some(), "{place:?} has no `{word}`");
        }
    }
}
