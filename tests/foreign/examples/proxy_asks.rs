//! proxy-wasm: asks another server who a client is, and goes on or refuses when it has answered.

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Asks));
}}

struct Asks;

impl Context for Asks {
    fn on_http_call_response(&mut self, _token: u32, fields: usize, size: usize, _trailers: usize) {
        if fields == 0 {
            self.send_http_response(503, vec![], Some(b"nobody answers\n"));
            return;
        }
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        let name = self.get_http_call_response_body(0, size).unwrap_or_default();
        if status == "200" {
            self.set_http_request_header("x-user", Some(String::from_utf8_lossy(&name).trim()));
            self.resume_http_request();
        } else {
            self.send_http_response(401, vec![("x-said", &status)], Some(b"who are you?\n"));
        }
    }
}

impl HttpContext for Asks {
    fn on_http_request_headers(&mut self, _fields: usize, _end: bool) -> Action {
        let token = self.get_http_request_header("authorization").unwrap_or_default();
        let headers = vec![(":method", "GET"), (":path", "/who"), (":authority", "users.example"), ("authorization", &token)];
        match self.dispatch_http_call("users", headers, None, vec![], Duration::from_secs(5)) {
            Ok(_) => Action::Pause,
            Err(status) => {
                log::warn!("cannot ask: {status:?}");
                self.send_http_response(500, vec![], Some(b"cannot ask\n"));
                Action::Pause
            }
        }
    }
}
