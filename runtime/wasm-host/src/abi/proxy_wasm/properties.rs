//! Properties: what is known of a request beside its fields, by paths such as `source.address`.

use http::Version;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::Capability;

use super::status::{Answer, Cx, Status, give};
use crate::abi::foreign::head;
use crate::abi::foreign::state::{bytes, enter};
use crate::base::host_error::HostError;
use crate::base::limits::PROPERTY_BYTES;
use crate::functions::define::memory::Reader;
use crate::guest::Guest;

/// The parts of a path, joined by dots.
fn path(bytes: &[u8]) -> Result<String, HostError> {
    if bytes.len() > PROPERTY_BYTES {
        return Err(HostError::bad_value(format!("the path of a property is longer than {PROPERTY_BYTES} bytes")));
    }
    let text = head::text(bytes)?.trim_end_matches('\0');
    Ok(text.replace('\0', "."))
}

pub(super) fn get(mut caller: Cx<'_>, at: u32, length: u32, value_at: u32, length_at: u32) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    let path = path(bytes(memory, at, length)?)?;
    match value(&data.guest, &path)? {
        Some(value) => give(&mut caller, &value, value_at, length_at),
        None => Ok(Status::NotFound.into()),
    }
}

/// Sets a variable of the request, which rules, later hooks and the access log see.
pub(super) fn set(mut caller: Cx<'_>, at: u32, length: u32, value: u32, value_length: u32) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    let mut reader = Reader::new(memory);
    let path = path(reader.slice(at, length)?)?;
    if path == "clear_route_cache" {
        // Rules are chosen before hooks run; there is no cache of the choice.
        return Ok(Status::Ok.into());
    }
    data.guest.needs("proxy_set_property", Capability::Vars)?;
    let Ok(value) = std::str::from_utf8(reader.slice(value, value_length)?) else {
        return Ok(Status::BadArgument.into());
    };
    let Ok(exchange) = data.guest.exchange_mut("proxy_set_property") else { return Ok(Status::NotFound.into()) };
    Ok(match exchange.vars.set(&path, value) {
        Ok(()) => Status::Ok,
        Err(_) => Status::BadArgument,
    }
    .into())
}

fn value(guest: &Guest, path: &str) -> Result<Option<Vec<u8>>, HostError> {
    let text = |text: &str| Ok(Some(text.as_bytes().to_vec()));
    match path {
        "plugin_name" | "plugin_root_id" | "plugin_vm_id" => return text(&guest.settings.name),
        "listener_direction" => return Ok(Some(number(1))),
        _ => {}
    }
    let Ok(exchange) = guest.exchange(path) else { return Ok(None) };
    if let Some(value) = of_request(exchange, path) {
        guest.needs("proxy_get_property", Capability::ReadRequest)?;
        return Ok(Some(value));
    }
    if path.starts_with("response.") {
        guest.needs("proxy_get_property", Capability::ReadResponse)?;
        return Ok(of_response(guest, path));
    }
    if guest.allows(Capability::Vars) { Ok(exchange.vars.get(path).map(|value| value.into())) } else { Ok(None) }
}

fn of_request(exchange: &Exchange, path: &str) -> Option<Vec<u8>> {
    let request = &exchange.request;
    let connection = &exchange.connection;
    let tls = connection.tls.as_ref();
    let cert = || tls?.client_cert.as_ref();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let header = |name: &str| Some(request.headers.get(name)?.as_bytes().to_vec());
    match path {
        "source.address" => text(&head::source(exchange)),
        "source.port" => Some(number(connection.peer.port().into())),
        "destination.address" => text(&connection.local.to_string()),
        "destination.port" => Some(number(connection.local.port().into())),
        "request.path" => text(request.target.as_str()),
        "request.url_path" => text(request.target.path()),
        "request.query" => text(request.target.query().unwrap_or_default()),
        "request.host" => text(request.authority.as_str()),
        "request.method" => text(request.method.as_str()),
        "request.scheme" => text(connection.scheme()),
        "request.protocol" => text(protocol(request.version)),
        "request.id" => text(&format!("{:032x}", exchange.request_id)),
        "request.referer" => header("referer"),
        "request.useragent" => header("user-agent"),
        "request.size" => Some(number(head::length(&request.headers)?.cast_signed())),
        "connection.mtls" => Some(vec![cert().is_some().into()]),
        "connection.requested_server_name" => text(tls?.sni.as_ref()?),
        "connection.tls_version" => text(&tls?.version.to_uppercase().replace("TLS", "TLSv")),
        "connection.subject_peer_certificate" => text(&cert()?.subject),
        "route_name" | "xds.route_name" => text(exchange.rule.as_ref()?),
        "cluster_name" | "xds.cluster_name" => text(exchange.group.as_ref()?),
        "upstream.address" => text(exchange.server.as_ref()?),
        "listener_name" | "xds.listener_name" => text(&connection.listener),
        _ => header(path.strip_prefix("request.headers.")?),
    }
}

fn of_response(guest: &Guest, path: &str) -> Option<Vec<u8>> {
    let response = guest.response(path).ok()?;
    match path {
        "response.code" => Some(number(response.status.as_u16().into())),
        "response.size" => Some(number(head::length(&response.headers)?.cast_signed())),
        _ => Some(response.headers.get(path.strip_prefix("response.headers.")?)?.as_bytes().to_vec()),
    }
}

fn number(number: i64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_engine::hook::{Hook, HookFaultKind};

    use super::*;
    use crate::testing::{guest, guest_in};

    #[test]
    fn properties_are_what_is_known_of_the_exchange() {
        let mut guest = guest_in(Hook::Response);
        guest.exchange_mut("f").unwrap().vars.set("tenant", "a").unwrap();
        for (path, expected) in [
            ("plugin_name", Some(&b"test"[..])),
            ("source.address", Some(b"203.0.113.9:0")),
            ("source.port", Some(&50123_i64.to_le_bytes())),
            ("request.path", Some(b"/a?b")),
            ("request.url_path", Some(b"/a")),
            ("request.query", Some(b"b")),
            ("request.host", Some(b"shop.example")),
            ("request.protocol", Some(b"HTTP/1.1")),
            ("request.headers.x-a", Some(b"1")),
            ("request.headers.x-b", None),
            ("request.id", Some(b"00000000000000000000000000000007")),
            ("connection.mtls", Some(&[0])),
            ("connection.tls_version", None),
            ("listener_name", Some(b"plain")),
            ("response.code", Some(&200_i64.to_le_bytes())),
            ("response.headers.server", Some(b"backend")),
            ("tenant", Some(b"a")),
            ("of.the.future", None),
        ] {
            assert_eq!(value(&guest, path).unwrap().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_property_needs_the_word_of_what_it_tells() {
        let mut guest = guest(Vec::new());
        assert_eq!(value(&guest, "request.path").unwrap(), None, "there is no request");
        guest.begin(Some((Hook::Response, crate::testing::exchange(1))), std::time::Duration::from_secs(1));
        for path in ["request.path", "response.code"] {
            assert_eq!(value(&guest, path).unwrap_err().0.kind, HookFaultKind::NotAllowed, "{path}");
        }
        assert_eq!(value(&guest, "tenant").unwrap(), None);
    }

    #[test]
    fn a_path_is_its_parts_and_bounded() {
        assert_eq!(path(b"source\0address\0").unwrap(), "source.address");
        assert!(path(&[b'a'; PROPERTY_BYTES]).is_ok() && path(&[b'a'; PROPERTY_BYTES + 1]).is_err());
        assert!(path(b"\xff").is_err());
    }
}
