//! Statuses, and what each says of the message that it stands in.

use http::StatusCode;

/// Whether a response of this final status has no body, whatever its head says (RFC 9110, 6.4.1): 204 and 304. The head of a 304 speaks
/// of a body that the client has.
pub const fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_final_statuses_have_no_body() {
        let bodiless: Vec<u16> = (200..600).filter(|code| StatusCode::from_u16(*code).is_ok_and(is_bodiless)).collect();
        assert_eq!(bodiless, [204, 304]);
    }
}
