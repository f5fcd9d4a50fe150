//! `read-response` and `write-response-headers`.

use http::StatusCode;
use tidegate_engine::status::is_bodiless;

use super::headers::{self, Fields};
use crate::base::host_error::HostError;
use crate::functions::define::{Define, Defined};
use crate::guest::Guest;
use crate::guest::fields::Head;

const HEADERS: Fields = Fields {
    get: "read-response.get",
    get_all: "read-response.get-all",
    all: "read-response.all",
    set: "write-response-headers.set",
    add: "write-response-headers.add",
    remove: "write-response-headers.remove",
    of: |guest, function| Ok(&guest.response(function)?.headers),
    of_mut: |guest, function, _| guest.response_mut(function).map(Head::of_response),
};

pub(super) fn read(functions: &mut impl Define) -> Defined {
    headers::read(functions, &HEADERS)?;
    functions.scalar::<(), _>("status", |guest, ()| Ok(guest.response("read-response.status")?.status.as_u16()))
}

pub(super) fn write(functions: &mut impl Define) -> Defined {
    headers::write(functions, &HEADERS)?;
    functions.scalar::<(u16,), _>("set-status", |guest, (status,)| {
        set_status(guest, "write-response-headers.set-status", status)
    })
}

/// Sets the status, for `function`.
pub(crate) fn set_status(guest: &mut Guest, function: &str, status: u16) -> Result<(), HostError> {
    let response = guest.response_mut(function)?;
    let status = final_status(status)?;
    // To cross that line would break the framing (RFC 9112, 6.3).
    if is_bodiless(status) != is_bodiless(response.status) {
        let old = response.status.as_u16();
        let new = status.as_u16();
        let message = format!("the status cannot change from {old} to {new}: one has a body, the other has none");
        return Err(HostError::bad_value(message));
    }
    response.status = status;
    Ok(())
}

/// A status that a guest may give (RFC 9110, 15): a final one.
pub(crate) fn final_status(status: u16) -> Result<StatusCode, HostError> {
    StatusCode::from_u16(status)
        .ok()
        .filter(|_| (200..=599).contains(&status))
        .ok_or_else(|| HostError::bad_value(format!("{status} is no final status: a guest may give 200 to 599")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_engine::hook::{Hook, HookFaultKind};

    use super::*;
    use crate::testing::guest_in;

    #[test]
    fn a_status_is_a_final_one_and_keeps_the_framing() {
        let mut guest = guest_in(Hook::Response);
        for (status, refused) in
            [(200, None), (599, None), (199, Some(())), (600, Some(())), (204, Some(())), (304, Some(()))]
        {
            let set = set_status(&mut guest, "set-status", status);
            assert_eq!(
                set.map_err(|error| assert_eq!(error.0.kind, HookFaultKind::BadValue)).err(),
                refused,
                "{status}"
            );
        }
        assert_eq!(guest.response("f").unwrap().status.as_u16(), 599);
        let before = set_status(&mut guest_in(Hook::Request), "set-status", 200);
        assert_eq!(before.unwrap_err().0.kind, HookFaultKind::NotAllowed);
        assert!(final_status(101).is_err() && final_status(404).is_ok());
    }
}
