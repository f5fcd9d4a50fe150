//! The hooks of a guest, none of which it must have.

use tidegate_engine::hook::Hook;

use crate::wit::interfaces::HOOKS;

/// One thing for each hook: of those that decide about a head, about a body, and of those that are told something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByHook<Head, Body = Head, Tell = Head> {
    request: Option<Head>,
    response: Option<Head>,
    request_body: Option<Body>,
    response_body: Option<Body>,
    log: Option<Tell>,
    tick: Option<Tell>,
}

impl<T: Copy> ByHook<T> {
    /// The finds of `export` in the interface of each hook.
    pub(super) fn find(export: impl Fn(&str) -> Option<T>) -> Self {
        let find = |hook: Hook| HOOKS.iter().find(|(_, of)| *of == hook).and_then(|(interface, _)| export(interface));
        Self {
            request: find(Hook::Request),
            response: find(Hook::Response),
            request_body: find(Hook::RequestBody),
            response_body: find(Hook::ResponseBody),
            log: find(Hook::Log),
            tick: find(Hook::Tick),
        }
    }

    /// Makes something else of each find, by the kind of its hook; `with` is what all three need.
    pub(super) fn make<W, Head, Body, Tell, E>(
        &self,
        with: &mut W,
        head: impl Fn(&mut W, T) -> Result<Head, E>,
        body: impl Fn(&mut W, T) -> Result<Body, E>,
        tell: impl Fn(&mut W, T) -> Result<Tell, E>,
    ) -> Result<ByHook<Head, Body, Tell>, E> {
        Ok(ByHook {
            request: self.request.map(|found| head(with, found)).transpose()?,
            response: self.response.map(|found| head(with, found)).transpose()?,
            request_body: self.request_body.map(|found| body(with, found)).transpose()?,
            response_body: self.response_body.map(|found| body(with, found)).transpose()?,
            log: self.log.map(|found| tell(with, found)).transpose()?,
            tick: self.tick.map(|found| tell(with, found)).transpose()?,
        })
    }
}

impl<Head, Body, Tell> ByHook<Head, Body, Tell> {
    /// The hook that decides about a head.
    pub(super) const fn head(&self, hook: Hook) -> Option<&Head> {
        match hook {
            Hook::Request => self.request.as_ref(),
            Hook::Response => self.response.as_ref(),
            _ => None,
        }
    }

    /// The hook that decides about a body.
    pub(super) const fn body(&self, hook: Hook) -> Option<&Body> {
        match hook {
            Hook::RequestBody => self.request_body.as_ref(),
            Hook::ResponseBody => self.response_body.as_ref(),
            _ => None,
        }
    }

    /// The hook that is told something.
    pub(super) const fn tell(&self, hook: Hook) -> Option<&Tell> {
        match hook {
            Hook::Log => self.log.as_ref(),
            Hook::Tick => self.tick.as_ref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: [Hook; 6] =
        [Hook::Request, Hook::Response, Hook::RequestBody, Hook::ResponseBody, Hook::Log, Hook::Tick];

    #[test]
    fn each_hook_is_found_under_its_name_and_is_of_one_kind() {
        let all = ByHook::find(|interface| HOOKS.iter().position(|(name, _)| *name == interface));
        for hook in EACH {
            let found = [all.head(hook), all.body(hook), all.tell(hook)];
            let at = HOOKS.iter().position(|(_, of)| *of == hook);
            assert_eq!(found.into_iter().flatten().copied().collect::<Vec<_>>(), at.into_iter().collect::<Vec<_>>());
        }
        let none = ByHook::<u8>::find(|_| None);
        assert_eq!(none, ByHook::default());
    }

    #[test]
    fn what_is_made_of_a_hook_stays_with_it() {
        let one = ByHook::find(|interface| (interface != "on-log").then_some(7));
        let mut made = 0;
        let count = |made: &mut u32, found: u32| -> Result<u32, String> {
            *made += 1;
            Ok(found + *made)
        };
        let result = one.make(&mut made, count, count, |_, _| Err::<u32, _>("no ticks".to_owned()));
        assert_eq!((result, made), (Err("no ticks".to_owned()), 4), "two heads and two bodies come first");
        let result = one.make(&mut made, count, count, count);
        assert_eq!(
            result.map(|made| (made.head(Hook::Request).copied(), made.tell(Hook::Log).copied())),
            Ok((Some(12), None))
        );
    }
}
