//! Words of server groups and of extensions.

use super::place::Place;
use super::word::{GIB, MIB, Word, ms, secs};

pub(super) const SERVER_GROUP: &[Word] = &[
    Word::new("protocol", "http|https|grpc", "what the servers speak")
        .example("protocol https")
        .one_of(Place::GroupProtocol)
        .default("http"),
    Word::new("balance", "HOW", "how a server is chosen")
        .example("balance round-robin")
        .one_of(Place::Balance)
        .default("round-robin"),
    Word::new("server", "ADDRESS [weight N] [backup] [state stopped]", "a backend server")
        .more("1 to 1000 of them. An address is bare, a name is a text: `server \"web.internal:8080\"`.")
        .example("server 10.0.1.11:8080 weight 2")
        .many(),
    Word::new("health-check", "http|https|tcp|grpc { … }, or off", "how servers are asked whether they work")
        .more("If every server is unhealthy, requests go to all of them.")
        .example("health-check http { path \"/healthz\" }")
        .default("off"),
    Word::new("sticky", "cookie \"NAME\" [ttl D], or off", "keeps a client on its server")
        .more(
            "The gateway sets the cookie with the first answer; it names the server by a keyed hash (see `secret`). A client \
             whose server is gone, stopped or unhealthy gets another one, and a new cookie.",
        )
        .example("sticky cookie \"SRV\" ttl 30m")
        .default("off"),
    Word::new("keepalive", "N|off", "idle connections kept for each server and worker")
        .example("keepalive 16")
        .count_or_off(1, 10_000, Some(64)),
    Word::new("slow-start", "D|off", "over how long the share of a server that became healthy grows to its weight")
        .example("slow-start 30s")
        .duration_or_off(secs(1), secs(900), None),
    Word::new("drain", "D", "how long requests of a removed or stopped server may take to finish")
        .example("drain 10s")
        .duration(secs(0), secs(900), Some(secs(30))),
    Word::new("connect-timeout", "D", "how long opening a connection may take")
        .more("The TLS handshake is a part of it.")
        .example("connect-timeout 1s")
        .duration(ms(1), secs(600), Some(secs(5))),
    Word::new("verify", "ca NAME|system|off", "who must have signed the certificates of the servers")
        .more("Only where TLS is spoken: with `protocol https`, or `health-check https`.")
        .example("verify system")
        .one_of(Place::Verify)
        .default("system"),
    Word::new(
        "server-name",
        "\"NAME\"",
        "the name that the servers' certificates must have, and that the handshake sends",
    )
    .more("Only where TLS is spoken: with `protocol https`, or `health-check https`.")
    .example("server-name \"api.internal\"")
    .default("the host of each server"),
    Word::new("retries", "N on [WHAT, …], or off", "tries after the first, each at another server")
        .more(
            "What is not a connection that could not be opened is tried again only for methods that may be repeated \
               (RFC 9110, 9.2.2) and requests without a body.",
        )
        .example("retries 2 on [connect-failure, reset, 502..504]")
        .count_or_off(1, 10, Some(3))
        .default("3 on [connect-failure]"),
    Word::new("max-connections", "N|off", "connections to one server at once, over all workers")
        .example("max-connections 200")
        .count_or_off(1, 1_000_000, None),
];

pub(super) const SERVER: &[Word] = &[
    Word::new("weight", "N", "its share of the requests; 0 takes none")
        .example("server 10.0.1.11:8080 weight 2")
        .count(0, 65535, Some(1)),
    Word::new("backup", "", "takes requests only when no server that is no backup can")
        .example("server 10.0.1.11:8080; server 10.0.1.12:8080 backup"),
    Word::new("state", "running|stopped", "whether it takes new requests")
        .example("server 10.0.1.11:8080; server 10.0.1.12:8080 state stopped")
        .one_of(Place::ServerState)
        .default("running"),
];

pub(super) const SERVER_STATE: &[Word] = &[
    Word::new("running", "", "it takes requests").example("server 10.0.1.13:8080 state running"),
    Word::new("stopped", "", "it finishes the requests that it has within `drain`, and takes no new ones")
        .example("server 10.0.1.11:8080; server 10.0.1.12:8080 state stopped"),
];

pub(super) const BALANCE: &[Word] = &[
    Word::new("round-robin", "", "in turn, in proportion to the weights").more("Each worker counts for itself."),
    Word::new("least-requests", "", "the server with the fewest requests in flight for its weight")
        .more("Each worker counts for itself."),
    Word::new("hash", "client-ip|uri|header \"n\"|query \"n\"|cookie \"n\"", "the same server for the same key")
        .more(
            "Consistent: when a server comes or goes, only its share of the keys moves. A request without the key goes \
               to a server in proportion to the weights.",
        )
        .example("balance hash client-ip")
        .one_of(Place::HashKey),
    Word::new("random-two", "", "the less busy of two that chance picks").more("Each worker counts for itself."),
];

pub(super) const HASH_KEY: &[Word] = &[
    Word::new("client-ip", "", "the address of the client").example("balance hash client-ip"),
    Word::new("uri", "", "path and query, as the server gets them").example("balance hash uri"),
    Word::new("header", "\"NAME\"", "the first value of a header").example("balance hash header \"x-tenant\""),
    Word::new("query", "\"NAME\"", "the first value of a query parameter").example("balance hash query \"id\""),
    Word::new("cookie", "\"NAME\"", "the first value of a cookie").example("balance hash cookie \"session\""),
];

pub(super) const PROTOCOL: &[Word] = &[
    Word::new("http", "", "HTTP/1.1 in clear text"),
    Word::new("https", "", "HTTP over TLS"),
    Word::new("grpc", "", "HTTP/2 in clear text, as gRPC needs it"),
];

