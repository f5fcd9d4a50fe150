//! `read-request`, `conn`, `rewrite`, and the request's header fields.

use http::Version;
use http::uri::PathAndQuery;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::normalise;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, WasmStr};

use super::headers::{self, Fields, not_text};
use crate::abi;
use crate::fault::Stop;
use crate::fields::shown;
use crate::guest::Guest;

pub(super) const HEADERS: Fields = Fields {
    get: "read-request.get",
    get_all: "read-request.get-all",
    all: "read-request.all",
    set: "write-request-headers.set",
    add: "write-request-headers.add",
    remove: "write-request-headers.remove",
    of: |guest, function| Ok(&guest.exchange(function)?.request.headers),
    of_mut: |guest, function, name| Ok(&mut guest.request_mut(function, name.as_str())?.headers),
};

pub(super) fn read(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    headers::read(linker, &HEADERS)?;
    text(linker, "method", "read-request.method", |exchange| exchange.request.method.as_str().to_owned())?;
    text(linker, "authority", "read-request.authority", |exchange| exchange.request.authority.as_str().to_owned())?;
    text(linker, "path", "read-request.path", |exchange| exchange.request.target.path().to_owned())?;
    fixed(linker, "scheme", "read-request.scheme", |exchange| exchange.connection.scheme())?;
    fixed(linker, "version", "read-request.version", |exchange| version(exchange.request.version).0)?;
    linker.func_wrap("query", |store: StoreContextMut<'_, Guest>, (): ()| {
        let exchange = store.data().exchange("read-request.query")?;
        Ok((exchange.request.target.query().map(str::to_owned),))
    })
}

pub(super) fn conn(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    text(linker, "peer", "conn.peer", |exchange| exchange.connection.peer.to_string())?;
    text(linker, "client-ip", "conn.client-ip", |exchange| exchange.client_ip.to_string())?;
    text(linker, "listener", "conn.listener", |exchange| exchange.connection.listener.to_string())?;
    fixed(linker, "protocol", "conn.protocol", |exchange| version(exchange.request.version).1)?;
    linker.func_wrap("tls", |store: StoreContextMut<'_, Guest>, (): ()| {
        let exchange = store.data().exchange("conn.tls")?;
        let info = |tls: &tidegate_engine::exchange::Tls| abi::TlsInfo {
            sni: tls.sni.clone(),
            version: tls.version.to_owned(),
            cipher: tls.cipher.clone(),
        };
        Ok((exchange.connection.tls.as_ref().map(info),))
    })
}

pub(super) fn rewrite(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("set-path", |mut store: StoreContextMut<'_, Guest>, (path,): (WasmStr,)| {
        let path = path.to_str(&store).map_err(|_| not_text("rewrite.set-path"))?.into_owned();
        let request = store.data_mut().request_mut("rewrite.set-path", "path")?;
        request.target = target(&path, request.target.query())?;
        Ok(())
    })?;
    linker.func_wrap("set-query", |mut store: StoreContextMut<'_, Guest>, (query,): (Option<WasmStr>,)| {
        let query = match &query {
            Some(query) => Some(query.to_str(&store).map_err(|_| not_text("rewrite.set-query"))?.into_owned()),
            None => None,
        };
        let request = store.data_mut().request_mut("rewrite.set-query", "query")?;
        request.target = target(request.target.path(), query.as_deref())?;
        Ok(())
    })?;
    linker.func_wrap("set-authority", |mut store: StoreContextMut<'_, Guest>, (authority,): (WasmStr,)| {
        let authority = authority.to_str(&store).map_err(|_| not_text("rewrite.set-authority"))?.into_owned();
        let request = store.data_mut().request_mut("rewrite.set-authority", "authority")?;
        request.authority = normalise::authority(authority.as_bytes())
            .map_err(|error| Stop::bad_value(format!("`{}` is no authority: {error}", shown(&authority))))?;
        Ok(())
    })
}

/// Path and query, checked and normalised as if a client had sent them: a guest's `..` climbs no higher than a
/// client's does.
fn target(path: &str, query: Option<&str>) -> Result<PathAndQuery, Stop> {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        let message = format!("`{}` is no path: it must begin with `/` and hold no `?` and no `#`", shown(path));
        return Err(Stop::bad_value(message));
    }
    if query.is_some_and(|query| query.contains('#')) {
        return Err(Stop::bad_value("a query holds no `#`"));
    }
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let raw = PathAndQuery::try_from(text)
        .map_err(|_| Stop::bad_value(format!("`{}` holds characters that a target cannot hold", shown(path))))?;
    normalise::target(&raw).map_err(|error| Stop::bad_value(format!("`{}` is no path: {error}", shown(path))))
}

/// The version, and the protocol that speaks it.
fn version(version: Version) -> (&'static str, &'static str) {
    match version {
        Version::HTTP_10 => ("1.0", "h1"),
        Version::HTTP_2 => ("2", "h2"),
        Version::HTTP_3 => ("3", "h3"),
        _ => ("1.1", "h1"),
    }
}

fn text(
    linker: &mut LinkerInstance<'_, Guest>,
    name: &str,
    function: &'static str,
    of: fn(&Exchange) -> String,
) -> wasmtime::Result<()> {
    linker
        .func_wrap(name, move |store: StoreContextMut<'_, Guest>, (): ()| Ok((of(store.data().exchange(function)?),)))
}

fn fixed(
    linker: &mut LinkerInstance<'_, Guest>,
    name: &str,
    function: &'static str,
    of: fn(&Exchange) -> &'static str,
) -> wasmtime::Result<()> {
    linker
        .func_wrap(name, move |store: StoreContextMut<'_, Guest>, (): ()| Ok((of(store.data().exchange(function)?),)))
}
