//! proxy-wasm: counts requests in shared data, where all instances see them, counts metrics, and ticks.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { metric: 0, ticks: 0 }));
}}

struct Root {
    metric: u32,
    ticks: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        self.metric = hostcalls::define_metric(MetricType::Counter, "filter.Requests-total").unwrap();
        self.set_tick_period(Duration::from_millis(100));
        true
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        if self.ticks == 1 {
            log::info!("the first tick");
        }
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Counter { metric: self.metric }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Counter {
    metric: u32,
}

impl Context for Counter {}

impl HttpContext for Counter {
    fn on_http_request_headers(&mut self, _fields: usize, _end: bool) -> Action {
        let count = loop {
            let (bytes, version) = self.get_shared_data("count");
            let count = bytes.map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap())) + 1;
            match self.set_shared_data("count", Some(&count.to_le_bytes()), version) {
                Ok(()) => break count,
                Err(Status::CasMismatch) => {}
                Err(other) => panic!("{other:?}"),
            }
        };
        hostcalls::increment_metric(self.metric, 1).unwrap();
        let metric = hostcalls::get_metric(self.metric).unwrap();
        self.set_http_request_header("x-count", Some(&format!("{count} {metric}")));
        self.set_property(vec!["seen", "count"], Some(count.to_string().as_bytes()));
        Action::Continue
    }
}
