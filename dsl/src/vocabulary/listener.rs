//! Words of a listener.

use super::place::Place;
use super::word::{GIB, KIB, MIB, Word, secs};

pub(super) const PROTOCOL: &[Word] = &[
    Word::new("http", "NAME", "HTTP/1.1 in clear text").example("listener http plain { port 80; rules main }"),
    Word::new("https", "NAME", "HTTP/1.1 and HTTP/2 over TLS")
        .example("listener https shop { port 443; certificate shop; rules main }"),
    Word::new("quic", "NAME", "HTTP/3").example("listener quic shop { port 443; certificate shop; rules main }"),
];

pub(super) const LISTENER: &[Word] = &[
    Word::new("port", "N", "the port, on every interface")
        .more("IPv6 too, where the machine has it.")
        .example("port 8080")
        .count(1, 65535, None),
    Word::new("address", "IP:N", "one address and its port")
        .more("It stands in place of `port`.")
        .example("address 127.0.0.1:8080"),
    Word::new("certificate", "NAME", "a certificate; the first is the default")
        .more(
            "The rest are chosen by the server name that a client asks for, from their own names. Required for `https` and \
             `quic`, an error for `http`. At most 1000 in a listener.",
        )
        .example("certificate shop")
        .many(),
    Word::new("client-ca", "NAME required|optional", "who signs the certificates of clients")
        .more(
            "Mutual TLS, for `https` alone. `required`, the default of the two, refuses a client without a certificate; a \
             certificate that this authority did not sign is refused in both cases.",
        )
        .example("client-ca partners optional"),
    Word::new("tls-policy", "NAME", "versions and suites of TLS")
        .more("One that is declared, or predefined: see [TLS policies](#tls-policies). For `https` alone.")
        .example("tls-policy tls_cipher_policy_1_2_strict_with_1_3")
        .default(super::tls::DEFAULT_POLICY),
    Word::new("http2", "on|off", "HTTP/2")
        .more("For `https` alone. A listener that forwards to a group of gRPC needs it.")
        .example("http2 off")
        .switch(true),
    Word::new("quic-upgrade", "LISTENER [port N] [max-age D]", "the QUIC listener that clients are told of")
        .more(
            "For `https` alone. Responses name it in `Alt-Svc` (RFC 7838) while it accepts. A QUIC listener belongs to one \
             `https` listener at most; the ports may differ. An `on-response` that sets or removes `alt-svc` wins, with a \
             warning. Beside `client-ca … required` it is an error, beside `optional` a warning: QUIC listeners ask for no \
             certificate.",
        )
        .example("quic-upgrade fast port 443"),
    Word::new("idle-timeout", "D", "how long a kept-alive connection may stay without a request")
        .example("idle-timeout 30s")
        .duration(secs(1), secs(3600), Some(secs(15))),
    Word::new("request-timeout", "D", "how long a peer may stay silent within a request")
        .more("See [Timeouts](#timeouts).")
        .example("request-timeout 2m")
        .duration(secs(1), secs(3600), Some(secs(60))),
    Word::new("tunnel-timeout", "D", "how long an upgraded connection may stay silent")
        .more("A WebSocket is one.")
        .example("tunnel-timeout 10m")
        .duration(secs(1), secs(24 * 3600), Some(secs(3600))),
    Word::new("early-data", "on|off", "whether requests in 0-RTT data are taken")
        .more(
            "Of safe methods alone (RFC 8470), since they can be replayed. For `https` and `quic`; it needs TLS 1.3. Beside \
             `client-ca` none are taken, with a warning.",
        )
        .example("early-data on")
        .switch(false),
    Word::new("compression", "[br, gzip]|off", "how responses may be compressed")
        .more(
            "Where the client accepts it and the body is over 1024 bytes; `br` where it accepts both. gzip is for text and \
             its kin, `br` for every type.",
        )
        .example("compression [br, gzip]")
        .default("off"),
    Word::new("allow-from", "LIST", "whose connections are taken")
        .more("See [Who may connect](#who-may-connect).")
        .example("allow-from office")
        .default("everybody's"),
    Word::new("deny-from", "LIST", "whose connections are not taken")
        .more("See [Who may connect](#who-may-connect).")
        .example("deny-from [192.0.2.0/24, 2001:db8::/32]")
        .default("nobody's"),
    Word::new(
        "client-ip",
        "peer|x-forwarded-for trusted LIST|leftmost|proxy-protocol trusted LIST",
        "where the address of the client comes from",
    )
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
    Word::new("paths", "merge|plain|strict", "how the paths of requests are read")
        .more("See [Paths](#paths).")
        .example("paths strict")
        .one_of(Place::Paths)
        .default("merge"),
    Word::new("tracing", "P% [ignore-parent]|off", "the share of requests that are traced")
        .more(
            "It needs a `tracing` declaration, which says where spans go. A request whose own context says that it is traced, or that \
             it is not, is treated so, unless `ignore-parent` stands here: where strangers connect.",
        )
        .example("tracing 10%")
        .percent(1, 100, None)
        .default("off"),
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
    Word::new("label", "KEY \"VALUE\"", "a label for people, in every line of the access log")
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
        .more("Over it: 431, and a connection of HTTP/1 is closed.")
        .example("limits { header-bytes 64KiB }")
        .size(KIB, MIB, Some(32 * KIB)),
    Word::new("headers", "N", "header fields of a request")
        .more("Over it: 431, and a connection of HTTP/1 is closed.")
        .example("limits { headers 50 }")
        .count(8, 1000, Some(100)),
    Word::new("uri-bytes", "SIZE", "the request target")
        .more("Over it: 414.")
        .example("limits { uri-bytes 8KiB }")
        .size(256, 64 * KIB, Some(16 * KIB)),
    Word::new("body-bytes", "SIZE|off", "the request body")
        .more("Over it: 413, and a connection of HTTP/1 is closed.")
        .example("limits { body-bytes 10MiB }")
        .size_or_off(1, 1024 * GIB, None),
    Word::new("connections", "N", "connections at once")
        .more("Over all workers. Over it: the connection is closed at once.")
        .example("limits { connections 500 }")
        .count(1, 1_000_000, Some(10_000)),
    Word::new("streams", "N", "requests in flight at once on one connection of HTTP/2 or HTTP/3")
        .more("Over it: the stream is refused, and the client may try again.")
        .example("limits { streams 250 }")
        .count(1, 1000, Some(100)),
    Word::new("requests-per-connection", "N|off", "requests on one connection")
        .more("The last answer says `connection: close`, or GOAWAY follows it.")
        .example("limits { requests-per-connection 1000 }")
        .count_or_off(1, 1_000_000_000, None),
];

