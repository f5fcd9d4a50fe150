//! The guest of one instance: the exchange of its current call, its limits, and what it used of them.

mod call_time;
pub(crate) mod callout;
pub(crate) mod fault;
pub(crate) mod fields;
pub(crate) mod interest;
mod memory;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderName;
use tidegate_engine::exchange::{Exchange, Request, Response};
use tidegate_engine::hook::{Capability, Hook, Reach};
use wasmtime::UpdateDeadline;

use self::call_time::CallTime;
use self::callout::Mailbox;
use self::memory::Memory;
use crate::base::host_error::HostError;
use crate::base::limits::{
    HEADER_BYTES_PER_CALL, HEADERS_PER_CALL, KNOWN_NAMES, LOG_LINE_BYTES, LOG_LINES_PER_CALL, OUTBOUND_CALLS_PER_CALL,
    STORE_CALLS_PER_CALL,
};
use crate::base::log::{LogLevel, LogRecord, LogSink, one_line};
use crate::shared::metrics::{GroupSource, Shared};
use crate::shared::ticker::Ticker;

/// The data of one instance's store: the guest, and the state that its ABI keeps beside it.
pub(crate) struct Data<S> {
    pub(crate) guest: Guest,
    pub(crate) state: S,
}

/// A guest, whatever its ABI.
pub(crate) struct Guest {
    pub(crate) settings: Arc<Settings>,
    pub(crate) memory: Memory,
    /// The reason why the guest is about to trap, in its words.
    pub(crate) last_words: Option<String>,
    /// Header names that the guest wrote, as it spelt them, already checked: it writes the same few again and again.
    names: Vec<(Box<str>, HeaderName)>,
    /// Random bytes not yet handed out, for all calls.
    pub(crate) random: Vec<u8>,
    /// The source from which the guest reads the server groups.
    pub(crate) groups: Option<GroupSource>,
    call: Call,
}

/// The settings that are the same for every instance of an extension.
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) allow: Vec<Capability>,
    pub(crate) reach: Reach,
    pub(crate) log: LogSink,
    pub(crate) log_level: LogLevel,
    pub(crate) ticker: Arc<Ticker>,
    /// The parts that all instances of the extensions of this name share.
    pub(crate) shared: Arc<Shared>,
}

/// The state that ends with the call.
#[derive(Default)]
struct Call {
    /// The exchange, and the hook that is called; `None` in `init`.
    exchange: Option<(Hook, Box<Exchange>)>,
    /// Whether the exchange's body is passing through, and its head has left.
    streams: bool,
    time: CallTime,
    headers_written: u32,
    header_bytes_written: usize,
    log_lines: u32,
    store_calls: u32,
    outbound_calls: u32,
    /// The mailbox for callouts, if there is somebody to make them.
    mailbox: Option<Arc<Mailbox>>,
}

impl Guest {
    pub(crate) fn new(settings: Arc<Settings>, memory_limit: u64) -> Self {
        Self {
            settings,
            memory: Memory::new(memory_limit),
            last_words: None,
            names: Vec::new(),
            random: Vec::new(),
            groups: None,
            call: Call::default(),
        }
    }

    /// A name that the guest wrote before.
    pub(crate) fn known_name(&self, text: &str) -> Option<HeaderName> {
        self.names.iter().find(|(known, _)| **known == *text).map(|(_, name)| name.clone())
    }

    /// Remembers a checked name.
    pub(crate) fn remember_name(&mut self, text: &str, name: &HeaderName) {
        if self.names.len() < KNOWN_NAMES {
            self.names.push((text.into(), name.clone()));
        }
    }

    /// The body of this call's exchange passes through: its head has left.
    pub(crate) fn streams(&mut self) {
        self.call.streams = true;
    }

    /// Begins a call that may use `time`; `exchange` is `None` for ticks.
    pub(crate) fn begin(&mut self, exchange: Option<(Hook, Box<Exchange>)>, time: Duration) {
        self.call = Call { exchange, time: CallTime::of_hook(time), ..Call::default() };
        self.settings.ticker.guest_runs();
    }

    /// Begins `init`, which may use `time`.
    pub(crate) fn begin_init(&mut self, time: Duration) {
        self.call = Call { time: CallTime::of_init(time), ..Call::default() };
        self.settings.ticker.guest_runs();
    }

