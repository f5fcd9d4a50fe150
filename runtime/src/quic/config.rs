//! What a listener's words mean for QUIC.

use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{IdleTimeout, TransportConfig, VarInt};
use tidegate_base::limits;
use tidegate_dsl::plan::Listener;

use crate::tls::endpoint::Endpoint;

/// The transport's bounds for this listener.
pub fn transport(listener: &Listener) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(listener.limits.streams))
        .max_concurrent_uni_streams(VarInt::from_u32(limits::QUIC_CLIENT_STREAMS))
        .stream_receive_window(VarInt::from_u32(limits::QUIC_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(limits::QUIC_RECEIVE_WINDOW))
        .send_window(limits::QUIC_SEND_WINDOW)
        .max_idle_timeout(silence(listener))
        .datagram_receive_buffer_size(None);
    transport
}

/// The time for which not a single packet may come. A client that waits for a slow backend, or whose tunnel has nothing to say, sends
/// none, so that this is longer than all timeouts; those are counted above QUIC, by what the connection is doing. A client
/// that names less itself has to be heard within that (RFC 9000, 10.1).
fn silence(listener: &Listener) -> Option<IdleTimeout> {
    let Listener { idle_timeout, request_timeout, tunnel_timeout, .. } = listener;
    let longest = *idle_timeout.max(request_timeout).max(tunnel_timeout);
    IdleTimeout::try_from(longest + limits::QUIC_SILENCE_MARGIN).ok()
}

/// The TLS of a QUIC listener with this endpoint.
pub fn crypto(endpoint: &Endpoint) -> Option<Arc<QuicServerConfig>> {
    // Fails only without the suite that first packets are protected with, and QUIC listeners have all of TLS 1.3.
    QuicServerConfig::try_from(Arc::clone(&endpoint.config)).ok().map(Arc::new)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::{ANSWERS, plan, policy};

    #[test]
    fn silence_is_longer_than_whatever_is_counted_above() {
        for (words, longest) in [
            ("idle-timeout 60s; request-timeout 5s; tunnel-timeout 30s", 60),
            ("idle-timeout 5s; request-timeout 50s; tunnel-timeout 30s", 50),
            ("idle-timeout 5s; request-timeout 50s; tunnel-timeout 24h", 24 * 3600),
        ] {
            let wanted = IdleTimeout::try_from(Duration::from_secs(longest) + limits::QUIC_SILENCE_MARGIN).unwrap();
            assert_eq!(silence(&plan(&policy(words, ANSWERS)).listeners[0]), Some(wanted), "{words}");
        }
    }

    #[test]
    fn a_client_may_open_as_many_streams_as_the_policy_says_and_send_no_datagrams() {
        let transport = transport(&plan(&policy("limits { streams 7 }", ANSWERS)).listeners[0]);
        let said = format!("{transport:?}");
        assert!(said.contains("max_concurrent_bidi_streams: 7,"), "{said}");
        assert!(said.contains("datagram_receive_buffer_size: None,"), "{said}");
    }
}
