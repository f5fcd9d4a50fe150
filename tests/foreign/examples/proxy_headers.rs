//! proxy-wasm: sets fields on both sides, from its configuration and from what it knows of the request.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { tag: String::new() }));
}}

struct Root {
    tag: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        self.tag = String::from_utf8_lossy(&text).trim().to_owned();
        if self.tag == "refuse" {
            log::warn!("a tag must not be `refuse`");
            return false;
        }
        log::info!("configured with {} bytes", text.len());
        true
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Filter { context, tag: self.tag.clone(), path: String::new() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Filter {
    context: u32,
    tag: String,
    /// Kept from the request to the response: the state of a context.
    path: String,
}

impl Context for Filter {}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, fields: usize, end: bool) -> Action {
        self.path = self.get_http_request_header(":path").unwrap_or_default();
        let act = self.get_http_request_header("x-do").unwrap_or_default();
        match act.as_str() {
            "panic" => panic!("as asked"),
            "loop" => loop {
                std::hint::black_box(0);
            },
            "pause" => return Action::Pause,
            "deny" => {
                self.send_http_response(403, vec![("x-denied-by", "filter")], Some(b"no\n"));
                return Action::Pause;
            }
            "trace" => self.set_http_request_header(":method", Some("TRACE")),
            "pri" => self.set_http_request_header(":method", Some("PRI")),
            "length" => self.set_http_request_header("content-length", Some("7")),
            "break" => self.set_http_request_header("x-a", Some("b\r\nx-c: d")),
            "rewrite" => {
                self.set_http_request_header(":path", Some("/rewritten?by=filter"));
                self.set_http_request_header(":authority", Some("other.example"));
            }
            "late" | "" => {}
            other => log::warn!("told to {other}"),
        }
        let address = self.get_property(vec!["source", "address"]).unwrap_or_default();
        let address = String::from_utf8_lossy(&address).into_owned();
        let method = self.get_property(vec!["request", "method"]).unwrap_or_default();
        let facts = format!("{} {address} {fields} {end}", String::from_utf8_lossy(&method));
        self.add_http_request_header("x-facts", &facts);
        self.set_http_request_header("x-tag", Some(&self.tag));
        self.set_http_request_header("x-secret", None);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _fields: usize, _end: bool) -> Action {
        if self.get_http_response_header("x-do").as_deref() == Some("late") {
            self.set_http_request_header("x-late", Some("1"));
        }
        let status = self.get_http_response_header(":status").unwrap_or_default();
        self.set_http_response_header("x-filtered", Some(&format!("{} {status} {}", self.path, self.context)));
        self.set_http_response_header("server", None);
        Action::Continue
    }

    fn on_log(&mut self) {
        log::info!("over: {}", self.path);
    }
}
