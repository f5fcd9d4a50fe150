//! Every family of metrics, once: name, kind, labels, meaning. What is rendered, the docs, the alerts and the board are held to it.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that only grows, until the process ends or its name leaves the policy.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Values by their size.
    Histogram,
}

impl Kind {
    /// The word of the formats.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Metrics of one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The name; of a counter, with `_total`. The unit stands at its end.
    pub name: &'static str,
    /// What the metrics are.
    pub kind: Kind,
    /// The labels, in their order.
    pub labels: &'static [&'static str],
    /// A sentence for people.
    pub help: &'static str,
}

macro_rules! families {
    ($($ident:ident = $kind:ident $name:literal $labels:tt $help:literal;)+) => {
        $(
            #[doc = $help]
            pub static $ident: Family =
                Family { name: $name, kind: Kind::$kind, labels: &$labels, help: $help };
        )+

        /// Every family, in the order in which they are rendered.
        #[cfg(test)]
        pub static ALL: &[&Family] = &[$(&$ident,)+];
    };
}

families! {
    REQUESTS = Counter "tidegate_requests_total" ["listener", "rule", "group", "status"]
        "Requests that ended, by the class of the status that the client got.";
    REQUEST_DURATION = Histogram "tidegate_request_duration_seconds" ["listener"]
        "From a request's head to the end of its answer; tunnels are not among them.";
    IN_FLIGHT = Gauge "tidegate_requests_in_flight" ["listener"]
        "Requests that have not ended; tunnels are not among them.";
    RECEIVED = Counter "tidegate_received_bytes_total" ["listener"]
        "Bytes of requests' bodies, and from clients of tunnels.";
    SENT = Counter "tidegate_sent_bytes_total" ["listener"]
        "Bytes of answers' bodies, and to clients of tunnels.";
    CONNECTIONS = Gauge "tidegate_connections" ["listener", "protocol"]
        "Open client connections.";
    TUNNELS = Gauge "tidegate_tunnels" ["listener"]
        "Open tunnels, such as WebSockets.";
    HANDSHAKES_FAILED = Counter "tidegate_handshakes_failed_total" ["listener", "kind"]
        "TLS handshakes that failed.";
    FAILURES = Counter "tidegate_failures_total" ["failure", "side"]
        "Requests that failed, and whose fault it was.";
    LIMITED = Counter "tidegate_limited_total" ["rule"]
        "Requests that a limit refused.";
    BOUNDS = Counter "tidegate_bound_met_total" ["bound"]
        "Times that a bound was met.";
    UPSTREAM_REQUESTS = Counter "tidegate_upstream_requests_total" ["group", "server", "status"]
        "Tries of requests at servers, by the class of the answer's status.";
    UPSTREAM_DURATION = Histogram "tidegate_upstream_duration_seconds" ["group"]
        "From the choice of a server to the head of its answer.";
    UPSTREAM_RETRIES = Counter "tidegate_upstream_retries_total" ["group"]
        "Tries beyond the first of a request.";
    UPSTREAM_IN_FLIGHT = Gauge "tidegate_upstream_requests_in_flight" ["group", "server"]
        "Requests at servers that have not ended, tunnels among them.";
    UPSTREAM_OPENED = Counter "tidegate_upstream_connections_opened_total" ["group", "server"]
        "Connections to servers that were opened.";
    UPSTREAM_IDLE = Gauge "tidegate_upstream_idle_connections" []
        "Connections to servers that wait for a request.";
    HEALTHY = Gauge "tidegate_server_healthy" ["group", "server"]
        "Whether a server takes requests; one that is not checked does.";
    EXTENSION_CALLS = Counter "tidegate_extension_calls_total" ["extension", "hook", "outcome"]
        "Calls of extensions.";
    EXTENSION_DURATION = Histogram "tidegate_extension_duration_seconds" ["extension", "hook"]
        "The time of a call of an extension, with what it waits for.";
    EXTENSION_FAULTS = Counter "tidegate_extension_faults_total" ["extension", "fault"]
        "Calls of extensions without a verdict, by their cause.";
    EXTENSION_EVENTS = Counter "tidegate_extension_events_total" ["extension", "event"]
        "What the host counts of extensions beside their calls.";
    EXTENSION_COUNTED = Counter "tidegate_extension_counted_total" ["extension", "name"]
        "Counters that extensions define.";
    EXTENSION_VALUE = Gauge "tidegate_extension_value" ["extension", "name"]
        "Gauges that extensions define.";
    EXTENSION_VALUES = Histogram "tidegate_extension_values" ["extension", "name"]
        "Histograms that extensions define.";
    CERTIFICATE_END = Gauge "tidegate_certificate_not_after_seconds" ["certificate"]
        "The time when a certificate ends, in seconds since the epoch.";
    RELOADS = Counter "tidegate_reloads_total" ["result"]
        "Readings of the policy's files after the first.";
    GENERATION = Gauge "tidegate_generation" []
        "The generation of the policy in service.";
    WORKER_LOOP = Histogram "tidegate_worker_loop_seconds" []
        "How late the ticks of workers come.";
    LOG_DROPPED = Counter "tidegate_log_lines_dropped_total" []
        "Lines of the access log that were lost.";
    SPANS_DROPPED = Counter "tidegate_spans_dropped_total" []
        "Spans that did not reach their collector.";
    BUILD = Gauge "tidegate_build_info" ["version"]
        "The version that runs; always 1.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "CPU time of the process, in seconds.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Resident memory of the process, in bytes.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" []
        "Virtual memory of the process, in bytes.";
    PROCESS_FDS = Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "File descriptors that the process may open.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "The start of the process, in seconds since the epoch.";
}

#[cfg(test)]
mod tests;
