//! Interests that the gateway can meet.

use crate::bounds::{BODY_BYTES, BODY_PIECE_BYTES, INTEREST_ENTRIES};
use crate::error::{Error, Result};
use crate::interest::{BodyMode, Interest};

/// Refuses what the gateway refuses, in its words.
pub(super) fn check(interest: &Interest) -> Result<()> {
    size("request-body", interest.request_body)?;
    size("response-body", interest.response_body)?;
    if interest.methods.len() > INTEREST_ENTRIES || interest.path_prefixes.len() > INTEREST_ENTRIES {
        return Err(Error::new(format!("its interest lists more than {INTEREST_ENTRIES} methods or path prefixes")));
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if let Some(method) = interest.methods.iter().find(|method| method.is_empty() || !method.bytes().all(token)) {
        return Err(Error::new(format!("its interest lists `{method}`, which is no method")));
    }
    if let Some(prefix) = interest.path_prefixes.iter().find(|prefix| !prefix.starts_with('/')) {
        return Err(Error::new(format!("its interest lists the path `{prefix}`, which does not begin with `/`")));
    }
    Ok(())
}

fn size(name: &str, mode: Option<BodyMode>) -> Result<()> {
    let (bytes, least) = match mode {
        None => return Ok(()),
        Some(BodyMode::Stream(bytes)) => (bytes, BODY_PIECE_BYTES),
        Some(BodyMode::Buffer(bytes)) => (bytes, 1),
    };
    if (least..=BODY_BYTES).contains(&bytes) {
        return Ok(());
    }
    let range = format!("{least} to {BODY_BYTES} can be had");
    Err(Error::new(format!("its interest asks for {bytes} bytes of `{name}` at once: {range}")))
}
