//! Why a handshake of QUIC came to nothing, in the kinds of TLS over TCP.

use quinn::ConnectionError;

use crate::tls::handshake::RefusedKind;

/// What QUIC makes of an alert of TLS: its number, and this (RFC 9001, 4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// Alerts of a server that has nothing in common with the client (RFC 8446, 6.2; RFC 7301, 3.2): `handshake_failure`,
/// `protocol_version`, `insufficient_security`, `missing_extension`, `no_application_protocol`.
const INCOMPATIBLE: [u64; 5] = [40, 70, 71, 109, 120];

/// The kind of a failed handshake.
pub fn kind(error: &ConnectionError) -> RefusedKind {
    match error {
        ConnectionError::TimedOut => RefusedKind::Timeout,
        ConnectionError::VersionMismatch => RefusedKind::Incompatible,
        ConnectionError::TransportError(error) => of_code(u64::from(error.code)),
        ConnectionError::ConnectionClosed(close) if is_alert(u64::from(close.error_code)) => RefusedKind::ByClient,
        _ => RefusedKind::Left,
    }
}

/// What we refused the client for.
fn of_code(code: u64) -> RefusedKind {
    let alert = code.wrapping_sub(CRYPTO_ERROR);
    if INCOMPATIBLE.contains(&alert) { RefusedKind::Incompatible } else { RefusedKind::Malformed }
}

fn is_alert(code: u64) -> bool {
    (CRYPTO_ERROR..CRYPTO_ERROR + 0x100).contains(&code)
}

#[cfg(test)]
mod tests {
    use quinn::TransportErrorCode;

    use super::*;

    #[test]
    fn what_went_wrong_has_the_kind_that_it_has_over_tcp() {
        for (error, expected) in [
            (ConnectionError::TimedOut, RefusedKind::Timeout),
            (ConnectionError::VersionMismatch, RefusedKind::Incompatible),
            (ConnectionError::Reset, RefusedKind::Left),
            (ConnectionError::LocallyClosed, RefusedKind::Left),
        ] {
            assert_eq!(kind(&error), expected, "{error:?}");
        }
        for (code, expected) in [
            (TransportErrorCode::crypto(120), RefusedKind::Incompatible),
            (TransportErrorCode::crypto(10), RefusedKind::Malformed),
            (TransportErrorCode::PROTOCOL_VIOLATION, RefusedKind::Malformed),
        ] {
            assert_eq!(of_code(u64::from(code)), expected, "{code}");
        }
        assert!(is_alert(u64::from(TransportErrorCode::crypto(48))) && !is_alert(0xff) && !is_alert(0x200));
    }
}
