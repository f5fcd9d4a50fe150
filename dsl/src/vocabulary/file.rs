//! Words of a file's top level, and of the blocks that concern the whole process.

use super::place::Place;
use super::word::{Word, ms, secs};

pub(super) const FILE: &[Word] = &[
    Word::new("tidegate", "1", "the version of the language; the first line of a file").example("tidegate 1"),
    Word::new("gateway", "{ … }", "settings of the process").example("gateway { workers 4 }"),
    Word::new("access-log", "{ … }", "where and how requests are logged").example("access-log { format text }"),
    Word::new("list", "NAME [NETWORK, …]", "names networks")
        .more("A network with address bits behind its prefix is a warning, and means the network.")
        .example("list partners [203.0.113.0/24, 2001:db8::/32]")
        .many(),
    Word::new("listener", "http|https|quic NAME { … }", "accepts connections")
        .more("At most 100; over 50 is a warning.")
        .example("listener http plain { port 80; rules main }")
        .many(),
    Word::new("server-group", "NAME { … }", "backend servers that do the same work")
        .example("server-group shop { server 10.0.1.11:8080 }")
        .many(),
    Word::new("rules", "NAME { … }", "decides what happens to a request")
        .example("rules shop { otherwise { forward web } }")
        .many(),
    Word::new("extension", "NAME { … }", "a Wasm guest, and what it may do")
        .example("extension country { module \"country.wasm\" }")
        .many(),
    Word::new("certificate", "NAME { … }", "a certificate chain and its key")
        .more("Its files are read when the policy compiles: they must fit together. A change of one is taken over at once.")
        .example("certificate blog { chain \"certs/blog.pem\"; key \"certs/blog.key\" }")
        .many(),
    Word::new("ca", "NAME { … }", "certificates that are trusted")
        .example("ca staff { bundle \"certs/staff-ca.pem\" }")
        .many(),
    Word::new("tls-policy", "NAME { … }", "versions and suites of TLS")
        .more("What it leaves out comes from its `base`, and otherwise is all that is carried.")
        .example("tls-policy modern { versions [tls1.3] }")
        .many(),
    Word::new("tracing", "otlp { … }", "where spans go")
        .example("tracing otlp { endpoint \"http://127.0.0.1:4317\" }"),
    Word::new("admin", "{ … }", "where a running gateway answers questions, and takes orders")
        .example("admin { listen 127.0.0.1:9901 }"),
    Word::new("metrics", "{ … }", "where metrics are read, and nothing else")
        .more("Prometheus and load balancers may reach it where nobody may reach `admin`: it has `/metrics`, `/live` and `/ready`, and asks for no token.")
        .example("metrics { listen 0.0.0.0:9902 }"),
    Word::new("include", "\"FILES\"", "adds the declarations of other files")
        .example("include \"sites/*.gate\"")
        .many(),
    Word::new("test", "\"WHAT\" { … }", "a request, and what is expected of it")
        .example("test \"it answers\" { request GET \"http://shop.example/\"; expect forward web }")
        .many(),
];

pub(super) const GATEWAY: &[Word] = &[
    Word::new("workers", "N", "worker threads")
        .more("A change counts from the next start.")
        .example("workers 4")
        .count(1, 1024, None)
        .default("one for each core"),
    Word::new("drain", "D", "how long requests in flight may take to finish when the gateway ends")
        .more("That goes for a listener, too.")
        .example("drain 10s")
        .duration(ms(1), secs(3600), Some(secs(30))),
    Word::new("secret", "env \"X\"|file \"F\", or a list", "what keys are derived from")
        .more(
            "Those of `sticky` cookies, TLS tickets and QUIC tokens: they hold over restarts, and on all gateways that have \
             the same secret. At least 32 bytes, as `openssl rand -base64 32` makes them. A list changes it: the first makes, \
             all are accepted.",
        )
        .example("secret file \"gateway.secret\"")
        .default("chance; it ends with the process"),
    Word::new("via", "on|off|\"NAME\"", "the name of the gateway in `Via`")
        .more(
            "Requests to servers and responses of servers get it (RFC 9110, 7.6.3). With `on` it is `tidegate-` and six digits, others in each \
             process. A request that already bears the name goes round in a circle: 508.",
        )
        .example("via \"edge-1\"")
        .switch(true),
];

