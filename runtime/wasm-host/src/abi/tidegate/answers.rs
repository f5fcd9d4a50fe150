//! The answers of a core module's exports, as the canonical ABI lays them out: a variant's case stands before its payload, and
//! every field at a multiple of its alignment.

use crate::abi::guest_abi::InitResult;
use crate::base::host_error::HostError;
use crate::functions::define::memory::{Reader, field};
use crate::functions::define::unknown_case;
use crate::wit;

fn aligned(at: u32) -> Result<(), HostError> {
    if at.is_multiple_of(4) { Ok(()) } else { Err(HostError::outside()) }
}

pub(super) fn verdict(memory: &mut Reader<'_>, at: u32) -> Result<wit::Verdict, HostError> {
    aligned(at)?;
    let payload = field(at, 4)?;
    match memory.u8(at)? {
        0 => Ok(wit::Verdict::Next),
        1 => reply(memory, payload).map(wit::Verdict::Respond),
        2 => Ok(wit::Verdict::Forward(memory.text(payload)?.to_owned())),
        3 => Ok(wit::Verdict::Close),
        case => Err(unknown_case("a verdict", case)),
    }
}

pub(super) fn body_verdict(memory: &mut Reader<'_>, at: u32) -> Result<wit::BodyVerdict, HostError> {
    aligned(at)?;
    let payload = field(at, 4)?;
    match memory.u8(at)? {
        0 => Ok(wit::BodyVerdict::Next),
        1 => Ok(wit::BodyVerdict::Replace(memory.bytes(payload)?.to_vec())),
        2 => reply(memory, payload).map(wit::BodyVerdict::Respond),
        3 => Ok(wit::BodyVerdict::Close),
        case => Err(unknown_case("a body verdict", case)),
    }
}

fn reply(memory: &mut Reader<'_>, at: u32) -> Result<wit::Reply, HostError> {
    let header = |memory: &mut Reader<'_>, at| {
        let name = memory.text(at)?.to_owned();
        Ok(wit::Header { name, value: memory.bytes(field(at, 8)?)?.to_vec() })
    };
    Ok(wit::Reply {
        status: memory.u16(at)?,
        headers: memory.list(field(at, 4)?, 16, header)?,
        body: memory.bytes(field(at, 12)?)?.to_vec(),
    })
}

pub(super) fn init_result(memory: &mut Reader<'_>, at: u32) -> Result<InitResult, HostError> {
    aligned(at)?;
    let payload = field(at, 4)?;
    match memory.u8(at)? {
        0 => interest(memory, payload).map(Ok),
        1 => Ok(Err(memory.text(payload)?.to_owned())),
        case => Err(unknown_case("a result", case)),
    }
}

fn interest(memory: &mut Reader<'_>, at: u32) -> Result<wit::Interest, HostError> {
    let text = |memory: &mut Reader<'_>, at| memory.text(at).map(str::to_owned);
    let mut hooks = wit::Hooks::default();
    let bits = memory.u8(at)?;
    for (bit, hook) in wit::HOOKS.into_iter().enumerate() {
        if bits & (1 << bit) != 0 {
            hooks |= hook;
        }
    }
    Ok(wit::Interest {
        hooks,
        methods: memory.list(field(at, 4)?, 8, text)?,
        path_prefixes: memory.list(field(at, 12)?, 8, text)?,
        request_body: body_mode(memory, field(at, 20)?)?,
        response_body: body_mode(memory, field(at, 28)?)?,
        tick_ms: memory.u32(field(at, 36)?)?,
    })
}

