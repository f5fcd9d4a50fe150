//! `read-request`, `conn`, `write-request-headers` and `rewrite`.

use super::current::on;
use super::exchange::{Hook, Request};
use super::fields::{self, Change, Headers};
use super::permissions::needs;
use super::stop::{Fault, shown, stop};
use super::target;
use crate::tls::Tls;

const READ_REQUEST: (&str, &str) = ("read-request", "read-request");
const CONN: (&str, &str) = ("conn", "read-request");

pub(crate) fn method() -> String {
    on(READ_REQUEST, "method", |x| x.request.method.clone())
}

pub(crate) fn scheme() -> String {
    on(READ_REQUEST, "scheme", |x| if x.connection.tls.is_some() { "https".to_owned() } else { "http".to_owned() })
}

pub(crate) fn authority() -> String {
    on(READ_REQUEST, "authority", |x| x.request.authority.clone())
}

pub(crate) fn path() -> String {
    on(READ_REQUEST, "path", |x| x.request.path.clone())
}

pub(crate) fn query() -> Option<String> {
    on(READ_REQUEST, "query", |x| x.request.query.clone())
}

pub(crate) fn version() -> String {
    on(READ_REQUEST, "version", |x| x.request.version.clone())
}

pub(crate) fn request_get(name: &str) -> Option<Vec<u8>> {
    on(READ_REQUEST, "get", |x| fields::get(&x.request.headers, name))
}

pub(crate) fn request_get_all(name: &str) -> Vec<Vec<u8>> {
    on(READ_REQUEST, "get-all", |x| fields::get_all(&x.request.headers, name))
}

pub(crate) fn request_all() -> Headers {
    on(READ_REQUEST, "all", |x| x.request.headers.clone())
}

pub(crate) fn peer() -> String {
    on(CONN, "peer", |x| x.connection.peer.clone())
}

pub(crate) fn client_ip() -> String {
    on(CONN, "client-ip", |x| x.connection.client_ip.clone())
}

pub(crate) fn listener() -> String {
    on(CONN, "listener", |x| x.connection.listener.clone())
}

pub(crate) fn protocol() -> String {
    on(CONN, "protocol", |x| x.connection.protocol.clone())
}

pub(crate) fn tls() -> Option<Tls> {
    on(CONN, "tls", |x| x.connection.tls.clone())
}

const WRITE_REQUEST: (&str, &str) = ("write-request-headers", "write-request-headers");
const REWRITE: (&str, &str) = ("rewrite", "rewrite");

pub(crate) fn request_set(name: &str, value: &[u8]) {
    needs(WRITE_REQUEST.0, WRITE_REQUEST.1);
    change_request("set", Change::set(name, value));
}

pub(crate) fn request_add(name: &str, value: &[u8]) {
    needs(WRITE_REQUEST.0, WRITE_REQUEST.1);
    change_request("add", Change::add(name, value));
}

pub(crate) fn request_remove(name: &str) {
    needs(WRITE_REQUEST.0, WRITE_REQUEST.1);
    change_request("remove", Change::remove(name));
}

fn change_request(function: &str, change: Change) {
    let name = change.name().to_owned();
    edit_request(WRITE_REQUEST, function, &name, |request| change.apply(&mut request.headers));
}

pub(crate) fn set_path(path: &str) {
    edit_request(REWRITE, "set-path", "path", |request| {
        request.path = target::target(path, request.query.as_deref());
    });
}

pub(crate) fn set_authority(authority: &str) {
    edit_request(REWRITE, "set-authority", "authority", |request| {
        request.authority = target::authority(authority)
            .unwrap_or_else(|why| stop(Fault::BadValue, format!("`{}` is no authority: {why}", shown(authority))));
    });
}

pub(crate) fn set_query(query: Option<&str>) {
    edit_request(REWRITE, "set-query", "query", |request| {
        target::target(&request.path, query);
        request.query = query.map(str::to_owned);
    });
}

/// The request, for `function` to change `what`: in the request hook, and with a whole body, nothing has left yet.
fn edit_request(import: (&str, &str), function: &str, what: &str, work: impl FnOnce(&mut Request)) {
    on(import, function, |x| match x.hook {
        Hook::Request => work(&mut x.request),
        Hook::RequestBody if !x.streams => work(&mut x.request),
        hook => {
            let (interface, hook) = (import.0, hook.name());
            let where_ = format!("`{interface}.{function}` of `{what}` in a {hook} hook");
            stop(Fault::NotAllowed, format!("{where_}: the request has left, and is read-only"))
        }
    });
}