    /// Ends the call, and gives the exchange back.
    pub(crate) fn end(&mut self) -> Option<Box<Exchange>> {
        let dropped = self.call.log_lines.saturating_sub(LOG_LINES_PER_CALL);
        if dropped > 0 {
            self.settings.shared.counts.lines_dropped.fetch_add(dropped.into(), Ordering::Relaxed);
            let text = format!("{dropped} more lines of this call were dropped: a call may write {LOG_LINES_PER_CALL}");
            self.send(LogLevel::Warn, &text);
        }
        self.call.exchange.take().map(|(_, exchange)| exchange)
    }

    /// On a tick of the epoch: ends the call if it has used up its time.
    pub(crate) fn tick(&mut self) -> Result<UpdateDeadline, HostError> {
        self.settings.ticker.guest_runs();
        self.call.time.tick()?;
        Ok(UpdateDeadline::Continue(1))
    }

    /// The hook of the current call; `None` in `init` and ticks.
    pub(crate) fn hook(&self) -> Option<Hook> {
        self.call.exchange.as_ref().map(|(hook, _)| *hook)
    }

    pub(crate) fn allows(&self, capability: Capability) -> bool {
        self.settings.allow.contains(&capability)
    }

    /// Refuses a call of `function` for which `allow` lists no word. It is for functions that are linked whatever `allow` says.
    pub(crate) fn needs(&self, function: &str, capability: Capability) -> Result<(), HostError> {
        if self.allows(capability) {
            return Ok(());
        }
        let word = capability.word();
        Err(HostError::not_allowed(format!(
            "the guest called `{function}` for what `allow` does not list: add `{word}` to allow it"
        )))
    }

    /// The exchange, for `function`.
    pub(crate) fn exchange(&self, function: &str) -> Result<&Exchange, HostError> {
        match &self.call.exchange {
            Some((_, exchange)) => Ok(exchange),
            None => Err(no_request(function)),
        }
    }

    /// The exchange, for `function` to change what no hook forbids.
    pub(crate) fn exchange_mut(&mut self, function: &str) -> Result<&mut Exchange, HostError> {
        match &mut self.call.exchange {
            Some((_, exchange)) => Ok(exchange),
            None => Err(no_request(function)),
        }
    }

    /// The request, for `function` to change `what`: in the request hook, and with a whole body, nothing has left yet.
    pub(crate) fn request_mut(&mut self, function: &str, what: &str) -> Result<&mut Request, HostError> {
        let streams = self.call.streams;
        match &mut self.call.exchange {
            Some((Hook::Request, exchange)) => Ok(&mut exchange.request),
            Some((Hook::RequestBody, exchange)) if !streams => Ok(&mut exchange.request),
            Some((hook, _)) => Err(HostError::not_allowed(format!(
                "`{function}` of `{what}` in a {} hook: the request has left, and is read-only",
                hook.name()
            ))),
            None => Err(no_request(function)),
        }
    }

    /// The response, for `function`.
    pub(crate) fn response(&self, function: &str) -> Result<&Response, HostError> {
        let response = match &self.call.exchange {
            Some((Hook::Response | Hook::ResponseBody | Hook::Log, exchange)) => exchange.response.as_ref(),
            _ => None,
        };
        response.ok_or_else(|| no_response(function))
    }

    /// The response, for `function` to change.
    pub(crate) fn response_mut(&mut self, function: &str) -> Result<&mut Response, HostError> {
        let streams = self.call.streams;
        let response = match &mut self.call.exchange {
            Some((Hook::Response, exchange)) => exchange.response.as_mut(),
            Some((Hook::ResponseBody, exchange)) if !streams => exchange.response.as_mut(),
            Some((hook @ (Hook::ResponseBody | Hook::Log), _)) => {
                let hook = hook.name();
                let message = format!("`{function}` in a {hook} hook: the response has left, and is read-only");
                return Err(HostError::not_allowed(message));
            }
            _ => None,
        };
        response.ok_or_else(|| no_response(function))
    }

