//! Interests: the requests, hooks and bodies that an extension wants to be asked about.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};

/// The way in which an extension wants to see a body.
///
/// ```
/// # use tidegate_guest::{BodyMode, Interest};
/// // Forms as a whole, and responses as they come.
/// let interest = Interest::everything().request_body(BodyMode::Buffer(65_536)).response_body(BodyMode::Stream(16_384));
/// # assert_ne!(interest, Interest::everything());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// The body comes piece by piece, each of at most so many bytes: 1024 to 1048576.
    Stream(u32),
    /// The whole, of at most so many bytes, up to 1048576. A longer body is a fault of the call.
    Buffer(u32),
}

/// Hooks, as a set.
///
/// ```
/// # use tidegate_guest::{Hooks, Interest};
/// let interest = Interest::everything().hooks(Hooks { request: true, ..Hooks::none() });
/// # assert_ne!(interest, Interest::everything());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks {
    /// [`Filter::on_request`](crate::Filter::on_request).
    pub request: bool,
    /// [`Filter::on_response`](crate::Filter::on_response).
    pub response: bool,
    /// [`Filter::on_request_body`](crate::Filter::on_request_body).
    pub request_body: bool,
    /// [`Filter::on_response_body`](crate::Filter::on_response_body).
    pub response_body: bool,
    /// [`Filter::on_log`](crate::Filter::on_log).
    pub log: bool,
    /// [`Filter::on_tick`](crate::Filter::on_tick).
    pub tick: bool,
}

impl Hooks {
    /// No hook.
    ///
    /// ```
    /// # use tidegate_guest::Hooks;
    /// assert!(!Hooks::none().request);
    /// ```
    pub const fn none() -> Self {
        Self { request: false, response: false, request_body: false, response_body: false, log: false, tick: false }
    }

    /// Every hook.
    ///
    /// ```
    /// # use tidegate_guest::Hooks;
    /// let all_but_responses = Hooks { response: false, ..Hooks::all() };
    /// assert!(all_but_responses.request);
    /// ```
    pub const fn all() -> Self {
        Self { request: true, response: true, request_body: true, response_body: true, log: true, tick: true }
    }
}

/// The requests, hooks and bodies that an extension wants to be asked about.
///
/// ```
/// # use tidegate_guest::Interest;
/// let interest = Interest::everything().methods(["POST", "PUT"]).path_prefixes(["/api"]);
/// # assert_ne!(interest, Interest::everything());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    pub(crate) hooks: Hooks,
    pub(crate) methods: Vec<String>,
    pub(crate) path_prefixes: Vec<String>,
    pub(crate) request_body: Option<BodyMode>,
    pub(crate) response_body: Option<BodyMode>,
    pub(crate) tick_ms: u32,
}

impl Interest {
    /// Every hook that is exported, every method, every path; but no bodies and no ticks.
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything();
    /// # assert_eq!(interest, Interest::everything());
    /// ```
    pub const fn everything() -> Self {
        Self {
            hooks: Hooks::all(),
            methods: Vec::new(),
            path_prefixes: Vec::new(),
            request_body: None,
            response_body: None,
            tick_ms: 0,
        }
    }

    /// Asks to see request bodies in this way.
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, Interest};
    /// let interest = Interest::everything().request_body(BodyMode::Buffer(65_536));
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn request_body(mut self, mode: BodyMode) -> Self {
        self.request_body = Some(mode);
        self
    }

    /// Asks to see response bodies in this way.
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, Interest};
    /// let interest = Interest::everything().response_body(BodyMode::Stream(16_384));
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn response_body(mut self, mode: BodyMode) -> Self {
        self.response_body = Some(mode);
        self
    }

    /// A tick every so many milliseconds, on each worker; the gateway ticks ten times a second at most.
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything().tick_ms(5_000);
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn tick_ms(mut self, ms: u32) -> Self {
        self.tick_ms = ms;
        self
    }

    /// Keeps to these hooks, of those that are exported.
    ///
    /// ```
    /// # use tidegate_guest::{Hooks, Interest};
    /// let interest = Interest::everything().hooks(Hooks { log: true, ..Hooks::none() });
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Keeps to requests with one of these methods.
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything().methods(["GET"]);
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub fn methods<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps to paths under one of these, by whole segments.
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything().path_prefixes(["/api", "/admin"]);
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub fn path_prefixes<P: Into<String>>(mut self, prefixes: impl IntoIterator<Item = P>) -> Self {
        self.path_prefixes = prefixes.into_iter().map(Into::into).collect();
        self
    }
}

impl Interest {
    /// The interest within the hooks that the module has: what the gateway is told, and what the mock goes by.
    ///
    /// # Errors
    ///
    /// If the interest asks for bodies or ticks that no hook takes.
    pub(crate) fn within(mut self, exported: Hooks) -> Result<Self> {
        let lacking = [
            (self.request_body.is_some() && !exported.request_body, "request bodies", "request_body"),
            (self.response_body.is_some() && !exported.response_body, "response bodies", "response_body"),
            (self.tick_ms > 0 && !exported.tick, "ticks", "tick"),
        ];
        if let Some((_, what, hook)) = lacking.iter().find(|(lacks, ..)| *lacks) {
            return Err(Error::new(format!(
                "its interest asks for {what}, but `export!` does not name the hook `{hook}`"
            )));
        }
        self.hooks = Hooks {
            request: self.hooks.request && exported.request,
            response: self.hooks.response && exported.response,
            request_body: self.request_body.is_some(),
            response_body: self.response_body.is_some(),
            log: self.hooks.log && exported.log,
            tick: self.tick_ms > 0,
        };
        Ok(self)
    }
}
