//! proxy-wasm: waits for a request's body before its head goes on, and changes a response's body as it passes.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Filter { seen: 0 }));
}}

struct Filter {
    /// Bytes of the response's body that were seen.
    seen: usize,
}

impl Context for Filter {}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _fields: usize, end: bool) -> Action {
        if end { Action::Continue } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        if body == b"forbidden" {
            self.send_http_response(422, vec![("content-type", "text/plain")], Some(b"not this\n"));
            return Action::Pause;
        }
        self.set_http_request_header("content-length", None);
        self.set_http_request_header("x-body-bytes", Some(&size.to_string()));
        let louder = String::from_utf8_lossy(&body).to_uppercase();
        self.set_http_request_body(0, size, louder.as_bytes());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _fields: usize, _end: bool) -> Action {
        self.set_http_response_header("content-length", None);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.seen += size;
        if end {
            let tail = format!(" [{} bytes]", self.seen);
            self.set_http_response_body(size, 0, tail.as_bytes());
        }
        Action::Continue
    }
}
