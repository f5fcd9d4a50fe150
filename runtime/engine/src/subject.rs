//! Subjects: what a test looks at in an exchange.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderName, header};
use tidegate_dsl::plan::{self, ClientCertField};

use crate::bounds::MAX_VALUES;
use crate::build_error::Invalid;
use crate::distinguished_name;
use crate::exchange::{ClientCert, Exchange};
use crate::fields;
use crate::header_name::header_name;
use crate::protocol;
use crate::stack_text;

/// The part of an exchange that a test looks at.
#[derive(Debug)]
pub(crate) enum Subject {
    Host,
    Path,
    Method,
    Scheme,
    /// `header "host"`: host and port, which are no field of the header map.
    Authority,
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
    ClientIp,
    PeerIp,
    Protocol,
    Upgrade,
    Sni,
    TlsVersion,
    TlsGroup,
    ClientCert(ClientCertField),
    ClientCertAttribute(ClientCertField, Box<str>),
    Var(Box<str>),
    Status,
    ResponseHeader(HeaderName),
}

impl Subject {
    pub(crate) fn new(subject: &plan::Subject) -> Result<Self, Invalid> {
        Ok(match subject {
            plan::Subject::Host => Self::Host,
            plan::Subject::Path => Self::Path,
            plan::Subject::Method => Self::Method,
            plan::Subject::Scheme => Self::Scheme,
            plan::Subject::Header(name) => match header_name(name)? {
                header::HOST => Self::Authority,
                name => Self::Header(name),
            },
            plan::Subject::Query(name) => Self::Query(name.as_str().into()),
            plan::Subject::Cookie(name) => Self::Cookie(name.as_str().into()),
            plan::Subject::ClientIp => Self::ClientIp,
            plan::Subject::PeerIp => Self::PeerIp,
            plan::Subject::Protocol => Self::Protocol,
            plan::Subject::Upgrade => Self::Upgrade,
            plan::Subject::Sni => Self::Sni,
            plan::Subject::TlsVersion => Self::TlsVersion,
            plan::Subject::TlsGroup => Self::TlsGroup,
            plan::Subject::ClientCert(field) => Self::ClientCert(*field),
            plan::Subject::ClientCertAttribute(field, name) => Self::ClientCertAttribute(*field, name.as_str().into()),
            plan::Subject::Var(name) => Self::Var(name.as_str().into()),
            plan::Subject::Status => Self::Status,
            plan::Subject::ResponseHeader(name) => Self::ResponseHeader(header_name(name)?),
        })
    }

    /// Whether one of the subject's values meets `meets`; values after that are not looked at.
    pub(crate) fn any(&self, exchange: &Exchange, mut meets: impl FnMut(&str) -> bool) -> bool {
        let request = &exchange.request;
        let response = exchange.response.as_ref();
        let tls = exchange.connection.tls.as_ref();
        match self {
            Self::Host => !request.unnamed && meets(request.host()),
            Self::Path => meets(request.target.tested_path()),
            Self::Method => meets(request.method.as_str()),
            Self::Scheme => meets(exchange.connection.scheme()),
            Self::Authority => !request.unnamed && meets(request.authority.as_str()),
            Self::Header(name) => fields::header(&request.headers, name).any(|value: Cow<'_, str>| meets(&value)),
            Self::Query(name) => {
                let parsed = &exchange.parsed;
                parsed.query(&request.target, name, at_most(MAX_VALUES, exchange, meets))
            }
            Self::Cookie(name) => exchange.parsed.cookie(&request.headers, name, at_most(MAX_VALUES, exchange, meets)),
            Self::ClientIp => meets(stack_text::address(exchange.client_ip).as_str()),
            Self::PeerIp => meets(stack_text::address(exchange.connection.peer.ip()).as_str()),
            Self::Protocol => meets(protocol::word(request.version)),
            Self::Upgrade => request.websocket && meets("websocket"),
            Self::Sni => tls.and_then(|tls| tls.sni.as_deref()).is_some_and(meets),
            Self::TlsVersion => tls.is_some_and(|tls| meets(tls.version)),
            Self::TlsGroup => tls.and_then(|tls| tls.group).is_some_and(meets),
            Self::ClientCert(field) => {
                tls.and_then(|tls| tls.client_cert.as_ref()).is_some_and(|cert| meets(client_cert_field(cert, *field)))
            }
            Self::ClientCertAttribute(field, name) => {
                tls.and_then(|tls| tls.client_cert.as_ref()).is_some_and(|cert| {
                    distinguished_name::values(client_cert_field(cert, *field), name).any(|value| meets(&value))
                })
            }
            Self::Var(name) => exchange.vars.get(name).is_some_and(meets),
            Self::Status => response.is_some_and(|response| meets(response.status.as_str())),
            Self::ResponseHeader(name) => {
                response.is_some_and(|response| fields::header(&response.headers, name).any(|value| meets(&value)))
            }
        }
    }

    /// The cost of getting hold of the subject's values, in comparisons of short texts.
    pub(crate) const fn cost(&self) -> u32 {
        match self {
            Self::Host | Self::Path | Self::Method | Self::Scheme | Self::Authority => 1,
            Self::Protocol | Self::Upgrade | Self::Sni | Self::TlsVersion | Self::TlsGroup => 1,
            Self::ClientIp | Self::PeerIp | Self::Status | Self::ClientCert(_) => 1,
            // A hash, and a search in a short table.
            Self::Header(_) | Self::ResponseHeader(_) | Self::Var(_) => 3,
            // A text is taken apart.
            Self::Query(_) | Self::Cookie(_) | Self::ClientCertAttribute(..) => 6,
        }
    }

    /// The address that it is, if it is one by its nature.
    pub(crate) fn address(&self, exchange: &Exchange) -> Option<IpAddr> {
        match self {
            Self::ClientIp => Some(exchange.client_ip),
            Self::PeerIp => Some(exchange.connection.peer.ip()),
            _ => None,
        }
    }
}

fn client_cert_field(cert: &ClientCert, field: ClientCertField) -> &str {
    match field {
        ClientCertField::Subject => &cert.subject,
        ClientCertField::Issuer => &cert.issuer,
        ClientCertField::Fingerprint => &cert.fingerprint,
    }
}

/// Looks at so many values with `meets`, and gives up if there are more.
fn at_most<'m>(
    most: usize,
    exchange: &'m Exchange,
    mut meets: impl FnMut(&str) -> bool + 'm,
) -> impl FnMut(&str) -> bool + 'm {
    let mut left = most;
    move |value| {
        match left.checked_sub(1) {
            Some(fewer) => left = fewer,
            None => exchange.parsed.give_up(),
        }
        !exchange.parsed.gave_up() && meets(value)
    }
}