    /// Counts a call of the store.
    pub(crate) fn count_store(&mut self) -> Result<(), HostError> {
        self.call.store_calls += 1;
        if self.call.store_calls > STORE_CALLS_PER_CALL {
            return Err(HostError::too_much(format!(
                "the guest used the store too often: a call may do so {STORE_CALLS_PER_CALL} times"
            )));
        }
        Ok(())
    }

    /// Counts a callout, or refuses it here and now.
    pub(crate) fn may_fetch(&mut self, function: &str) -> Result<(), HostError> {
        match &self.call.exchange {
            Some((Hook::Request | Hook::Response, _)) => {}
            Some((hook, _)) => {
                let hook = hook.name();
                let message = format!("`{function}` in a {hook} hook: only request and response hooks may call");
                return Err(HostError::not_allowed(message));
            }
            None => return Err(no_request(function)),
        }
        self.call.outbound_calls += 1;
        if self.call.outbound_calls > OUTBOUND_CALLS_PER_CALL {
            return Err(HostError::too_much(format!(
                "the guest called other servers too often: a call may do so {OUTBOUND_CALLS_PER_CALL} times"
            )));
        }
        Ok(())
    }

    /// Sets the mailbox of those who make the callouts of this call.
    pub(crate) fn set_mailbox(&mut self, mailbox: Arc<Mailbox>) {
        self.call.mailbox = Some(mailbox);
    }

    /// The guest begins to wait: what passes until [`Guest::end_waiting`] is not its time. Where it leaves its call, if
    /// there is somebody to make it.
    pub(crate) fn begin_waiting(&mut self) -> Option<Arc<Mailbox>> {
        self.call.time.pause();
        self.call.mailbox.clone()
    }

    /// The guest goes on. Its time is counted from the next tick on, which is at once if it waited for one.
    pub(crate) fn end_waiting(&mut self) -> Result<(), HostError> {
        self.settings.ticker.guest_runs();
        self.call.time.resume()
    }

    /// Counts a header field that the guest writes.
    pub(crate) fn count_header(&mut self, bytes: usize) -> Result<(), HostError> {
        self.call.headers_written += 1;
        self.call.header_bytes_written = self.call.header_bytes_written.saturating_add(bytes);
        if self.call.headers_written > HEADERS_PER_CALL || self.call.header_bytes_written > HEADER_BYTES_PER_CALL {
            return Err(HostError::too_much(format!(
                "the guest wrote too many header fields: a call may write {HEADERS_PER_CALL}, of {HEADER_BYTES_PER_CALL} bytes together"
            )));
        }
        Ok(())
    }

    /// Writes a log line, if lines of its level are kept and the call has lines left.
    pub(crate) fn log(&mut self, level: LogLevel, text: &str) {
        if level < self.settings.log_level {
            return;
        }
        self.call.log_lines = self.call.log_lines.saturating_add(1);
        if self.call.log_lines <= LOG_LINES_PER_CALL {
            self.send(level, &one_line(text, LOG_LINE_BYTES));
        }
    }

    fn send(&self, level: LogLevel, message: &str) {
        (self.settings.log)(LogRecord { extension: &self.settings.name, level, message });
    }
}

fn no_request(function: &str) -> HostError {
    HostError::not_allowed(format!("`{function}` in `init` or a tick: there is no request"))
}

