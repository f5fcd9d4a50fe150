//! Words of server groups and of extensions.

use super::{GIB, MIB, Place, Word, ms, secs};

pub(super) const SERVER_GROUP: &[Word] =
    &[
        Word::new("protocol", "http|https|grpc", "what the servers speak")
            .one_of(Place::GroupProtocol)
            .default("http")
            .later(),
        Word::new("balance", "HOW", "how a server is chosen")
            .example("balance round-robin")
            .one_of(Place::Balance)
            .default("round-robin"),
        Word::new("server", "ADDRESS [weight N]", "a backend server")
            .more("1 to 1000 of them. An address is bare, a name is a text: `server \"web.internal:8080\"`.")
            .example("server 10.0.1.11:8080 weight 2")
            .many(),
        Word::new("health-check", "http|https|tcp|grpc|off { … }", "how servers are asked whether they work").later(),
        Word::new("sticky", "cookie \"NAME\" [ttl D]", "keeps a client on its server").later(),
        Word::new("keepalive", "N|off", "idle connections kept for each server and worker")
            .example("keepalive 16")
            .count_or_off(1, 10_000, Some(64)),
        Word::new("slow-start", "D", "how long a new server takes to get its full share")
            .duration(secs(0), secs(900), Some(secs(0)))
            .later(),
        Word::new("drain", "D", "how long requests of a removed server may take to finish")
            .duration(secs(0), secs(900), Some(secs(30)))
            .later(),
        Word::new("connect-timeout", "D", "how long opening a connection may take")
            .example("connect-timeout 1s")
            .duration(ms(1), secs(600), Some(secs(5))),
        Word::new("verify", "ca NAME|system|off", "who signs the certificates of the servers").later(),
        Word::new("server-name", "\"NAME\"", "the name that the servers' certificates must have").later(),
        Word::new("retries", "N on [WHAT, …]", "tries at another server").later(),
        Word::new("max-connections", "N", "connections to one server at once").later(),
    ];

pub(super) const SERVER: &[Word] = &[
    Word::new("weight", "N", "its share of the requests; 0 takes none")
        .example("server 10.0.1.11:8080 weight 2")
        .count(0, 65535, Some(1)),
    Word::new("backup", "", "takes requests only when no other server can").later(),
    Word::new("state", "stopped", "takes no requests").later(),
];

pub(super) const BALANCE: &[Word] = &[
    Word::new("round-robin", "", "in turn, in proportion to the weights").more("Each worker counts for itself."),
    Word::new("least-requests", "", "the server with the fewest requests in flight").later(),
    Word::new("hash", "client-ip|uri|header \"n\"|query \"n\"|cookie \"n\"", "the same server for the same key")
        .later(),
    Word::new("random-two", "", "the less busy of two that chance picks").later(),
];

pub(super) const PROTOCOL: &[Word] = &[
    Word::new("http", "", "HTTP/1.1 in clear text").later(),
    Word::new("https", "", "HTTP over TLS").later(),
    Word::new("grpc", "", "HTTP/2 for gRPC").later(),
];

pub(super) const HEALTH_CHECK: &[Word] = &[
    Word::new("path", "\"PATH\"", "what is asked for").later(),
    Word::new("port", "N", "the port that is asked, if not the server's").later(),
    Word::new("every", "D", "time between two checks").later(),
    Word::new("timeout", "D", "how long an answer may take").later(),
    Word::new("expect", "[STATUS, …]", "statuses of a healthy server").later(),
    Word::new("healthy", "N", "good answers in a row until it is healthy").later(),
    Word::new("unhealthy", "N", "bad answers in a row until it is unhealthy").later(),
];

pub(super) const EXTENSION: &[Word] = &[
    Word::new("module", "\"FILE\"", "the Wasm module").more("64 MiB at most.").example("module \"guest.wasm\""),
    Word::new("abi", "tidegate|proxy-wasm|http-wasm", "what the module speaks")
        .example("abi tidegate")
        .one_of(Place::Abi)
        .default("tidegate"),
    Word::new("config", "{ … }|\"TEXT\"", "what the module's `init` is told")
        .more("It is told as JSON.")
        .example("config { header \"x-country\"; fallback \"ZZ\" }")
        .default("{}"),
    Word::new("limits", "{ … }", "what one instance may use").example("limits { memory 32MiB; time 5ms }"),
    Word::new("instance", "reused|fresh", "whether an instance serves many calls or one")
        .example("instance fresh")
        .one_of(Place::Instance)
        .default("reused"),
    Word::new("on-error", "deny [STATUS]|skip", "what a request gets when the guest fails")
        .example("on-error skip")
        .default("deny 500"),
    Word::new("allow", "[WORD, …]", "what the guest may do").example("allow [read-request, log]").default("[]"),
];

pub(super) const EXTENSION_LIMITS: &[Word] = &[
    Word::new("memory", "SIZE", "memory of one instance").example("limits { memory 32MiB }").size(
        64 * 1024,
        4 * GIB,
        Some(16 * MIB),
    ),
    Word::new("time", "D", "time of one hook call")
        .more("Processor time; waiting does not count.")
        .example("limits { time 5ms }")
        .duration(ms(1), secs(60), Some(ms(10))),
    Word::new("instances", "N", "instances that a worker keeps").example("limits { instances 8 }").count(
        1,
        1024,
        Some(4),
    ),
];

pub(super) const INSTANCE: &[Word] = &[
    Word::new("reused", "", "an instance serves one call after another"),
    Word::new("fresh", "", "each call gets an instance of its own"),
];

pub(super) const ON_ERROR: &[Word] = &[
    Word::new("deny", "[STATUS]", "answers with the status").example("on-error deny 503").count(400, 599, Some(500)),
    Word::new("skip", "", "goes on as if the guest had not been asked"),
];

pub(super) const ABI: &[Word] = &[
    Word::new("tidegate", "", "the interface of this gateway"),
    Word::new("proxy-wasm", "", "the interface of Envoy's filters").later(),
    Word::new("http-wasm", "", "the interface of http-wasm handlers").later(),
];

pub(super) const ALLOW: &[Word] = &[
    Word::new("read-request", "", "read the request and its connection"),
    Word::new("write-request-headers", "", "set, add and remove request headers"),
    Word::new("rewrite", "", "change path, authority and query"),
    Word::new("read-response", "", "read the response"),
    Word::new("write-response-headers", "", "set the status; set, add and remove response headers"),
    Word::new("route", "", "choose the server group"),
    Word::new("respond", "", "answer in place of a backend, or close"),
    Word::new("body", "", "read and change bodies"),
    Word::new("vars", "", "read and write the request's variables"),
    Word::new("log", "", "write to the gateway's log"),
    Word::new("clock", "", "read clocks"),
    Word::new("random", "", "read random numbers"),
    Word::new("metrics", "", "define and change metrics"),
    Word::new("store", "", "use the store that workers share"),
    Word::new("outbound", "", "call server groups"),
];

#[cfg(test)]
mod tests {
    use crate::plan::Capability;
    use crate::vocabulary::Place;

    #[test]
    fn allow_has_a_word_for_each_capability() {
        let words: Vec<&str> = Place::Allow.words().iter().map(|word| word.name).collect();
        assert_eq!(words, Capability::ALL.map(Capability::word));
    }
}