fn body_mode(memory: &Reader<'_>, at: u32) -> Result<wit::BodyMode, HostError> {
    let bytes = memory.u32(field(at, 4)?)?;
    match memory.u8(at)? {
        0 => Ok(wit::BodyMode::None),
        1 => Ok(wit::BodyMode::Stream(bytes)),
        2 => Ok(wit::BodyMode::Buffer(bytes)),
        case => Err(unknown_case("a body mode", case)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    /// Memory that holds these numbers from address 64 on, and the text from address 0 on.
    fn memory(text: &[u8], numbers: &[u32]) -> Vec<u8> {
        let mut memory = text.to_vec();
        memory.resize(64, 0);
        memory.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        memory
    }

    fn refused<T>(read: Result<T, HostError>) -> String {
        read.map(drop).unwrap_err().0.message.replace("the guest gave the host what it cannot take: ", "")
    }

    #[test]
    fn a_verdict_is_its_case_and_what_belongs_to_it() {
        let read = |memory: &[u8]| verdict(&mut Reader::new(memory), 64);
        assert!(matches!(read(&memory(b"", &[0, 0])), Ok(wit::Verdict::Next)));
        assert!(matches!(read(&memory(b"", &[3, 0])), Ok(wit::Verdict::Close)));
        assert!(matches!(read(&memory(b"web", &[2, 0, 3])), Ok(wit::Verdict::Forward(group)) if group == "web"));
        // The status, a list of one field at 92, and a body; then the field.
        let reply = memory(b"namevaluebody", &[1, 403, 92, 1, 9, 4, 0, 0, 4, 4, 5]);
        let Ok(wit::Verdict::Respond(reply)) = read(&reply) else { panic!("no reply") };
        assert_eq!((reply.status, &*reply.body), (403, &b"body"[..]));
        assert_eq!((&*reply.headers[0].name, &*reply.headers[0].value), ("name", &b"value"[..]));
        assert_eq!(refused(read(&memory(b"", &[4, 0]))), "case 4 of a verdict");
        assert_eq!(refused(verdict(&mut Reader::new(&memory(b"", &[0, 0])), 66)), "an address outside its memory");
        assert_eq!(refused(read(&memory(b"\xff", &[2, 0, 1]))), "a string that is not UTF-8");
    }

    #[test]
    fn a_verdict_about_a_body_may_replace_it() {
        let read = |memory: &[u8]| body_verdict(&mut Reader::new(memory), 64);
        assert!(matches!(read(&memory(b"", &[0])), Ok(wit::BodyVerdict::Next)));
        assert!(matches!(read(&memory(b"new", &[1, 0, 3])), Ok(wit::BodyVerdict::Replace(data)) if data == b"new"));
        assert!(matches!(read(&memory(b"", &[3])), Ok(wit::BodyVerdict::Close)));
        assert_eq!(refused(read(&memory(b"", &[9]))), "case 9 of a body verdict");
        assert_eq!(refused(read(&memory(b"", &[1, 0, 3000]))), "an address outside its memory");
    }

    #[test]
    fn the_result_of_init_is_an_interest_or_what_the_guest_says() {
        let read = |memory: &[u8]| init_result(&mut Reader::new(memory), 64);
        let said = read(&memory(b"no", &[1, 0, 2])).unwrap();
        assert_eq!(said.map(drop), Err("no".to_owned()));
        // Request and tick; one method at 108; no paths; the modes; the time between ticks.
        let interest = memory(b"GET", &[0, 0b10_0001, 108, 1, 0, 0, 1, 512, 2, 64, 250, 0, 3]);
        let interest = read(&interest).unwrap().unwrap();
        let mut hooks = wit::Hooks::REQUEST;
        hooks |= wit::Hooks::TICK;
        assert!(interest.hooks == hooks);
        assert_eq!(interest.methods, ["GET"]);
        assert_eq!((interest.path_prefixes.len(), interest.tick_ms), (0, 250));
        let modes = (interest.request_body, interest.response_body);
        assert_eq!(modes, (wit::BodyMode::Stream(512), wit::BodyMode::Buffer(64)));
        assert_eq!(refused(read(&memory(b"", &[0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0]))), "case 7 of a body mode");
        assert_eq!(refused(read(&memory(b"", &[2, 0]))), "case 2 of a result");
    }
}
