//! What an extension wants to be asked about, tested without calling it.

use http::Method;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::Hook;

use crate::abi;
use crate::limits::INTEREST_ENTRIES;

/// An interest that has been checked.
#[derive(Debug)]
pub(crate) struct Interest {
    request: bool,
    response: bool,
    /// Empty: every method.
    methods: Vec<Method>,
    /// Without a slash at the end; empty: every path.
    path_prefixes: Vec<String>,
}

impl Interest {
    /// Checks what `init` answered, against the hooks that the module exports. The error is for the policy's author.
    pub(crate) fn new(asked: &abi::Interest, exported: &[Hook]) -> Result<Self, String> {
        let served = abi::Hooks::REQUEST | abi::Hooks::RESPONSE;
        if asked.hooks | served != served
            || asked.request_body != abi::BodyMode::None
            || asked.response_body != abi::BodyMode::None
            || asked.tick_ms != 0
        {
            return Err(
                "its interest asks for body, log or tick hooks, which this version does not have yet".to_owned()
            );
        }
        let request = (asked.hooks & abi::Hooks::REQUEST) == abi::Hooks::REQUEST;
        let response = (asked.hooks & abi::Hooks::RESPONSE) == abi::Hooks::RESPONSE;
        for (wanted, hook, name) in [(request, Hook::Request, "on-request"), (response, Hook::Response, "on-response")]
        {
            if wanted && !exported.contains(&hook) {
                return Err(format!("its interest asks for the hook `{name}`, which it does not export"));
            }
        }
        if asked.methods.len() > INTEREST_ENTRIES || asked.path_prefixes.len() > INTEREST_ENTRIES {
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
            request,
            response,
            methods: asked.methods.iter().map(method).collect::<Result<_, _>>()?,
            path_prefixes: asked.path_prefixes.iter().map(prefix).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn covers(&self, hook: Hook, exchange: &Exchange) -> bool {
        let hooked = match hook {
            Hook::Request => self.request,
            Hook::Response => self.response,
        };
        hooked
            && (self.methods.is_empty() || self.methods.contains(&exchange.request.method))
            && (self.path_prefixes.is_empty() || {
                let path = exchange.request.target.path();
                self.path_prefixes.iter().any(|prefix| is_under(path, prefix))
            })
    }
}

/// Whether `path` is `prefix` or below it, by whole segments.
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> abi::Interest {
        abi::Interest {
            hooks: abi::Hooks::REQUEST,
            methods: vec!["GET".to_owned()],
            path_prefixes: vec!["/api/".to_owned()],
            request_body: abi::BodyMode::None,
            response_body: abi::BodyMode::None,
            tick_ms: 0,
        }
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        let both = [Hook::Request, Hook::Response];
        assert!(Interest::new(&asked(), &both).is_ok());
        assert!(Interest::new(&asked(), &[Hook::Response]).is_err_and(|why| why.contains("`on-request`")));
        let tick = abi::Interest { tick_ms: 5, ..asked() };
        assert!(Interest::new(&tick, &both).is_err_and(|why| why.contains("does not have yet")));
        let body = abi::Interest { hooks: abi::Hooks::REQUEST_BODY, ..asked() };
        assert!(Interest::new(&body, &both).is_err_and(|why| why.contains("does not have yet")));
        let method = abi::Interest { methods: vec!["G T".to_owned()], ..asked() };
        assert!(Interest::new(&method, &both).is_err_and(|why| why.contains("`G T`")));
        let path = abi::Interest { path_prefixes: vec!["api".to_owned()], ..asked() };
        assert!(Interest::new(&path, &both).is_err_and(|why| why.contains("`api`")));
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert!(is_under("/api", "/api") && is_under("/api/x", "/api") && is_under("/x", ""));
        assert!(!is_under("/apix", "/api") && !is_under("/", "/api"));
    }
}