pub(super) const ACCESS_LOG: &[Word] = &[
    Word::new("to", "stdout|file \"…\"", "where the lines go").example("to file \"logs/access.log\"").default("stdout"),
    Word::new("format", "json|text|template \"…\"", "how a line is written")
        .example("format text")
        .one_of(Place::LogFormat)
        .default("json"),
];

pub(super) const LOG_TARGET: &[Word] = &[
    Word::new("stdout", "", "standard output"),
    Word::new("file", "\"PATH\"", "a file, appended to")
        .more("It is created if it is missing.")
        .example("to file \"logs/access.log\""),
];

pub(super) const LOG_FORMAT: &[Word] = &[
    Word::new("json", "", "one JSON object a line"),
    Word::new("text", "", "one line of words for people"),
    Word::new("template", "\"LINE\"", "one line as you lay it out")
        .more("What is inserted is escaped so that it cannot end the line, nor, where no `\"` stands around it, its field; what is not there is `-`.")
        .example("format template \"${time} ${client-ip} ${status} \\\"${user-agent}\\\"\""),
];

pub(super) const TRACING_KIND: &[Word] = &[Word::new("otlp", "{ … }", "the OpenTelemetry protocol")
    .example("tracing otlp { endpoint \"http://127.0.0.1:4317\" }")];

pub(super) const TRACING: &[Word] = &[
    Word::new("endpoint", "\"URL\"", "the collector").more("Required.").example("endpoint \"http://127.0.0.1:4318\""),
    Word::new("protocol", "grpc|http", "how spans are sent")
        .example("protocol http")
        .one_of(Place::OtlpProtocol)
        .default("grpc"),
    Word::new("service", "\"NAME\"", "`service.name` of the spans").example("service \"edge\"").default("\"tidegate\""),
    Word::new("header", "\"NAME\" \"VALUE\"", "a field of each request to the collector")
        .more("What is secret comes from the environment: `header \"authorization\" env \"OTLP_AUTH\"`.")
        .example("header \"x-tenant\" \"edge\"")
        .many(),
    Word::new("propagate", "[FORM, …]", "the forms of a trace's context that are read and written")
        .more("That of W3C always is.")
        .example("propagate [w3c, b3]")
        .default("[w3c]"),
];

pub(super) const OTLP_PROTOCOL: &[Word] = &[
    Word::new("grpc", "", "gRPC, over HTTP/2").example("protocol grpc"),
    Word::new("http", "", "Protobuf in HTTP POST").example("protocol http"),
];

pub(super) const PROPAGATE: &[Word] = &[
    Word::new("w3c", "", "`traceparent` and `tracestate` (W3C Trace Context)").example("propagate [w3c]"),
    Word::new("b3", "", "`b3`, or `x-b3-traceid` and its kin (Zipkin)")
        .more("Requests to servers get `b3`.")
        .example("propagate [w3c, b3]"),
];

pub(super) const ADMIN: &[Word] = &[
    Word::new("listen", "ADDRESS|unix \"FILE\"", "where the admin API listens")
        .more(
            "It, or `unix`, or both must be there. Where other machines reach the address, `read-token` must be, too.",
        )
        .example("listen 127.0.0.1:9901"),
    Word::new("unix", "\"FILE\"", "a Unix socket that the admin API listens on")
        .more("Only the user whom the gateway runs as, and root, can do anything there; they need no token.")
        .example("unix \"run/admin.sock\""),
    Word::new("read-token", "env \"X\"|file \"F\"", "what is asked for over TCP before anything is shown")
        .more("It comes as `authorization: Bearer TOKEN`, and has at least 16 bytes.")
        .example("read-token env \"TIDEGATE_READ\""),
    Word::new("operate-token", "env \"X\"|file \"F\"", "what is asked for over TCP before anything is changed")
        .more("It also reads. Without it nothing can be changed over TCP.")
        .example("operate-token env \"TIDEGATE_OPERATE\""),
];

