//! http-wasm: sets fields, answers itself, and, if its configuration says so, waits for bodies and changes them.

use http_wasm_guest::host::{Request, Response, admin, feature};
use http_wasm_guest::{Guest, register};

struct Handler;

impl Guest for Handler {
    fn handle_request(&self, request: &Request, response: &Response) -> (bool, i32) {
        let uri = String::from_utf8_lossy(&request.uri()).into_owned();
        if uri.starts_with("/deny") {
            response.set_status(403);
            response.header.set(b"x-denied-by", b"handler");
            response.body.write(b"not here\n");
            return (false, 0);
        }
        if uri.starts_with("/first") {
            response.header.set(b"x-first", b"yes");
            response.body.write(b"first, ");
        }
        if uri.starts_with("/old") {
            request.set_uri(uri.replacen("/old", "/new", 1).as_bytes());
        }
        let facts = [request.method(), request.version(), request.source_addr()];
        let facts: Vec<_> = facts.iter().map(|fact| String::from_utf8_lossy(fact).into_owned()).collect();
        request.header.set(b"x-facts", facts.join(" ").as_bytes());
        request.header.remove(b"x-secret");
        if request.header.get(b"x-break").is_some() {
            request.header.set(b"x-a", b"b\r\nx-c: d");
        }
        if admin::config().starts_with(b"bodies") {
            let body = request.body.read();
            request.body.write(String::from_utf8_lossy(&body).to_uppercase().as_bytes());
        }
        (true, 7)
    }

    fn handle_response(&self, context: i32, _request: &Request, response: &Response, _is_error: bool) {
        let seen = format!("{context} {}", response.status());
        response.header.set(b"x-handled", seen.as_bytes());
        if admin::config().starts_with(b"bodies") {
            let body = response.body.read();
            response.body.write(&body);
            response.body.write(format!(" [{} bytes]", body.len()).as_bytes());
        }
    }
}

fn main() {
    if admin::config().starts_with(b"bodies") {
        admin::enable(feature::BufferRequest | feature::BufferResponse);
    }
    register(Handler);
}
