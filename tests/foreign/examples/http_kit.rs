//! http-wasm: one function of the ABI a request, as the ABI's compatibility kit asks for them. The header `x-case` says which, `x-name`
//! and `x-value` with what; what the guest saw is in the response's `x-saw`.

use http_wasm_guest::host::{Bytes, Request, Response, admin, feature};
use http_wasm_guest::{Guest, register};

struct Kit;

impl Guest for Kit {
    fn handle_request(&self, request: &Request, response: &Response) -> (bool, i32) {
        let given = |name: &[u8]| request.header.get(name).unwrap_or_default();
        let (name, value) = (given(b"x-name"), given(b"x-value"));
        let mut saw = None;
        match &given(b"x-case")[..] {
            b"version" => saw = Some(request.version()),
            b"method" => saw = Some(request.method()),
            b"uri" => saw = Some(request.uri()),
            b"values" => saw = Some(listed(&request.header.values(&name))),
            b"names" => saw = Some(listed(&request.header.names())),
            b"body" => {
                let body = request.body.read();
                let same = body.iter().all(|byte| *byte == b'a');
                saw = Some(Bytes::from(format!("{} {same}", body.len())));
            }
            b"set-method" => request.set_method(&value),
            b"set-uri" => request.set_uri(&value),
            b"set" => request.header.set(&name, &value),
            b"add" => request.header.add(&name, &value),
            b"remove" => request.header.remove(&name),
            _ => saw = Some(Bytes::from_static(b"no such case")),
        }
        response.header.set(b"x-handled", b"1");
        if let Some(saw) = &saw {
            response.header.set(b"x-saw", saw);
            response.body.write(saw);
        }
        (saw.is_none(), 0)
    }

    fn handle_response(&self, _context: i32, _request: &Request, _response: &Response, _is_error: bool) {}
}

fn listed(values: &[Bytes]) -> Bytes {
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    Bytes::from(values.join(","))
}

fn main() {
    admin::enable(feature::BufferRequest | feature::BufferResponse | feature::Trailers);
    register(Kit);
}