pub(super) const CLIENT_IP: &[Word] = &[
    Word::new("peer", "", "the TCP peer"),
    Word::new("x-forwarded-for", "trusted LIST|leftmost", "`X-Forwarded-For`, from the right")
        .more("The first address that is not trusted, the peer being the rightmost; if all are trusted, the leftmost.")
        .example("client-ip x-forwarded-for trusted office"),
    Word::new("proxy-protocol", "trusted LIST", "the PROXY protocol's header")
        .more(
            "Versions 1 and 2. The peers of the list must send it; other peers are taken at their own address. For `http` \
             and `https`.",
        )
        .example("client-ip proxy-protocol trusted office"),
];

pub(super) const CLIENT_CA: &[Word] = &[
    Word::new("required", "", "a client without a certificate is refused").example("client-ca partners required"),
    Word::new("optional", "", "a client without a certificate is served; rules can tell it apart")
        .example("client-ca partners optional"),
];

pub(super) const COMPRESSION: &[Word] = &[
    Word::new("br", "", "Brotli (RFC 7932), for every type of content").example("compression [br]"),
    Word::new("gzip", "", "gzip (RFC 1952), for text and its kin").example("compression [gzip]"),
];

pub(super) const QUIC_UPGRADE: &[Word] =
    &[
        Word::new("port", "N", "the port that clients see, where it is mapped")
            .example("quic-upgrade fast port 443")
            .count(1, 65535, None)
            .default("the listener's"),
        Word::new("max-age", "D", "how long a client may remember it")
            .example("quic-upgrade fast max-age 1h")
            .duration(secs(1), secs(400 * 24 * 3600), Some(secs(24 * 3600))),
    ];

pub(super) const TRUSTED: &[Word] = &[Word::new("trusted", "LIST|leftmost", "whose word is taken").more("A list, a network, or several of them in brackets. `leftmost` takes the leftmost address, with a warning, because a client can write it.").example("client-ip x-forwarded-for trusted [office, 203.0.113.7]")];

pub(super) const FORWARDED: &[Word] = &[
    Word::new("for", "", "`X-Forwarded-For`: the addresses on the way"),
    Word::new("proto", "", "`X-Forwarded-Proto`: the scheme"),
    Word::new("port", "", "`X-Forwarded-Port`: the listener's port"),
    Word::new("client-port", "", "`X-Forwarded-Client-Srcport`: the peer's port").more("For `http` and `https`."),
    Word::new("host", "", "`X-Forwarded-Host`: the host that the client asked for"),
    Word::new("listener-id", "", "`X-Forwarded-Listener`: the listener's name"),
    Word::new(
        "client-cert",
        "",
        "`X-Forwarded-Clientcert-*`: subject, issuer, fingerprint and verdict of its certificate",
    )
    .more("For `https` alone, and of use with `client-ca`.")
    .example("forwarded [for, proto, client-cert]"),
];

pub(super) const FORWARDED_FOR: &[Word] = &[
    Word::new("append", "", "the peer's address is added to what came"),
    Word::new("replace", "", "the peer's address replaces what came"),
    Word::new("remove", "", "the header is taken out"),
];

pub(super) const PATHS: &[Word] = &[
    Word::new("merge", "", "runs of slashes are one, and tests on `path` see no `;` and what follows it in a segment"),
    Word::new("plain", "", "slashes and parameters stay as they came, for tests and for servers"),
    Word::new("strict", "", "what servers read in two ways is refused with 400"),
];

pub(super) const STATE: &[Word] = &[
    Word::new("running", "", "it accepts connections"),
    Word::new("stopped", "", "it keeps its place in the file and holds no socket"),
];
