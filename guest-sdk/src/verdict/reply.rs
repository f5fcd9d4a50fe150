//! Replies: answers made by an extension.
#![forbid(unsafe_code)]

/// An answer made by an extension and not by a backend.
///
/// ```
/// # use tidegate_guest::Reply;
/// let reply = Reply::new(429).header("retry-after", "10").text("slow down\n");
/// # assert_ne!(reply, Reply::new(429));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// An answer of this status (200 to 599) without a body.
    ///
    /// ```
    /// # use tidegate_guest::Reply;
    /// let reply = Reply::new(204);
    /// # assert_eq!(reply, Reply::new(204));
    /// ```
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header field. Framing fields belong to the gateway.
    ///
    /// ```
    /// # use tidegate_guest::Reply;
    /// let reply = Reply::new(308).header("location", "https://shop.example/");
    /// # assert_ne!(reply, Reply::new(308));
    /// ```
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    ///
    /// ```
    /// # use tidegate_guest::Reply;
    /// let reply = Reply::new(200).header("content-type", "application/json").body("{}");
    /// # assert_ne!(reply, Reply::new(200));
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a body of UTF-8 text, with its `content-type`.
    ///
    /// ```
    /// # use tidegate_guest::Reply;
    /// let reply = Reply::new(403).text("not you\n");
    /// # assert_ne!(reply, Reply::new(403));
    /// ```
    #[must_use]
    pub fn text(self, body: impl Into<String>) -> Self {
        self.header("content-type", "text/plain; charset=utf-8").body(body.into())
    }
}