pub(super) const METRICS: &[Word] = &[
    Word::new("listen", "ADDRESS|unix \"FILE\"", "where metrics are read")
        .more("It, or `unix`, or both must be there.")
        .example("listen 0.0.0.0:9902"),
    Word::new("unix", "\"FILE\"", "a Unix socket where metrics are read").example("unix \"run/metrics.sock\""),
];

pub(super) const TEST: &[Word] = &[
    Word::new("request", "METHOD \"URL\" [from ADDRESS] [protocol h1|h2|h3]", "the request that is tried")
        .more("The listener is the one whose port the URL has, else the first of its scheme.")
        .example("request GET \"http://shop.example/v1\" from 203.0.113.9"),
    Word::new("header", "\"NAME\" \"VALUE\"", "a header of the request")
        .more("The host is that of the URL.")
        .example("header \"accept\" \"application/json\"")
        .many(),
    Word::new("client-cert", "subject|issuer|fingerprint \"TEXT\"", "what the client's certificate says")
        .more("It is shown where the listener has `client-ca`. Without this word none is, or, if one is required, one of `CN=client`.")
        .example("client-cert subject \"CN=till,O=Acme\"")
        .many(),
    Word::new("expect", "WHAT …", "what must come of it")
        .more("At least one must be there.")
        .example("expect rule api")
        .many(),
];

pub(super) const REQUEST: &[Word] = &[
    Word::new("from", "ADDRESS", "the peer")
        .example("request GET \"http://shop.example/\" from 203.0.113.9")
        .default("127.0.0.1"),
    Word::new("protocol", "h1|h2|h3", "the version of HTTP that the client speaks")
        .more(
            "One that asks for WebSocket, by a header `upgrade`, comes with an extended `CONNECT` over `h2` and `h3`.",
        )
        .example("request GET \"http://shop.example/\" protocol h2")
        .default("the best of the listener, and for WebSocket `h1`, and `h2` where it has that"),
];

pub(super) const EXPECT: &[Word] = &[
    Word::new("rule", "NAME", "the rule that takes it").more("`otherwise` is one.").example("expect rule api"),
    Word::new("forward", "GROUP|[GROUP, …]", "the groups that it may go to")
        .more("It is forwarded, and every group that it may go to, whatever chance says, is among these.")
        .example("expect forward [web, api]"),
    Word::new("redirect", "STATUS \"LOCATION\"", "where the client is sent")
        .more("Status and location are exactly these.")
        .example("expect redirect 308 \"https://shop.example/\""),
    Word::new("close", "", "the connection is closed without an answer").example("expect close"),
    Word::new("status", "STATUS|[STATUS, …]", "the status of the answer")
        .more("It is answered here, with one of these: `404`, `4xx`, `400..404`.")
        .example("expect status [200, 4xx]"),
    Word::new("host", "TEST", "the `Host` that the backend gets").example("expect host is \"shop.example\""),
    Word::new("path", "TEST", "the path that the backend gets").example("expect path under \"/v1\""),
    Word::new("query", "\"NAME\" TEST", "a query parameter that the backend gets")
        .example("expect query \"page\" is \"2\""),
    Word::new("header", "\"NAME\" TEST", "a header of the request that the backend gets")
        .example("expect header \"x-edge\" present"),
    Word::new("response-header", "\"NAME\" TEST", "a header of the answer")
        .example("expect response-header \"server\" absent"),
    Word::new("client-ip", "TEST", "the client's address").example("expect client-ip in office"),
    Word::new("var", "\"NAME\" TEST", "a variable of the request").example("expect var \"tier\" is \"gold\""),
];
