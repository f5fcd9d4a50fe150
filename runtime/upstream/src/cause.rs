//! What goes wrong between the gateway and a server, and the failure that it is: one table.

use std::io;

use h2::Reason;
use rustix::io::Errno;
use tidegate_base::failure::Failure;

/// What went wrong.
pub(crate) enum Cause<'e> {
    /// No socket, or none that is connected.
    Socket(&'e io::Error),
    /// No connection within `connect-timeout`.
    Late,
    /// The handshake of TLS failed.
    Tls,
    /// A connection that is open, and takes no request.
    Unusable,
    /// The exchange failed on a connection of HTTP/1.
    Http1(&'e hyper::Error),
    /// The exchange failed on a connection of HTTP/2.
    Http2(&'e h2::Error),
    /// The server closed the connection before the request was sent.
    Closed,
    /// The server sends without end, and no response.
    Flood,
}

impl Cause<'_> {
    /// The failure that it is, by whose fault.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Socket(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Failure::NoDescriptor,
                _ => Failure::ConnectFailed,
            },
            Self::Late => Failure::ConnectTimeout,
            Self::Tls => Failure::UpstreamTls,
            Self::Unusable => Failure::ConnectFailed,
            Self::Http1(error) if error.is_parse() => Failure::UpstreamInvalid,
            Self::Http1(error) if error.is_user() => Failure::ClientBody,
            Self::Http2(error) if error.is_library() && is_malformed(error.reason()) => Failure::UpstreamInvalid,
            Self::Http1(_) | Self::Http2(_) | Self::Closed => Failure::UpstreamClosed,
            Self::Flood => Failure::UpstreamInvalid,
        }
    }
}

/// Whether the library met what is no HTTP/2.
const fn is_malformed(reason: Option<Reason>) -> bool {
    matches!(reason, Some(Reason::PROTOCOL_ERROR | Reason::FRAME_SIZE_ERROR | Reason::COMPRESSION_ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_lacks_is_not_the_servers_fault() {
        for (errno, failure) in [
            (Errno::MFILE, Failure::NoDescriptor),
            (Errno::NFILE, Failure::NoDescriptor),
            (Errno::NOBUFS, Failure::NoDescriptor),
            (Errno::NOMEM, Failure::NoDescriptor),
            (Errno::CONNREFUSED, Failure::ConnectFailed),
            (Errno::HOSTUNREACH, Failure::ConnectFailed),
        ] {
            assert_eq!(Cause::Socket(&errno.into()).failure(), failure, "{errno:?}");
        }
        assert_eq!(Cause::Socket(&io::Error::other("no such host")).failure(), Failure::ConnectFailed);
    }

    #[test]
    fn a_reset_says_nothing_of_the_form_of_the_answer() {
        for reason in [Reason::PROTOCOL_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
            let error = h2::Error::from(reason);
            assert_eq!(
                Cause::Http2(&error).failure(),
                Failure::UpstreamClosed,
                "{reason:?}: nobody found it in what came"
            );
        }
    }
}
