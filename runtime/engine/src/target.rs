//! The path and the query that a request asks for: one text for the backend, and the path as tests see it.

use std::ops::Deref;
use std::str::FromStr;

use http::uri::PathAndQuery;
use tidegate_dsl::plan::Paths;

use crate::normalise::{self, TargetError};

/// A normalised request target. What the backend gets is behind [`Deref`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    whole: PathAndQuery,
    /// The path without the parameters of its segments, where it has some that tests do not see.
    bare: Option<Box<str>>,
    paths: Paths,
}

impl Target {
    /// Takes what a client asks for, as the listener's `paths` says.
    ///
    /// # Errors
    ///
    /// A path that has no safe meaning; see [`TargetError`].
    pub fn read(raw: &PathAndQuery, paths: Paths) -> Result<Self, TargetError> {
        let whole = normalise::target(raw, paths)?;
        if paths == Paths::Strict {
            normalise::has_one_reading(whole.path())?;
        }
        Ok(Self::new(whole, paths))
    }

    /// `/`, with the rules of a listener that says nothing of paths.
    pub fn root() -> Self {
        Self::new(PathAndQuery::from_static("/"), Paths::default())
    }

    /// Another target in the place of this one, written by a rule or an extension. `paths strict` is about clients: the
    /// policy's own words may be what it refuses of them.
    ///
    /// # Errors
    ///
    /// A path that has no safe meaning; see [`TargetError`].
    pub fn replaced(&self, raw: &PathAndQuery) -> Result<Self, TargetError> {
        Ok(Self::new(normalise::target(raw, self.paths)?, self.paths))
    }

    /// The target with its query behind another path, which is put into its normal spelling.
    pub(crate) fn with_path(&self, raw: &str) -> Result<Self, TargetError> {
        let path = normalise::path(raw, self.paths)?;
        Ok(Self::new(normalise::join(&path, self.query())?, self.paths))
    }

    /// The target with its path before another query, in which nothing is to be escaped any more.
    pub(crate) fn with_query(&self, query: Option<&str>) -> Result<Self, TargetError> {
        Ok(Self::new(normalise::join(self.path(), query)?, self.paths))
    }

    /// The path that tests see: with `paths merge`, its segments have no parameters (`;…`), since many backends route
    /// without them.
    pub fn tested_path(&self) -> &str {
        self.bare.as_deref().unwrap_or_else(|| self.whole.path())
    }

    fn new(whole: PathAndQuery, paths: Paths) -> Self {
        let bare = match paths {
            Paths::Merge if whole.path().contains(';') => Some(without_parameters(whole.path()).into()),
            _ => None,
        };
        Self { whole, bare, paths }
    }
}

/// A path of which each segment ends before its first `;` (RFC 3986, 3.3). What is empty then is no segment any more: a
/// backend that takes parameters away merges slashes afterwards.
fn without_parameters(path: &str) -> String {
    let mut bare = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.split(';').next().unwrap_or_default();
        if !name.is_empty() || segments.peek().is_none() {
            bare.push('/');
            bare.push_str(name);
        }
    }
    bare
}

impl Deref for Target {
    type Target = PathAndQuery;

    fn deref(&self) -> &PathAndQuery {
        &self.whole
    }
}

impl From<Target> for PathAndQuery {
    fn from(target: Target) -> Self {
        target.whole
    }
}

