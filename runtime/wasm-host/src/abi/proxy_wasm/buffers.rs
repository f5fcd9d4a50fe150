//! Buffers: bodies and configurations.

use tidegate_engine::hook::{Capability, Hook};

use super::status::{Answer, Cx, Data, Status, give};
use crate::abi::foreign::state::{bytes, enter, put};
use crate::base::host_error::HostError;
use crate::base::limits::TRANSFER_BYTES;

/// A buffer by its number.
#[derive(Clone, Copy)]
enum Buffer {
    Body(Hook),
    PluginConfiguration,
    /// The body of another server's response.
    Came,
    /// A buffer in which nothing ever is: the configuration of the machine, and what is not carried.
    Empty,
}

impl Buffer {
    const fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Body(Hook::RequestBody)),
            1 => Some(Self::Body(Hook::ResponseBody)),
            4 => Some(Self::Came),
            7 => Some(Self::PluginConfiguration),
            2 | 3 | 5 | 6 | 8 => Some(Self::Empty),
            _ => None,
        }
    }

    /// The bytes that the buffer holds now.
    fn read<'g>(self, data: &'g mut Data, function: &str) -> Result<Option<&'g [u8]>, HostError> {
        match self {
            Self::Body(of) => {
                data.guest.needs(function, Capability::Body)?;
                let body = data.state.own()?.call.body.as_ref();
                Ok(body.filter(|(hook, _)| *hook == of).map(|(_, body)| &**body))
            }
            Self::PluginConfiguration => Ok(Some(&data.state.own()?.config)),
            Self::Came => Ok(data.state.own()?.call.came.as_ref().map(|came| &*came.body)),
            Self::Empty => Ok(None),
        }
    }
}

pub(super) fn get(mut caller: Cx<'_>, buffer: u32, start: u32, most: u32, at: u32, length_at: u32) -> Answer {
    let Some(buffer) = Buffer::of(buffer) else { return Ok(Status::BadArgument.into()) };
    let Some(data) = buffer.read(caller.data_mut(), "proxy_get_buffer_bytes")? else {
        return Ok(Status::NotFound.into());
    };
    let start = (start as usize).min(data.len());
    let end = start.saturating_add(most as usize).min(data.len());
    let part = data.get(start..end).unwrap_or_default().to_vec();
    give(&mut caller, &part, at, length_at)
}

pub(super) fn status(mut caller: Cx<'_>, buffer: u32, length_at: u32, flags_at: u32) -> Answer {
    let Some(buffer) = Buffer::of(buffer) else { return Ok(Status::BadArgument.into()) };
    let Some(length) = buffer.read(caller.data_mut(), "proxy_get_buffer_status")?.map(<[u8]>::len) else {
        return Ok(Status::NotFound.into());
    };
    put(&mut caller, length_at, &u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes())?;
    put(&mut caller, flags_at, &[0; 4])?;
    Ok(Status::Ok.into())
}

/// Puts bytes in place of `length` bytes from `start` on; both are cut to what is there.
pub(super) fn set(mut caller: Cx<'_>, buffer: u32, start: u32, length: u32, at: u32, new_length: u32) -> Answer {
    let Some(Buffer::Body(of)) = Buffer::of(buffer) else { return Ok(Status::BadArgument.into()) };
    let (memory, data) = enter(&mut caller)?;
    data.guest.needs("proxy_set_buffer_bytes", Capability::Body)?;
    let new = bytes(memory, at, new_length)?;
    let call = &mut data.state.own()?.call;
    let Some((_, body)) = call.body.as_mut().filter(|(hook, _)| *hook == of) else {
        return Ok(Status::NotFound.into());
    };
    let start = (start as usize).min(body.len());
    let end = start.saturating_add(length as usize).min(body.len());
    if (body.len() - (end - start)).saturating_add(new.len()) > TRANSFER_BYTES {
        return Err(HostError::bad_value(format!("the guest made a body longer than {TRANSFER_BYTES} bytes")).into());
    }
    body.splice(start..end, new.iter().copied());
    call.changed = true;
    Ok(Status::Ok.into())
}