fn no_response(function: &str) -> HostError {
    HostError::not_allowed(format!("`{function}` outside a response hook: there is no response yet"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_engine::hook::HookFaultKind;

    use super::*;
    use crate::testing::{Lines, guest, guest_in, guest_with_log};

    fn kind<T>(result: Result<T, HostError>) -> Option<HookFaultKind> {
        result.err().map(|error| error.0.kind)
    }

    #[test]
    fn a_head_is_written_until_it_has_left() {
        let not_allowed = Some(HookFaultKind::NotAllowed);
        let table = [
            (Hook::Request, None, not_allowed, not_allowed),
            (Hook::RequestBody, None, not_allowed, not_allowed),
            (Hook::Response, not_allowed, None, None),
            (Hook::ResponseBody, not_allowed, None, None),
            (Hook::Log, not_allowed, None, not_allowed),
        ];
        for (hook, request, reading, writing) in table {
            let mut guest = guest_in(hook);
            assert_eq!(guest.hook(), Some(hook));
            assert_eq!(kind(guest.request_mut("f", "a")), request, "{hook:?}");
            assert_eq!(kind(guest.response("f")), reading, "{hook:?}");
            assert_eq!(kind(guest.response_mut("f")), writing, "{hook:?}");
            guest.streams();
            let left = matches!(hook, Hook::RequestBody | Hook::ResponseBody);
            assert_eq!(kind(guest.request_mut("f", "a")), if left { not_allowed } else { request }, "{hook:?}");
            assert_eq!(kind(guest.response_mut("f")), if left { not_allowed } else { writing }, "{hook:?}");
        }
    }

    #[test]
    fn init_and_ticks_have_no_request() {
        let mut guest = guest(Vec::new());
        guest.begin_init(Duration::from_millis(1));
        assert_eq!((guest.hook(), kind(guest.exchange("f"))), (None, Some(HookFaultKind::NotAllowed)));
        let message = guest.exchange_mut("vars.set").map(drop).unwrap_err().0.message;
        assert_eq!(message, "`vars.set` in `init` or a tick: there is no request");
        assert_eq!(kind(guest.request_mut("f", "a")), Some(HookFaultKind::NotAllowed));
        assert_eq!(kind(guest.may_fetch("f")), Some(HookFaultKind::NotAllowed));
        assert!(guest.end().is_none());
    }

    #[test]
    fn a_call_uses_each_thing_so_often_and_no_more() {
        let too_much = Some(HookFaultKind::TooMuch);
        let mut guest = guest_in(Hook::Request);
        assert!((0..STORE_CALLS_PER_CALL).all(|_| guest.count_store().is_ok()));
        assert_eq!(kind(guest.count_store()), too_much);
        assert!((0..OUTBOUND_CALLS_PER_CALL).all(|_| guest.may_fetch("f").is_ok()));
        assert_eq!(kind(guest.may_fetch("f")), too_much);
        assert!((0..HEADERS_PER_CALL).all(|_| guest.count_header(1).is_ok()));
        assert_eq!(kind(guest.count_header(1)), too_much);
        let mut guest = guest_in(Hook::Response);
        assert_eq!(kind(guest.count_header(HEADER_BYTES_PER_CALL)), None);
        assert_eq!(kind(guest.count_header(1)), too_much);
        assert_eq!(kind(guest_in(Hook::RequestBody).may_fetch("f")), Some(HookFaultKind::NotAllowed));
    }

    #[test]
    fn lines_over_the_bound_are_dropped_and_that_is_said_once() {
        let lines = Lines::default();
        let mut guest = guest_with_log(vec![Capability::Log], &lines);
        guest.begin(None, Duration::from_millis(1));
        guest.log(LogLevel::Debug, "below the level");
        (0..LOG_LINES_PER_CALL + 3).for_each(|_| guest.log(LogLevel::Info, "a\nb"));
        guest.end();
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), LOG_LINES_PER_CALL as usize + 1);
        assert_eq!(lines[0], (LogLevel::Info, "a b".to_owned()));
        let last = format!("3 more lines of this call were dropped: a call may write {LOG_LINES_PER_CALL}");
        assert_eq!(lines.last(), Some(&(LogLevel::Warn, last)));
        assert_eq!(guest.settings.shared.counts.lines_dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_function_that_is_linked_all_the_same_needs_its_word() {
        let guest = guest(vec![Capability::Clock]);
        assert!(guest.needs("now", Capability::Clock).is_ok());
        let refused = guest.needs("proxy_log", Capability::Log).unwrap_err().0;
        let message = "the guest called `proxy_log` for what `allow` does not list: add `log` to allow it";
        assert_eq!((refused.kind, &*refused.message), (HookFaultKind::NotAllowed, message));
    }

    #[test]
    fn so_many_names_are_remembered() {
        let mut guest = guest(Vec::new());
        let name = |n: usize| (format!("X-{n}"), HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap());
        for n in 0..=KNOWN_NAMES {
            let (text, name) = name(n);
            guest.remember_name(&text, &name);
        }
        assert_eq!(guest.known_name("X-0"), Some(name(0).1));
        assert_eq!((guest.known_name("x-0"), guest.known_name(&name(KNOWN_NAMES).0)), (None, None));
    }
}
