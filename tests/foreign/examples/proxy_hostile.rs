//! proxy-wasm: does what a filter must not do to its host, as the request says.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Hostile));
}}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, at: u32, length_at: u32) -> u32;
    fn proxy_set_header_map_pairs(map: u32, at: u32, length: u32) -> u32;
    fn proxy_get_property(at: u32, length: u32, value_at: u32, length_at: u32) -> u32;
    fn proxy_log(level: u32, at: u32, length: u32) -> u32;
    fn proxy_set_shared_data(key: u32, key_length: u32, value: u32, value_length: u32, version: u32) -> u32;
}

struct Hostile;

impl Context for Hostile {}

impl HttpContext for Hostile {
    fn on_http_request_headers(&mut self, _fields: usize, _end: bool) -> Action {
        let act = self.get_http_request_header("x-do").unwrap_or_default();
        // The host checks every address: what it does not have, it refuses.
        unsafe {
            match act.as_str() {
                "write-outside" => drop(proxy_get_header_map_pairs(0, u32::MAX - 1, u32::MAX - 9)),
                "read-outside" => drop(proxy_log(2, u32::MAX - 8, 64)),
                "read-everything" => drop(proxy_get_property(0, u32::MAX, 0, 0)),
                "lying-map" => {
                    let map = [u32::MAX, 1, 1];
                    proxy_set_header_map_pairs(0, map.as_ptr() as u32, 12);
                }
                "log-flood" => (0..1000).for_each(|n| log::info!("flood {n}")),
                "store-flood" => {
                    for n in 0_u32..100_000 {
                        let key = n.to_le_bytes();
                        proxy_set_shared_data(key.as_ptr() as u32, 4, key.as_ptr() as u32, 4, 0);
                    }
                }
                "many-fields" => (0..1000).for_each(|n| self.add_http_request_header(&format!("x-{n}"), "v")),
                "memory" => drop(std::hint::black_box(vec![1_u8; 1 << 30])),
                "exit" => std::process::exit(3),
                "late" => {}
                _ => {}
            }
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _fields: usize, _end: bool) -> Action {
        if self.get_http_request_header("x-do").as_deref() == Some("late") {
            self.set_http_request_header("x-late", Some("1"));
        }
        Action::Continue
    }
}