pub(super) const STICKY: &[Word] = &[
    Word::new("cookie", "\"NAME\"", "the cookie that the gateway sets").example("sticky cookie \"SRV\""),
    Word::new("ttl", "D", "how long a browser keeps the cookie")
        .example("sticky cookie \"SRV\" ttl 30m")
        .duration(secs(1), secs(400 * 24 * 3600), None)
        .default("until the browser is closed"),
    Word::new("off", "", "every request may go to another server").example("sticky off"),
];

pub(super) const VERIFY: &[Word] = &[
    Word::new("ca", "NAME", "a certificate of this `ca`").example("verify ca partners"),
    Word::new("system", "", "an authority that the machine trusts").example("verify system"),
    Word::new("off", "", "nobody: any certificate is taken, so that anybody in between can read and change everything")
        .example("verify off"),
];

pub(super) const RETRY_ON: &[Word] = &[
    Word::new("connect-failure", "", "no connection could be opened: nothing was sent")
        .example("retries 2 on [connect-failure]"),
    Word::new("reset", "", "the connection broke before an answer began").example("retries 2 on [reset]"),
    Word::new("timeout", "", "no answer began in time").example("retries 2 on [timeout]"),
    Word::new("5xx", "|502|502..504", "an answer has a status of these").example("retries 2 on [5xx]"),
];

pub(super) const PROBE: &[Word] = &[
    Word::new("http", "{ … }", "a request in clear text").example("health-check http { path \"/healthz\" }"),
    Word::new("https", "{ … }", "a request over TLS").example("health-check https { path \"/healthz\" }"),
    Word::new("tcp", "{ … }", "that a connection opens").example("health-check tcp { every 5s }"),
    Word::new("grpc", "{ … }", "`grpc.health.v1.Health/Check`, for the whole server").example("health-check grpc"),
    Word::new("off", "", "servers are not asked; all count as healthy").example("health-check off"),
];

pub(super) const HEALTH_CHECK: &[Word] =
    &[
        Word::new("path", "\"PATH\"", "what is asked for; `http` and `https` only")
            .example("path \"/healthz\"")
            .default("/"),
        Word::new("method", "GET|HEAD|OPTIONS", "the method of the request; `http` and `https` only")
            .example("method HEAD")
            .default("GET"),
        Word::new("host", "\"HOST\"", "the `Host` of the request; `http` and `https` only")
            .more("A server that serves several hosts may know no other. Perhaps with a port.")
            .example("host \"shop.example\"")
            .default("the `server-name` where TLS is spoken, else the server's address"),
        Word::new("header", "\"NAME\" \"VALUE\"", "a header of the request; `http` and `https` only")
            .more("At most 32.")
            .example("header \"x-probe\" \"edge\"")
            .many(),
        Word::new("port", "N", "the port that is asked")
            .example("port 8081")
            .count(1, 65535, None)
            .default("the server's own"),
        Word::new("every", "D", "time between two checks of a server").example("every 5s").duration(
            ms(100),
            secs(300),
            Some(secs(2)),
        ),
        Word::new("timeout", "D", "how long an answer may take; not longer than `every`")
            .example("timeout 500ms")
            .duration(ms(10), secs(300), Some(secs(1)))
            .default("1s, or `every` if that is shorter"),
        Word::new("expect", "[STATUS, …]", "statuses of a healthy server; `http` and `https` only")
            .example("expect [2xx, 404]")
            .default("[2xx]"),
        Word::new("healthy", "N", "good answers in a row until an unhealthy server is healthy")
            .example("healthy 2")
            .count(1, 100, Some(3)),
        Word::new("unhealthy", "N", "bad answers in a row until a healthy server is unhealthy")
            .example("unhealthy 2")
            .count(1, 100, Some(3)),
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
    Word::new("on-pause", "deny [STATUS]|skip", "what a request gets while the guest is not called")
        .more(
            "It is not called while it is paused, after it failed for nearly every client, and where there is no room \
             for another call. `on-error` does not count then: to `skip` what was to be asked is to be written here.",
        )
        .example("on-pause deny 503")
        .default("deny 503"),
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

pub(super) const ON_PAUSE: &[Word] = &[
    Word::new("deny", "[STATUS]", "answers with the status").example("on-pause deny 429").count(400, 599, Some(503)),
    Word::new("skip", "", "goes on as if the guest had not been asked, whoever the client is").example("on-pause skip"),
];

pub(super) const ABI: &[Word] = &[
    Word::new("tidegate", "", "the interface of this gateway"),
    Word::new("proxy-wasm", "", "the interface of Envoy's filters"),
    Word::new("http-wasm", "", "the interface of http-wasm handlers"),
];

pub(super) const ALLOW: &[Word] = &[
    Word::new("read-request", "", "read the request and its connection"),
    Word::new("write-request-headers", "", "set, add and remove request headers"),
    Word::new("rewrite", "", "change path, authority and query"),
    Word::new("read-response", "", "read the response"),
    Word::new("write-response-headers", "", "set the status; set, add and remove response headers"),
    Word::new("route", "[GROUP, …]", "choose the server group, of these; without a list, of all")
        .more("What is not in the list can be neither chosen nor seen.")
        .example("allow [route [web, api]]"),
    Word::new("respond", "", "answer in place of a backend, or close"),
    Word::new("body", "", "read and change bodies"),
    Word::new("vars", "", "read and write the request's variables"),
    Word::new("log", "", "write to the gateway's log"),
    Word::new("clock", "", "read clocks"),
    Word::new("random", "", "read random numbers"),
    Word::new("metrics", "", "define and change metrics"),
    Word::new("store", "", "use the store that workers share"),
    Word::new("outbound", "[GROUP, …]", "call these server groups; without a list, all")
        .example("allow [outbound [api]]"),
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
