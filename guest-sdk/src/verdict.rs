//! Verdicts: what hooks decide.
#![forbid(unsafe_code)]

pub(crate) mod kind;
pub(crate) mod reply;

use crate::sys;

pub(crate) use kind::{BodyKind, Kind};
pub use reply::Reply;

/// The verdict of a hook about a request.
///
/// ```
/// # use tidegate_guest::{Filter, Reply, Request, Result, TestHost, Verdict};
/// # struct MyFilter;
/// # impl Filter for MyFilter {
/// #     type Config = ();
/// #     fn init((): ()) -> Result<Self> { Ok(Self) }
/// fn on_request(&self, request: &mut Request) -> Verdict {
///     match request.header("authorization") {
///         Some(_) => Verdict::next(),
///         None => Verdict::respond(Reply::new(401).header("www-authenticate", "Basic")),
///     }
/// }
/// # }
/// # tidegate_guest::export!(MyFilter: request);
/// # assert_eq!(TestHost::new().run::<MyFilter>().status(), 401);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict(pub(crate) Kind);

impl Verdict {
    /// Go on with whatever comes next.
    ///
    /// ```
    /// # use tidegate_guest::Verdict;
    /// let verdict = Verdict::next();
    /// # assert_eq!(verdict, Verdict::next());
    /// ```
    pub const fn next() -> Self {
        Self(Kind::Next)
    }

    /// Answer with this. Needs `respond` in `allow`.
    ///
    /// ```
    /// # use tidegate_guest::{Reply, Verdict};
    /// let verdict = Verdict::respond(Reply::new(403).text("not you\n"));
    /// # assert_ne!(verdict, Verdict::next());
    /// ```
    pub fn respond(reply: Reply) -> Self {
        sys::may_respond();
        Self(Kind::Respond(reply))
    }

    /// Forward to the server group of this name; only a request hook may say it. Needs `route` in `allow`.
    ///
    /// ```
    /// # use tidegate_guest::Verdict;
    /// let verdict = Verdict::forward("beta");
    /// # assert_ne!(verdict, Verdict::next());
    /// ```
    pub fn forward(group: impl Into<String>) -> Self {
        sys::may_forward();
        Self(Kind::Forward(group.into()))
    }

    /// Close the connection without an answer. Needs `respond` in `allow`.
    ///
    /// ```
    /// # use tidegate_guest::Verdict;
    /// let verdict = Verdict::close();
    /// # assert_ne!(verdict, Verdict::next());
    /// ```
    pub fn close() -> Self {
        sys::may_respond();
        Self(Kind::Close)
    }
}

/// The verdict of a body hook about a piece.
///
/// ```
/// # use tidegate_guest::{BodyMode, BodyVerdict, Filter, Interest, Piece, Request, Response, Result, TestHost};
/// # struct MyFilter;
/// # impl Filter for MyFilter {
/// #     type Config = ();
/// #     fn init((): ()) -> Result<Self> { Ok(Self) }
/// fn interest(&self) -> Interest {
///     Interest::everything().response_body(BodyMode::Buffer(65_536))
/// }
///
/// fn on_response_body(&self, _: &Request, _: &mut Response, piece: Piece<'_>) -> BodyVerdict {
///     match std::str::from_utf8(piece.data) {
///         Ok(text) if text.contains("http://") => BodyVerdict::replace(text.replace("http://", "https://")),
///         _ => BodyVerdict::next(),
///     }
/// }
/// # }
/// # tidegate_guest::export!(MyFilter: response_body);
/// # let outcome = TestHost::new().response_body("http://a").run::<MyFilter>();
/// # assert_eq!(outcome.response_body(), b"https://a");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct BodyVerdict(pub(crate) BodyKind);

impl BodyVerdict {
    /// The piece goes on as it is.
    ///
    /// ```
    /// # use tidegate_guest::BodyVerdict;
    /// let verdict = BodyVerdict::next();
    /// # assert_eq!(verdict, BodyVerdict::next());
    /// ```
    pub const fn next() -> Self {
        Self(BodyKind::Next)
    }

    /// The data goes on in the piece's place; empty data takes the piece out.
    ///
    /// ```
    /// # use tidegate_guest::BodyVerdict;
    /// let verdict = BodyVerdict::replace("****");
    /// # assert_ne!(verdict, BodyVerdict::next());
    /// ```
    pub fn replace(data: impl Into<Vec<u8>>) -> Self {
        Self(BodyKind::Replace(data.into()))
    }

    /// Answer with this; only in buffer mode, where nothing has left yet. Needs `respond` in `allow`.
    ///
    /// ```
    /// # use tidegate_guest::{BodyVerdict, Reply};
    /// let verdict = BodyVerdict::respond(Reply::new(422).text("no such field\n"));
    /// # assert_ne!(verdict, BodyVerdict::next());
    /// ```
    pub fn respond(reply: Reply) -> Self {
        sys::may_respond();
        Self(BodyKind::Respond(reply))
    }

    /// Close the connection without an answer, or in the midst of one. Needs `respond` in `allow`.
    ///
    /// ```
    /// # use tidegate_guest::BodyVerdict;
    /// let verdict = BodyVerdict::close();
    /// # assert_ne!(verdict, BodyVerdict::next());
    /// ```
    pub fn close() -> Self {
        sys::may_respond();
        Self(BodyKind::Close)
    }
}
