//! The host that a redirection with insertions leads to: the one that its own text names, or the one that was asked.

use super::checker::Checker;
use super::regex::Matches;
use super::template::Scope;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Insert, Piece, Template};
use crate::source::Span;

impl Checker<'_, '_> {
    /// Reports a scheme without a host, and warns where an insertion is a part of the host, or a host is none.
    pub(super) fn check_location(&mut self, location: &Template, scope: Scope<'_>, span: Span) -> Option<()> {
        if location.0.iter().all(|piece| matches!(piece, Piece::Text(_))) {
            return Some(());
        }
        match leads_to(location, scope.matches) {
            Leads::Here | Leads::There => {}
            Leads::SchemeAlone(scheme) => {
                let message = format!("{} names a scheme and no host", quoted(&scheme));
                self.report(
                    Diagnostic::new(codes::LOCATION, span, message)
                        .help("write `https://` and the host, or begin with `/` to stay on this host"),
                );
                return None;
            }
            Leads::SlashesAlone => self.report(
                Diagnostic::new(codes::OPEN_LOCATION, span, "two slashes name no host here: several become one")
                    .help("write `https://` before the host, or one `/` to stay on this host"),
            ),
            Leads::Inserted(insert) => {
                let insert = quoted(&format!("${{{insert}}}"));
                let message = format!("the client has a say in the host: {insert} stands where the host does");
                self.report(
                    Diagnostic::new(codes::OPEN_LOCATION, span, message)
                        .help("write the whole host and a `/` behind it, as `https://shop.example/`"),
                );
            }
        }
        Some(())
    }
}

/// The host that a location leads to.
enum Leads<'p> {
    /// The host that was asked.
    Here,
    /// A host that the policy names.
    There,
    /// No host: the location begins with a scheme, and none follows.
    SchemeAlone(String),
    /// No host: the location begins with two slashes, which count as one.
    SlashesAlone,
    /// A host of which this insertion is a part.
    Inserted(&'p Insert),
}

fn leads_to<'p>(location: &'p Template, matches: &Matches) -> Leads<'p> {
    let lead = own_text(&location.0);
    let Some((scheme, rest)) = lead.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return if lead.starts_with("//") { Leads::SlashesAlone } else { Leads::Here };
    };
    let alone = || Leads::SchemeAlone(format!("{scheme}:"));
    let Some(authority) = rest.strip_prefix("//") else { return alone() };
    match authority.find(['/', '?', '#']) {
        Some(0) => return alone(),
        Some(_) => return Leads::There,
        None => {}
    }
    // A piece of the host that was asked is no more in a client's hand than the whole of it.
    let of_host = |piece: &&Piece| {
        matches!(piece, Piece::Insert(Insert::MatchIndex(_) | Insert::MatchName(_))) && !matches.elsewhere
    };
    let has_host =
        !authority.is_empty() || location.0.iter().find(|piece| !piece.is_own()).is_some_and(|piece| of_host(&piece));
    match location.0.iter().find(|piece| !piece.is_own() && !of_host(piece)) {
        // These begin with a slash, behind which no host goes on.
        Some(Piece::Insert(Insert::Uri | Insert::OriginalUri | Insert::Path)) if has_host => Leads::There,
        Some(Piece::Insert(insert)) => Leads::Inserted(insert),
        _ if has_host => Leads::There,
        _ => alone(),
    }
}

/// The text before the first insertion that a client has a say in; what the gateway inserts is a name or a number.
fn own_text(pieces: &[Piece]) -> String {
    let own = pieces.iter().take_while(|piece| piece.is_own());
    own.map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        Piece::Insert(Insert::Scheme) => "https",
        Piece::Insert(_) => "x",
    })
    .collect()
}

/// A scheme (RFC 3986, 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
