//! One worker's instances of an extension.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Capability, Hook, HookFault, HookFaultKind, Reply, Verdict};
use wasmtime::{Engine, Store};

use crate::abi;
use crate::extension::{Extension, ExtensionSpec};
use crate::fault::{Stop, classify};
use crate::fields;
use crate::guest::{Guest, Settings};
use crate::imports::response::final_status;
use crate::lane::{Asked, Hooks, Linked};
use crate::limits::{
    CALLS_PER_INSTANCE, FAULT_MESSAGE_BYTES, INIT_TIME_FACTOR, MEMORY_MARK_PERCENT, REPLY_BODY_BYTES, TRANSFER_BYTES,
};
use crate::log::one_line;

/// One worker's instances of an extension. Calls are synchronous, so one instance serves one call at a time.
pub struct Pool {
    extension: Arc<Extension>,
    idle: Vec<Instance>,
}

impl Pool {
    /// A pool without instances: the first call makes one.
    pub const fn new(extension: Arc<Extension>) -> Self {
        Self { extension, idle: Vec::new() }
    }

    /// The extension.
    pub const fn extension(&self) -> &Arc<Extension> {
        &self.extension
    }

    /// Calls a hook. The exchange always comes back, changed by whatever the guest did before it ended. A fault costs
    /// the instance, and nothing else.
    pub fn call(&mut self, hook: Hook, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, HookFault>) {
        let mut instance = match self.idle.pop() {
            Some(instance) => instance,
            None => match self.extension.instantiate() {
                Ok(instance) => instance,
                Err(fault) => return (exchange, Err(fault)),
            },
        };
        let (exchange, verdict) = instance.call(hook, exchange);
        let spec = self.extension.spec();
        let keeps = verdict.is_ok() && !spec.fresh && !instance.is_worn() && self.idle.len() < spec.instances as usize;
        if keeps {
            self.idle.push(instance);
        }
        (exchange, verdict)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("extension", &self.extension).field("idle", &self.idle.len()).finish()
    }
}

/// A guest that has run `init`.
pub(crate) struct Instance {
    store: Store<Guest>,
    hooks: Hooks,
    time: Duration,
    calls: u32,
    /// Memory above this, in bytes, is a reason to replace it.
    memory_mark: u64,
}

impl Instance {
    /// Makes an instance and runs `init`. The inner error is what `init` said against the configuration.
    pub(crate) fn new(
        engine: &Engine,
        linked: &Linked,
        settings: &Arc<Settings>,
        spec: &ExtensionSpec,
    ) -> Result<(Self, Asked), HookFault> {
        let mut store = Store::new(engine, Guest::new(Arc::clone(settings), spec.memory));
        store.limiter(|guest| guest);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().tick()?));
        store.set_hostcall_fuel(TRANSFER_BYTES);
        store.set_epoch_deadline(1);
        store.data_mut().begin(None, spec.time.saturating_mul(INIT_TIME_FACTOR));

        match linked.start(&mut store, &spec.config) {
            Ok((hooks, asked)) => {
                store.data_mut().end();
                let grown = store.data().memory.size;
                let room = spec.memory.saturating_sub(grown);
                let memory_mark = grown.saturating_add(room / 100 * MEMORY_MARK_PERCENT);
                let instance = Self { store, hooks, time: spec.time, calls: 0, memory_mark };
                Ok((instance, asked.map_err(|message| one_line(&message, FAULT_MESSAGE_BYTES))))
            }
            Err(error) => {
                store.data_mut().end();
                if error.is::<wasmtime::PoolConcurrencyLimitError>() {
                    let message = "there is no room for another instance".to_owned();
                    return Err(HookFault { kind: HookFaultKind::Instance, message });
                }
                Err(classify(&error, store.data_mut()))
            }
        }
    }

    fn call(&mut self, hook: Hook, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, HookFault>) {
        self.calls += 1;
        self.store.data_mut().begin(Some((hook, exchange)), self.time);
        self.store.set_epoch_deadline(1);
        let result = self.hooks.run(&mut self.store, hook);

        let guest = self.store.data_mut();
        let verdict = match result {
            Ok(verdict) => checked(verdict, guest, hook).map_err(|stop| stop.0),
            Err(error) => Err(classify(&error, guest)),
        };
        #[expect(clippy::expect_used, reason = "`begin` put it there, and nothing but `end` takes it out")]
        let exchange = guest.end().expect("the exchange of this call");
        (exchange, verdict)
    }

    /// Whether it should serve no more calls.
    fn is_worn(&self) -> bool {
        self.calls >= CALLS_PER_INSTANCE || self.store.data().memory.size > self.memory_mark
    }
}

