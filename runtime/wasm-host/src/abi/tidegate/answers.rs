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
