//! The interest of an extension: what it wants to be asked about, tested without calling it.

use std::time::Duration;

use http::Method;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::Hook;

use crate::base::limits::{BODY_BYTES, BODY_PIECE_BYTES, INTEREST_ENTRIES, TICK_MS};
use crate::wit;
use crate::wit::interfaces::HOOKS;

/// The interest of an extension, checked.
#[derive(Debug)]
pub struct Interest {
    hooks: wit::Hooks,
    /// The methods; empty for every one.
    methods: Vec<Method>,
    /// The path prefixes, without a slash at the end; empty for every path.
    path_prefixes: Vec<String>,
    request_body: Option<BodyMode>,
    response_body: Option<BodyMode>,
    tick: Option<Duration>,
}

/// The part of a body that an extension wants to see at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// Piece by piece, each of at most so many bytes.
    Stream(usize),
    /// The whole, of at most so many bytes.
    Buffer(usize),
}

impl Interest {
    /// Checks what `init` answered, against the hooks that the module exports. The error is for the policy's author.
    pub(crate) fn new(wanted: &wit::Interest, exported: &[Hook]) -> Result<Self, String> {
        for (name, hook) in HOOKS {
            if has(wanted.hooks, hook) && !exported.contains(&hook) {
                return Err(format!("its interest asks for the hook `{name}`, which it does not export"));
            }
        }
        let request_body = body_mode(wanted, Hook::RequestBody, wanted.request_body)?;
        let response_body = body_mode(wanted, Hook::ResponseBody, wanted.response_body)?;
        let tick = has(wanted.hooks, Hook::Tick);
        if tick != (wanted.tick_ms > 0) {
            return Err(
                "its interest must ask for the hook `on-tick` and for a `tick-ms` above 0, or for neither".to_owned()
            );
        }
        if wanted.methods.len() > INTEREST_ENTRIES || wanted.path_prefixes.len() > INTEREST_ENTRIES {
            return Err(format!("its interest lists more than {INTEREST_ENTRIES} methods or path prefixes"));
        }
        let method = |text: &String| {
            Method::from_bytes(text.as_bytes()).map_err(|_| format!("its interest lists `{text}`, which is no method"))
        };
        let prefix = |text: &String| match text.strip_prefix('/') {
            Some(_) => Ok(text.strip_suffix('/').unwrap_or(text).to_owned()),
            None => Err(format!("its interest lists the path `{text}`, which does not begin with `/`")),
        };
        Ok(Self {
            hooks: wanted.hooks,
            methods: wanted.methods.iter().map(method).collect::<Result<_, _>>()?,
            path_prefixes: wanted.path_prefixes.iter().map(prefix).collect::<Result<_, _>>()?,
            request_body,
            response_body,
            tick: tick.then(|| Duration::from_millis(wanted.tick_ms.max(TICK_MS).into())),
        })
    }

    /// The hooks that the extension wants, in the order of a request's life.
    pub fn hooks(&self) -> impl Iterator<Item = Hook> {
        HOOKS.iter().map(|(_, hook)| *hook).filter(|hook| has(self.hooks, *hook))
    }

    /// The methods that the extension wants; none stands for all.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The paths below which the extension wants requests, without a slash at the end; none stands for all.
    pub fn path_prefixes(&self) -> &[String] {
        &self.path_prefixes
    }

    /// The mode of a body that the extension wants, for each of the two hooks that see one.
    pub fn body_mode(&self, hook: Hook) -> Option<BodyMode> {
        match hook {
            Hook::RequestBody => self.request_body,
            Hook::ResponseBody => self.response_body,
            _ => None,
        }
    }

    /// The mode of this exchange's body that the extension wants.
    pub(crate) fn body(&self, hook: Hook, exchange: &Exchange) -> Option<BodyMode> {
        self.body_mode(hook).filter(|_| self.covers(hook, exchange))
    }