/// The verdict, if the guest may give it and the host can take it.
fn checked(verdict: abi::Verdict, guest: &mut Guest, hook: Hook) -> Result<Verdict, Stop> {
    let needs = |guest: &Guest, verdict: &str, capability: Capability| {
        if guest.allows(capability) {
            return Ok(());
        }
        let word = capability.word();
        Err(Stop::not_allowed(format!(
            "the guest said `{verdict}`, which `allow` does not list: add `{word}` to allow it"
        )))
    };
    match verdict {
        abi::Verdict::Next => Ok(Verdict::Next),
        abi::Verdict::Close => {
            needs(guest, "close", Capability::Respond)?;
            Ok(Verdict::Close)
        }
        abi::Verdict::Forward(group) => {
            needs(guest, "forward", Capability::Route)?;
            if hook == Hook::Response {
                return Err(Stop::not_allowed("the guest said `forward` in a response hook: the request has left"));
            }
            Ok(Verdict::Forward(group))
        }
        abi::Verdict::Respond(given) => {
            needs(guest, "respond", Capability::Respond)?;
            reply(given, guest).map(Verdict::Respond)
        }
    }
}

fn reply(given: abi::Reply, guest: &mut Guest) -> Result<Reply, Stop> {
    let status = final_status(given.status)?;
    if given.body.len() > REPLY_BODY_BYTES {
        let bytes = given.body.len();
        return Err(Stop::bad_value(format!("the reply's body has {bytes} bytes, and {REPLY_BODY_BYTES} is the most")));
    }
    let mut headers = HeaderMap::with_capacity(given.headers.len().min(32));
    for header in given.headers {
        guest.count_header(header.name.len() + header.value.len())?;
        let name = fields::name(&header.name)?;
        let value = fields::value(&name, &header.value)?;
        headers.append(name, value);
    }
    Ok(Reply { status, headers, body: Bytes::from(given.body) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::tests::guest;

    fn kind_of(verdict: abi::Verdict, allow: &[Capability], hook: Hook) -> Result<(), HookFaultKind> {
        checked(verdict, &mut guest(allow.to_vec()), hook).map(drop).map_err(|stop| stop.0.kind)
    }

    fn reply(status: u16, name: &str, body: usize) -> abi::Verdict {
        let headers = vec![abi::Header { name: name.to_owned(), value: b"v".to_vec() }];
        abi::Verdict::Respond(abi::Reply { status, headers, body: vec![0; body] })
    }

    #[test]
    fn verdicts_need_their_words() {
        let forward = || abi::Verdict::Forward("a".to_owned());
        let not_allowed = Err(HookFaultKind::NotAllowed);
        assert_eq!(kind_of(abi::Verdict::Next, &[], Hook::Request), Ok(()));
        assert_eq!(kind_of(forward(), &[], Hook::Request), not_allowed);
        assert_eq!(kind_of(forward(), &[Capability::Route], Hook::Request), Ok(()));
        assert_eq!(kind_of(forward(), &[Capability::Route], Hook::Response), not_allowed);
        assert_eq!(kind_of(abi::Verdict::Close, &[Capability::Route], Hook::Request), not_allowed);
        assert_eq!(kind_of(abi::Verdict::Close, &[Capability::Respond], Hook::Response), Ok(()));
        assert_eq!(kind_of(reply(200, "a", 0), &[], Hook::Request), not_allowed);
    }

    #[test]
    fn replies_are_checked() {
        let allow = [Capability::Respond];
        assert_eq!(kind_of(reply(599, "a", REPLY_BODY_BYTES), &allow, Hook::Request), Ok(()));
        assert_eq!(kind_of(reply(101, "a", 0), &allow, Hook::Request), Err(HookFaultKind::BadValue));
        assert_eq!(kind_of(reply(200, "a b", 0), &allow, Hook::Request), Err(HookFaultKind::BadValue));
        assert_eq!(kind_of(reply(200, "content-length", 0), &allow, Hook::Request), Err(HookFaultKind::NotAllowed));
        assert_eq!(kind_of(reply(200, "a", REPLY_BODY_BYTES + 1), &allow, Hook::Request), Err(HookFaultKind::BadValue));
    }
}
