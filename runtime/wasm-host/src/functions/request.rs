//! `read-request`, `conn`, `rewrite`, and the request's header fields.

use http::Version;
use http::uri::{Authority, PathAndQuery};
use tidegate_engine::exchange::{Exchange, Tls};
use tidegate_engine::normalise;
use tidegate_engine::protocol;
use tidegate_engine::target::Target;

use super::headers::{self, Fields};
use crate::base::host_error::HostError;
use crate::base::log::shown;
use crate::functions::define::{Define, Defined, Text};
use crate::guest::fields::Head;
use crate::wit;

pub(super) const HEADERS: Fields = Fields {
    get: "read-request.get",
    get_all: "read-request.get-all",
    all: "read-request.all",
    set: "write-request-headers.set",
    add: "write-request-headers.add",
    remove: "write-request-headers.remove",
    of: |guest, function| Ok(&guest.exchange(function)?.request.headers),
    of_mut: |guest, function, name| guest.request_mut(function, name.as_str()).map(Head::of_request),
};

pub(super) fn read(functions: &mut impl Define) -> Defined {
    headers::read(functions, &HEADERS)?;
    text(functions, "method", "read-request.method", |exchange| exchange.request.method.as_str().to_owned())?;
    text(functions, "authority", "read-request.authority", |exchange| exchange.request.authority.as_str().to_owned())?;
    text(functions, "path", "read-request.path", |exchange| exchange.request.target.path().to_owned())?;
    fixed(functions, "scheme", "read-request.scheme", |exchange| exchange.connection.scheme())?;
    fixed(functions, "version", "read-request.version", |exchange| version(exchange.request.version))?;
    functions.answer::<(), _>("query", |guest, ()| {
        let exchange = guest.exchange("read-request.query")?;
        Ok(exchange.request.target.query().map(str::to_owned))
    })
}

pub(super) fn conn(functions: &mut impl Define) -> Defined {
    text(functions, "peer", "conn.peer", |exchange| exchange.connection.peer.to_string())?;
    text(functions, "client-ip", "conn.client-ip", |exchange| exchange.client_ip.to_string())?;
    text(functions, "listener", "conn.listener", |exchange| exchange.connection.listener.to_string())?;
    fixed(functions, "protocol", "conn.protocol", |exchange| protocol::word(exchange.request.version))?;
    functions.answer::<(), _>("tls", |guest, ()| {
        let info = |tls: &Tls| wit::TlsInfo {
            sni: tls.sni.clone(),
            version: tls.version.to_owned(),
            cipher: tls.cipher.clone(),
        };
        Ok(guest.exchange("conn.tls")?.connection.tls.as_ref().map(info))
    })
}

pub(super) fn rewrite(functions: &mut impl Define) -> Defined {
    functions.scalar::<(Text,), _>("set-path", |guest, (path,)| {
        let request = guest.request_mut("rewrite.set-path", "path")?;
        request.target = target(&request.target, path, request.target.query())?;
        Ok(())
    })?;
    functions.scalar::<(Option<Text>,), _>("set-query", |guest, (query,)| {
        let request = guest.request_mut("rewrite.set-query", "query")?;
        request.target = target(&request.target, request.target.path(), query)?;
        Ok(())
    })?;
    functions.scalar::<(Text,), _>("set-authority", |guest, (authority,)| {
        let request = guest.request_mut("rewrite.set-authority", "authority")?;
        request.set_authority(self::authority(authority)?);
        Ok(())
    })
}

/// An authority, checked and normalised as a client's is.
pub(crate) fn authority(text: &str) -> Result<Authority, HostError> {
    normalise::authority(text.as_bytes())
        .map_err(|error| HostError::bad_value(format!("`{}` is no authority: {error}", shown(text))))
}

/// Path and query, checked and normalised as if a client had sent them: a guest's `..` climbs no higher than a
/// client's does.
pub(crate) fn target(before: &Target, path: &str, query: Option<&str>) -> Result<Target, HostError> {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        let message = format!("`{}` is no path: it must begin with `/` and hold no `?` and no `#`", shown(path));
        return Err(HostError::bad_value(message));
    }
    if query.is_some_and(|query| query.contains('#')) {
        return Err(HostError::bad_value("a query holds no `#`"));
    }
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let raw = PathAndQuery::try_from(text)
        .map_err(|_| HostError::bad_value(format!("`{}` holds characters that a target cannot hold", shown(path))))?;
    before.replaced(&raw).map_err(|error| HostError::bad_value(format!("`{}` is no path: {error}", shown(path))))
}

/// The number of a version of HTTP.
const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

fn text(
    functions: &mut impl Define,
    name: &'static str,
    function: &'static str,
    of: fn(&Exchange) -> String,
) -> Defined {
    functions.answer::<(), _>(name, move |guest, ()| Ok(of(guest.exchange(function)?)))
}

fn fixed(
    functions: &mut impl Define,
    name: &'static str,
    function: &'static str,
    of: fn(&Exchange) -> &'static str,
) -> Defined {
    functions.answer::<(), _>(name, move |guest, ()| Ok(of(guest.exchange(function)?)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_guests_path_is_held_to_what_a_clients_is() {
        let before: Target = "/a?b".parse().unwrap();
        let made = |path: &str, query: Option<&str>| {
            target(&before, path, query).map(|target| target.as_str().to_owned()).map_err(|error| error.0.message)
        };
        assert_eq!(made("/x/../y", Some("z=1")), Ok("/y?z=1".to_owned()));
        let above = "`/../y` is no path: the path goes above its root with `..`";
        assert_eq!(made("/../y", None), Err(above.to_owned()));
        for path in ["", "y", "/y?z", "/y#z", "*"] {
            let message = format!("`{path}` is no path: it must begin with `/` and hold no `?` and no `#`");
            assert_eq!(made(path, None), Err(message), "{path}");
        }
        assert_eq!(made("/y", Some("a#b")), Err("a query holds no `#`".to_owned()));
        assert_eq!(made("/y z", None), Err("`/y z` holds characters that a target cannot hold".to_owned()));
    }

    #[test]
    fn an_authority_is_normalised_or_refused() {
        assert_eq!(authority("Shop.Example").unwrap().as_str(), "shop.example");
        for bad in ["", "a b", "user@shop.example", "shop.example:99999"] {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }
}
