//! A call that may wait for other servers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, Verdict};

use super::verdict::checked;
use crate::extension::instance::Instance;
use crate::guest::callout::{Callout, CalloutOutcome, Mailbox, drive};

/// A call of a guest that may wait for other servers, and the instance that it runs in. To drop it in the midst of a call ends
/// the guest.
pub struct SuspendedCall {
    pub(super) instance: Instance,
    pub(super) hook: Hook,
    /// The client whose request it is.
    pub(super) client: IpAddr,
}

impl SuspendedCall {
    /// Calls a hook that decides about a head, and makes with `fetch` the calls that the guest asks for. The exchange is taken
    /// back with [`SuspendedCall::exchange`], whatever comes of it.
    ///
    /// # Errors
    ///
    /// If the guest failed.
    pub async fn call<C>(
        &mut self,
        hook: Hook,
        exchange: Box<Exchange>,
        fetch: impl Fn(Callout) -> C,
    ) -> Result<Verdict, HookFault>
    where
        C: Future<Output = CalloutOutcome>,
    {
        self.hook = hook;
        let mailbox = Arc::new(Mailbox::default());
        let guest = self.instance.begin(Some((hook, exchange)));
        guest.set_mailbox(Arc::clone(&mailbox));
        let result = drive(self.instance.running.run_waiting(hook), &mailbox, fetch).await;
        self.instance.checked(result, |verdict, guest| checked(verdict, guest, hook))
    }

    /// The exchange, changed by whatever the guest did; `None` if it was not given one, or was taken already.
    pub fn exchange(&mut self) -> Option<Box<Exchange>> {
        self.instance.running.guest_mut().end()
    }
}

impl fmt::Debug for SuspendedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuspendedCall").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::future::pending;

    use tidegate_engine::hook::{Abi, HookFaultKind, Reach, Reached};

    use super::*;
    use crate::extension::spec::ExtensionSpec;
    use crate::guest::callout::at_once;
    use crate::testing::{exchange, instance, spec};

    fn call(spec: &ExtensionSpec) -> SuspendedCall {
        SuspendedCall { instance: instance(spec, &[]), hook: Hook::Request, client: [203, 0, 113, 9].into() }
    }

    #[test]
    fn a_call_is_checked_and_gives_its_exchange_back_once() {
        let reach = Reach { route: Reached::These(vec!["api".to_owned()]), ..Reach::default() };
        let mut call = call(&ExtensionSpec { reach, ..spec(Abi::Tidegate, 1) });
        let verdict = at_once(call.call(Hook::Request, exchange(5), |_| pending())).unwrap();
        assert_eq!(verdict.unwrap_err().kind, HookFaultKind::NotAllowed, "`web` is out of reach");
        assert_eq!(call.exchange().map(|exchange| exchange.request_id), Some(5));
        assert!(call.exchange().is_none());
        let trapped = at_once(call.call(Hook::Response, exchange(6), |_| pending())).unwrap();
        assert_eq!((trapped.unwrap_err().kind, call.hook), (HookFaultKind::Trap, Hook::Response));
    }

    #[test]
    fn what_the_guest_may_reach_it_may_name() {
        let mut call = call(&spec(Abi::Tidegate, 1));
        let verdict = at_once(call.call(Hook::Request, exchange(5), |_| pending())).unwrap();
        assert!(matches!(verdict, Ok(Verdict::Forward(group)) if group == "web"));
    }
}