    /// The time between ticks.
    pub const fn tick(&self) -> Option<Duration> {
        self.tick
    }

    pub(crate) fn covers(&self, hook: Hook, exchange: &Exchange) -> bool {
        has(self.hooks, hook)
            && (self.methods.is_empty() || self.methods.contains(&exchange.request.method))
            && (self.path_prefixes.is_empty() || {
                let path = exchange.request.target.tested_path();
                self.path_prefixes.iter().any(|prefix| is_under(path, prefix))
            })
    }
}

fn has(hooks: wit::Hooks, hook: Hook) -> bool {
    let flag = match hook {
        Hook::Request => wit::Hooks::REQUEST,
        Hook::Response => wit::Hooks::RESPONSE,
        Hook::RequestBody => wit::Hooks::REQUEST_BODY,
        Hook::ResponseBody => wit::Hooks::RESPONSE_BODY,
        Hook::Log => wit::Hooks::LOG,
        Hook::Tick => wit::Hooks::TICK,
    };
    (hooks & flag) == flag
}

fn body_mode(wanted: &wit::Interest, hook: Hook, mode: wit::BodyMode) -> Result<Option<BodyMode>, String> {
    let name = hook.name();
    let size = |bytes: u32, least: u32| {
        if (least..=BODY_BYTES).contains(&bytes) {
            Ok(bytes as usize)
        } else {
            Err(format!("its interest asks for {bytes} bytes of `{name}` at once: {least} to {BODY_BYTES} can be had"))
        }
    };
    let mode = match mode {
        wit::BodyMode::None => None,
        wit::BodyMode::Stream(bytes) => Some(BodyMode::Stream(size(bytes, BODY_PIECE_BYTES)?)),
        wit::BodyMode::Buffer(bytes) => Some(BodyMode::Buffer(size(bytes, 1)?)),
    };
    if has(wanted.hooks, hook) != mode.is_some() {
        return Err(format!(
            "its interest must ask for the hook `on-{name}` and for a mode of `{name}`, or for neither"
        ));
    }
    Ok(mode)
}

/// Whether `path` is `prefix` or below it, by whole segments.
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> wit::Interest {
        wit::Interest {
            hooks: wit::Hooks::REQUEST,
            methods: vec!["GET".to_owned()],
            path_prefixes: vec!["/api/".to_owned()],
            request_body: wit::BodyMode::None,
            response_body: wit::BodyMode::None,
            tick_ms: 0,
        }
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        let both = [Hook::Request, Hook::Response];
        assert!(Interest::new(&wanted(), &both).is_ok());
        assert!(Interest::new(&wanted(), &[Hook::Response]).is_err_and(|why| why.contains("`on-request`")));
        let tick = wit::Interest { tick_ms: 5, ..wanted() };
        assert!(Interest::new(&tick, &both).is_err_and(|why| why.contains("`on-tick`")));
        let body = wit::Interest { hooks: wit::Hooks::REQUEST_BODY, ..wanted() };
        assert!(Interest::new(&body, &[Hook::RequestBody]).is_err_and(|why| why.contains("or for neither")));
        let large = wit::Interest { request_body: wit::BodyMode::Buffer(u32::MAX), ..body };
        assert!(Interest::new(&large, &[Hook::RequestBody]).is_err_and(|why| why.contains("4294967295 bytes")));
        let method = wit::Interest { methods: vec!["G T".to_owned()], ..wanted() };
        assert!(Interest::new(&method, &both).is_err_and(|why| why.contains("`G T`")));
        let path = wit::Interest { path_prefixes: vec!["api".to_owned()], ..wanted() };
        assert!(Interest::new(&path, &both).is_err_and(|why| why.contains("`api`")));
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert!(is_under("/api", "/api") && is_under("/api/x", "/api") && is_under("/x", ""));
        assert!(!is_under("/apix", "/api") && !is_under("/", "/api"));
    }
}
