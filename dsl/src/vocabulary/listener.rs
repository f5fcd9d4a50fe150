//! Words of a listener.

use super::{GIB, KIB, MIB, Place, Word, secs};

pub(super) const PROTOCOL: &[Word] = &[
    Word::new("http", "NAME", "HTTP/1.1 in clear text").example("listener http plain { port 80; rules main }"),
    Word::new("https", "NAME", "HTTP/1.1 and HTTP/2 over TLS").later(),
    Word::new("quic", "NAME", "HTTP/3").later(),
];

pub(super) const LISTENER: &[Word] = &[
    Word::new("port", "N", "the port, on every interface")
        .more("IPv6 too, where the machine has it.")
        .example("port 8080")
        .count(1, 65535, None),
    Word::new("address", "IP:N", "one address and its port")
        .more("It stands in place of `port`.")
        .example("address 127.0.0.1:8080"),
    Word::new("certificate", "NAME", "a certificate; the first is the default").many().later(),
    Word::new("client-ca", "NAME required|optional", "who signs the certificates of clients").later(),
    Word::new("tls-policy", "NAME", "versions and suites of TLS").later(),
    Word::new("http2", "on|off", "HTTP/2").switch(true).later(),
    Word::new("quic-upgrade", "LISTENER", "the QUIC listener that clients are told of").later(),
    Word::new("idle-timeout", "D", "how long a kept-alive connection may stay without a request")
        .example("idle-timeout 30s")
        .duration(secs(1), secs(3600), Some(secs(15))),
    Word::new("request-timeout", "D", "how long a peer may stay silent within a request")
        .more("See [Timeouts](#timeouts).")
        .example("request-timeout 2m")
        .duration(secs(1), secs(3600), Some(secs(60))),
    Word::new("tunnel-timeout", "D", "how long an upgraded connection may stay silent")
        .duration(secs(1), secs(24 * 3600), Some(secs(3600)))
        .later(),
    Word::new("early-data", "on|off", "0-RTT data").switch(false).later(),
    Word::new("compression", "[br, gzip]|off", "compresses responses").default("off").later(),
    Word::new("client-ip", "peer|x-forwarded-for trusted LIST|leftmost", "where the address of the client comes from")
        .more("See [The client's address](#the-clients-address).")
        .example("client-ip x-forwarded-for trusted office")
        .default("peer"),
    Word::new("forwarded", "[WHAT, …]|off", "what a backend is told about the client")
        .more("See [What servers are told](#what-servers-are-told).")
        .example("forwarded [for, proto, port]")
        .default("[for, proto]"),
    Word::new("forwarded-for", "append|replace|remove", "how `X-Forwarded-For` is written")
        .example("forwarded-for replace")
        .one_of(Place::ForwardedFor)
        .default("append"),
    Word::new("tracing", "P%|off", "the share of requests that are traced").default("off").later(),
    Word::new("access-log", "on|off", "whether its requests are logged").example("access-log off").switch(true),
    Word::new("limits", "{ … }", "what a client may send and hold").example("limits { body-bytes 10MiB }"),
    Word::new("run", "EXTENSION", "runs an extension before the rules")
        .more("They run in the order written.")
        .example("run guest")
        .many(),
    Word::new("on-response", "{ … }", "is done to every response")
        .more("See [On the way back](#on-the-way-back).")
        .example("on-response { remove-header \"server\" }")
        .many(),
    Word::new("label", "KEY \"VALUE\"", "a label for metrics and people")
        .more("`KEY` is a name; a listener has at most 32.")
        .example("label team \"storefront\"")
        .many(),
    Word::new("state", "running|stopped", "whether it holds its socket")
        .example("state stopped")
        .one_of(Place::State)
        .default("running"),
    Word::new("rules", "NAME", "the rules that decide").example("rules main"),
    Word::new("forward", "GROUP", "the group that everything goes to")
        .more("Several groups with weights, as in a rule, are possible. It stands in place of `rules`.")
        .example("forward web"),
];

pub(super) const LIMITS: &[Word] = &[
    Word::new("header-bytes", "SIZE", "request line and header section together")
        .more("Over it: 431, and the connection is closed.")
        .example("limits { header-bytes 64KiB }")
        .size(KIB, MIB, Some(32 * KIB)),
    Word::new("headers", "N", "header fields of a request")
        .more("Over it: 431, and the connection is closed.")
        .example("limits { headers 50 }")
        .count(8, 1000, Some(100)),
    Word::new("uri-bytes", "SIZE", "the request target")
        .more("Over it: 414.")
        .example("limits { uri-bytes 8KiB }")
        .size(256, 64 * KIB, Some(16 * KIB)),
    Word::new("body-bytes", "SIZE|off", "the request body")
        .more("Over it: 413, and the connection is closed.")
        .example("limits { body-bytes 10MiB }")
        .size_or_off(1, 1024 * GIB, None),
    Word::new("connections", "N", "connections at once")
        .more("Over all workers. Over it: the connection is closed at once.")
        .example("limits { connections 500 }")
        .count(1, 1_000_000, Some(10_000)),
    Word::new("streams", "N", "streams of one connection at once").count(1, 1000, Some(100)).later(),
    Word::new("requests-per-connection", "N|off", "requests on one connection")
        .more("The last answer says `connection: close`.")
        .example("limits { requests-per-connection 1000 }")
        .count_or_off(1, 1_000_000_000, None),
];

pub(super) const CLIENT_IP: &[Word] = &[
    Word::new("peer", "", "the TCP peer"),
    Word::new("x-forwarded-for", "trusted LIST|leftmost", "`X-Forwarded-For`, from the right")
        .more("The first address that is not trusted, the peer being the rightmost; if all are trusted, the leftmost.")
        .example("client-ip x-forwarded-for trusted office"),
    Word::new("proxy-protocol", "trusted LIST", "the PROXY protocol's header").later(),
];

pub(super) const TRUSTED: &[Word] = &[Word::new("trusted", "LIST|leftmost", "whose word is taken").more("A list, a network, or several of them in brackets. `leftmost` takes the leftmost address, with a warning, because a client can write it.").example("client-ip x-forwarded-for trusted [office, 203.0.113.7]")];

pub(super) const FORWARDED: &[Word] = &[
    Word::new("for", "", "`X-Forwarded-For`: the addresses on the way"),
    Word::new("proto", "", "`X-Forwarded-Proto`: the scheme"),
    Word::new("port", "", "`X-Forwarded-Port`: the listener's port"),
    Word::new("client-port", "", "`X-Forwarded-Client-Srcport`: the peer's port"),
    Word::new("host", "", "`X-Forwarded-Host`: the host that the client asked for"),
    Word::new("listener-id", "", "`X-Forwarded-Listener`: the listener's name"),
    Word::new("client-cert", "", "what the client's certificate says").later(),
];

pub(super) const FORWARDED_FOR: &[Word] = &[
    Word::new("append", "", "the peer's address is added to what came"),
    Word::new("replace", "", "the peer's address replaces what came"),
    Word::new("remove", "", "the header is taken out"),
];

pub(super) const STATE: &[Word] = &[
    Word::new("running", "", "it accepts connections"),
    Word::new("stopped", "", "it keeps its place in the file and holds no socket"),
];
