//! Words of a file's top level, and of the blocks that concern the whole process.

use super::{Place, Word, secs};

pub(super) const FILE: &[Word] = &[
    Word::new("tidegate", "1", "the version of the language; the first line of a file"),
    Word::new("gateway", "{ … }", "settings of the process"),
    Word::new("access-log", "{ … }", "where and how requests are logged"),
    Word::new("list", "NAME [NETWORK, …]", "names networks").many(),
    Word::new("listener", "http|https|quic NAME { … }", "accepts connections").many(),
    Word::new("server-group", "NAME { … }", "backend servers that do the same work").many(),
    Word::new("rules", "NAME { … }", "decides what happens to a request").many(),
    Word::new("extension", "NAME { … }", "a Wasm guest, and what it may do").many(),
    Word::new("certificate", "NAME { … }", "a certificate chain and its key").many().later(),
    Word::new("ca", "NAME { … }", "certificates that are trusted").many().later(),
    Word::new("tls-policy", "NAME { … }", "versions and suites of TLS").many().later(),
    Word::new("tracing", "otlp { … }", "where traces go").later(),
    Word::new("admin", "{ … }", "where a running gateway answers questions").later(),
    Word::new("include", "\"FILES\"", "adds the declarations of other files").many(),
    Word::new("test", "\"WHAT\" { … }", "a request, and what is expected of it").many(),
];

pub(super) const GATEWAY: &[Word] = &[
    Word::new("workers", "N", "worker threads").count(1, 1024, None).default("one for each core"),
    Word::new("drain", "D", "how long requests in flight may take to finish when the gateway ends").duration(
        super::ms(1),
        secs(3600),
        Some(secs(30)),
    ),
];

pub(super) const ACCESS_LOG: &[Word] = &[
    Word::new("to", "stdout|file \"…\"", "where the lines go").default("stdout"),
    Word::new("format", "json|text", "how a line is written").one_of(Place::LogFormat).default("json"),
];

pub(super) const LOG_TARGET: &[Word] =
    &[Word::new("stdout", "", "standard output"), Word::new("file", "\"PATH\"", "a file, appended to")];

pub(super) const LOG_FORMAT: &[Word] =
    &[Word::new("json", "", "one JSON object a line"), Word::new("text", "", "one line of words for people")];

pub(super) const CERTIFICATE: &[Word] = &[
    Word::new("chain", "\"FILE\"", "the certificate and its issuers, PEM").later(),
    Word::new("key", "\"FILE\"", "the private key, PEM").later(),
    Word::new("staple", "\"FILE\"", "an OCSP response, DER").later(),
];

pub(super) const CA: &[Word] = &[Word::new("bundle", "\"FILE\"", "trusted certificates, PEM").later()];

pub(super) const TLS_POLICY: &[Word] = &[
    Word::new("base", "POLICY", "the policy that it begins from").later(),
    Word::new("versions", "[VERSION, …]", "versions of TLS").later(),
    Word::new("ciphers", "[\"SUITE\", …]", "suites by IANA or OpenSSL name").later(),
    Word::new("groups", "[GROUP, …]", "groups for the key exchange").later(),
];

pub(super) const TRACING: &[Word] = &[
    Word::new("endpoint", "\"URL\"", "the collector").later(),
    Word::new("protocol", "grpc|http", "how spans are sent").later(),
    Word::new("service", "\"NAME\"", "the name of this service").later(),
];

pub(super) const ADMIN: &[Word] =
    &[Word::new("listen", "ADDRESS|unix \"FILE\"", "where the admin API listens").later()];

pub(super) const TEST: &[Word] = &[
    Word::new("request", "METHOD \"URL\" [from ADDRESS]", "the request that is tried"),
    Word::new("header", "\"NAME\" \"VALUE\"", "a header of the request").many(),
    Word::new("expect", "WHAT …", "what must come of it").many(),
];

pub(super) const REQUEST: &[Word] = &[Word::new("from", "ADDRESS", "the peer").default("127.0.0.1")];

pub(super) const EXPECT: &[Word] = &[
    Word::new("rule", "NAME", "the rule that takes it"),
    Word::new("forward", "GROUP|[GROUP, …]", "the groups that it may go to"),
    Word::new("redirect", "STATUS \"LOCATION\"", "where the client is sent"),
    Word::new("close", "", "the connection is closed without an answer"),
    Word::new("status", "STATUS|[STATUS, …]", "the status of the answer"),
    Word::new("host", "TEST", "the `Host` that the backend gets"),
    Word::new("path", "TEST", "the path that the backend gets"),
    Word::new("query", "\"NAME\" TEST", "a query parameter that the backend gets"),
    Word::new("header", "\"NAME\" TEST", "a header of the request that the backend gets"),
    Word::new("response-header", "\"NAME\" TEST", "a header of the answer"),
    Word::new("client-ip", "TEST", "the client's address"),
    Word::new("var", "\"NAME\" TEST", "a variable of the request"),
];