/// The target that a client means by a text, on a listener that says nothing of paths.
impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let raw = PathAndQuery::try_from(text).map_err(|_| TargetError::NoTarget)?;
        Self::read(&raw, Paths::default())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(raw: &str, paths: Paths) -> Result<(String, String), TargetError> {
        let target = Target::read(&raw.parse().unwrap(), paths)?;
        Ok((target.as_str().to_owned(), target.tested_path().to_owned()))
    }

    #[test]
    fn runs_of_slashes_are_one_and_tests_see_no_parameters() {
        for (raw, whole, tested) in [
            ("/", "/", "/"),
            ("//", "/", "/"),
            ("//admin", "/admin", "/admin"),
            ("/a///b//", "/a/b/", "/a/b/"),
            ("/a//../b", "/b", "/b"),
            ("/a/.//b", "/a/b", "/a/b"),
            ("/a/%2e//%2e/b", "/a/b", "/a/b"),
            ("/a/b//..", "/a/", "/a/"),
            ("//?q=//", "/?q=//", "/"),
            ("/admin;x", "/admin;x", "/admin"),
            ("/admin;x/y;z=1;w/?a;b", "/admin;x/y;z=1;w/?a;b", "/admin/y/"),
            ("/;x", "/;x", "/"),
            ("/;a/b", "/;a/b", "/b"),
            ("/a%3Bx", "/a%3Bx", "/a%3Bx"),
            ("/...;x", "/...;x", "/..."),
        ] {
            assert_eq!(read(raw, Paths::Merge), Ok((whole.to_owned(), tested.to_owned())), "{raw}");
        }
    }

    #[test]
    fn dots_with_parameters_have_no_safe_meaning() {
        for raw in ["/a/..;/b", "/a/..;x=1", "/.;x/a", "/a/%2e%2E;/b", "/a/.%2e;v/b", "//..;/a"] {
            assert_eq!(read(raw, Paths::Merge), Err(TargetError::DotsWithParameters), "{raw}");
        }
    }

    #[test]
    fn plain_keeps_slashes_and_parameters() {
        for raw in ["//admin", "/a//b//", "/admin;x", "/a/..;/b", "/a%2Fb", "/%252e%252e/", "//"] {
            assert_eq!(read(raw, Paths::Plain).map(|(whole, _)| whole).as_deref(), Ok(raw));
            assert_eq!(read(raw, Paths::Plain).map(|(_, tested)| tested).as_deref(), Ok(raw));
        }
    }

    #[test]
    fn strict_refuses_what_backends_read_in_two_ways() {
        for (raw, error) in [
            ("//", TargetError::EmptySegment),
            ("//admin", TargetError::EmptySegment),
            ("/a//b", TargetError::EmptySegment),
            ("/a/b//", TargetError::EmptySegment),
            ("/a%2fb", TargetError::EscapedSeparator),
            ("/a%5Cb", TargetError::EscapedSeparator),
            ("/static/..%252Fadmin", TargetError::EscapedSeparator),
            ("/static%252f..%252fadmin", TargetError::EscapedSeparator),
            ("/a%255cb", TargetError::EscapedSeparator),
            ("/a;x", TargetError::Parameters),
            ("/a/..;/b", TargetError::Parameters),
            ("/%252e%252e/b", TargetError::EscapedDots),
            ("/a/%252E", TargetError::EscapedDots),
            ("/a/.%252e", TargetError::EscapedDots),
            ("/a/%252e./b", TargetError::EscapedDots),
        ] {
            assert_eq!(read(raw, Paths::Strict), Err(error), "{raw}");
        }
        for raw in ["/", "/a/b/", "/a%20b", "/%252e%252ea", "/%25", "/a?x=//;%2f%5c", "/...", "*"] {
            assert_eq!(read(raw, Paths::Strict).map(|(whole, _)| whole).as_deref(), Ok(raw));
        }
    }

    #[test]
    fn a_rule_may_write_what_strict_refuses_of_clients() {
        let target = Target::read(&"/a".parse().unwrap(), Paths::Strict).unwrap();
        assert_eq!(target.replaced(&"/a%2Fb;c".parse().unwrap()).unwrap().as_str(), "/a%2Fb;c");
        let target = Target::read(&"/a".parse().unwrap(), Paths::Merge).unwrap();
        let target = target.replaced(&"//b;c".parse().unwrap()).unwrap();
        assert_eq!((target.as_str(), target.tested_path()), ("/b;c", "/b"));
    }

    proptest! {
        /// With `merge`, no spelling of slashes and parameters takes a path away from the tests that cover it.
        #[test]
        fn more_slashes_and_parameters_change_no_test(
            segments in proptest::collection::vec(("[a-c.%]{1,3}", "/{1,3}", "(;[a-c=;]{0,3})?"), 1..6),
        ) {
            let whole = |noisy: bool| {
                let mut path = String::new();
                for (name, slashes, parameters) in &segments {
                    path.push_str(if noisy { slashes } else { "/" });
                    path.push_str(name);
                    path.push_str(if noisy { parameters } else { "" });
                }
                read(&path, Paths::Merge)
            };
            match (whole(false), whole(true)) {
                (Ok((_, plain)), Ok((_, noisy))) => prop_assert_eq!(plain, noisy),
                // Refused is as good.
                (_, Err(_)) => {}
                (Err(error), Ok(noisy)) => prop_assert!(false, "{error} but {noisy:?}"),
            }
        }
    }
}
