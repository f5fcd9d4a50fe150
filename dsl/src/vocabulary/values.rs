//! Words of tests and of insertions.

use super::word::Word;

const HOST: Word = Word::new("host", "", "the host without port")
    .more("In lower case, without a final dot. Tests: `is`, `like`, `matches`, `present`, `absent`.")
    .example("when host is [\"shop.example\", \"www.shop.example\"]")
    .many();
const PATH: Word = Word::new("path", "", "the normalised path")
    .more("Without the query. Tests: `is`, `like`, `under`, `matches`.")
    .example("when path under \"/admin\"")
    .many();
const METHOD: Word = Word::new("method", "", "the method")
    .more("Methods have a case. `QUERY` (RFC 10008) is one that may be repeated, as `GET` is. Tests: `is`.")
    .example("when method is [GET, HEAD]")
    .many();
const SCHEME: Word =
    Word::new("scheme", "", "`http` or `https`").more("Tests: `is`.").example("when scheme is http").many();
const HEADER: Word = Word::new("header", "\"NAME\"", "every value of a request header")
    .more("`\"host\"` is host and port. Tests: `is`, `like`, `matches`, `present`, `absent`.")
    .example("when header \"x-beta\" present")
    .many();
const QUERY: Word = Word::new("query", "\"NAME\"", "every value of a query parameter")
    .more("Decoded: `%xx`, and `+` is a space. Tests: as `header`.")
    .example("when query \"page\" matches \"^[0-9]+$\"")
    .many();
const COOKIE: Word = Word::new("cookie", "\"NAME\"", "every value of a cookie")
    .more("Tests: as `header`.")
    .example("when cookie \"plan\" is \"pro\"")
    .many();
const CLIENT_IP: Word = Word::new("client-ip", "", "the address of the client, as the listener derives it")
    .more("Tests: `in`, `is`.")
    .example("unless client-ip in office")
    .many();
const PEER_IP: Word = Word::new("peer-ip", "", "the address of the TCP peer")
    .more("Tests: `in`, `is`.")
    .example("when peer-ip in 10.0.0.0/8")
    .many();
const PROTOCOL: Word =
    Word::new("protocol", "", "`h1`, `h2` or `h3`").more("Tests: `is`.").example("when protocol is h1").many();
const UPGRADE: Word = Word::new("upgrade", "", "the protocol that the client asks to go on with")
    .more("`websocket`, in every version of HTTP: by `Upgrade` in HTTP/1.1, by an extended `CONNECT` in HTTP/2 and HTTP/3. Tests: `is`.")
    .example("when upgrade is websocket")
    .many();
const SNI: Word = Word::new("sni", "", "the server name of the TLS handshake")
    .more("Tests: as `host`.")
    .example("when sni is \"shop.example\"")
    .many();
const TLS_VERSION: Word = Word::new("tls-version", "", "`tls1.2` or `tls1.3`")
    .more("Tests: `is`.")
    .example("when tls-version is tls1.3")
    .many();
const TLS_GROUP: Word = Word::new("tls-group", "", "the group of the key exchange")
    .more("As `groups` of a `tls-policy` writes it. Tests: `is`.")
    .example("when tls-group is x25519mlkem768")
    .many();
const CLIENT_CERT: Word =
    Word::new("client-cert", "subject|issuer [\"ATTRIBUTE\"]|fingerprint", "what the client's certificate says")
        .more("Tests: as `header`. See [Names of certificates](#names-of-certificates).")
        .example("when client-cert subject \"O\" is \"Example\"")
        .many();
const VAR: Word = Word::new("var", "\"NAME\"", "a variable of the request")
    .more("Tests: as `header`.")
    .example("when var \"tier\" is \"gold\"")
    .many();
const ANY: Word = Word::new("any", "{ … }", "at least one of the tests holds")
    .example("when any { path is \"/a\"; header \"x-a\" present }")
    .many();
const ALL: Word = Word::new("all", "{ … }", "every one of the tests holds")
    .example("when all { path is \"/a\"; header \"x-a\" present }")
    .many();
const STATUS: Word = Word::new("status", "", "the status of the response; in `on-response` only")
    .more("Tests: `is`.")
    .example("on-response { when status is [404, 5xx]; set-header \"x-sorry\" \"yes\" }")
    .many();
const RESPONSE_HEADER: Word =
    Word::new("response-header", "\"NAME\"", "every value of a response header; in `on-response` only")
        .more("Tests: as `header`.")
        .example("on-response { when response-header \"server\" present; remove-header \"server\" }")
        .many();

pub(super) const SUBJECT: &[Word] = &[
    HOST,
    PATH,
    METHOD,
    SCHEME,
    HEADER,
    QUERY,
    COOKIE,
    CLIENT_IP,
    PEER_IP,
    PROTOCOL,
    UPGRADE,
    SNI,
    TLS_VERSION,
    TLS_GROUP,
    CLIENT_CERT,
    VAR,
    ANY,
    ALL,
];

pub(super) const RESPONSE_SUBJECT: &[Word] = &[
    STATUS,
    RESPONSE_HEADER,
    HOST,
    PATH,
    METHOD,
    SCHEME,
    HEADER,
    QUERY,
    COOKIE,
    CLIENT_IP,
    PEER_IP,
    PROTOCOL,
    UPGRADE,
    SNI,
    TLS_VERSION,
    TLS_GROUP,
    CLIENT_CERT,
    VAR,
    ANY,
    ALL,
];

pub(super) const CLIENT_CERT_FIELD: &[Word] = &[
    Word::new("subject", "", "the distinguished name of its owner"),
    Word::new("issuer", "", "the distinguished name of its issuer"),
    Word::new("fingerprint", "", "SHA-256 of the certificate, in lower-case hexadecimal digits"),
];

pub(super) const PREDICATE: &[Word] = &[
    Word::new("is", "VALUE|[VALUE, …]", "exactly one of these").more("Hosts have no case. Statuses also as `5xx` and `200..299`. Methods, schemes and protocols may be bare.").example("when header \"x-v\" is [\"1\", \"2\"]"),
    Word::new("like", "\"GLOB\"|[…]", "`*` is any run of characters, `?` is one character").more("Dots and slashes are characters, too. The whole value must fit; hosts have no case.").example("when path like \"*.html\""),
    Word::new("under", "\"PATH\"|[…]", "the path itself or something below it").more("By whole segments: `/api` covers `/api` and `/api/x`, and not `/apix`.").example("when path under \"/api\""),
    Word::new("matches", "\"REGEX\"|[…]", "a regular expression finds something").more("Anchors are yours. The syntax is that of Rust's [regex](https://docs.rs/regex): linear time, no look-around; 4096 bytes at most.").example("when path matches \"^/v[12]/\""),
    Word::new("in", "LIST|NETWORK|[…]", "one of these networks holds the address").more("A list, a network, or several of them in brackets.").example("unless client-ip in [office, 203.0.113.7]"),
    Word::new("present", "", "there is a value").more("It may be empty.").example("when header \"x-beta\" present"),
    Word::new("absent", "", "there is none").example("when cookie \"session\" absent"),
];

const INSERT_WORDS: [Word; 27] = [
    Word::new("host", "", "the host without port"),
    Word::new("port", "", "the port that the client asked for"),
    Word::new("path", "", "the path as it stands"),
    Word::new("query", "", "the query as it stands, without `?`")
        .more("`${query.NAME}` is the first value of a parameter."),
    Word::new("uri", "", "path and query as they stand"),
    Word::new("original-uri", "", "path and query as they came in"),
    Word::new("scheme", "", "`http` or `https`"),
    Word::new("method", "", "the method"),
    Word::new("client-ip", "", "the address of the client"),
    Word::new("peer-ip", "", "the address of the TCP peer"),
    Word::new("listener", "", "the listener's name"),
    Word::new("rule", "", "the rule's name"),
    Word::new("group", "", "the chosen group's name").more("Empty before the choice."),
    Word::new("server", "", "the chosen server's address").more("Empty before the choice."),
    Word::new("request-id", "", "the request's id").more("32 hexadecimal digits; the access log has the same."),
    Word::new("trace-id", "", "the trace's id").more("Where the listener is not traced, of the client's `traceparent`; empty without one."),
    Word::new("protocol", "", "`h1`, `h2` or `h3`"),
    Word::new("client-port", "", "the port of the TCP or QUIC peer"),
    Word::new("sni", "", "the server name of the TLS handshake").more("Empty without one."),
    Word::new("tls-version", "", "`tls1.2` or `tls1.3`").more("Empty without TLS."),
    Word::new("tls-cipher", "", "the cipher suite, by its IANA name").more("Empty without TLS, and over QUIC."),
    Word::new("tls-group", "", "the group of the key exchange")
        .more("As `groups` of a `tls-policy` writes it; empty without TLS, and over QUIC."),
    Word::new("client-cert", ".PART", "what the client's certificate says")
        .more("`.subject`, `.issuer`, `.serial` and `.fingerprint` (SHA-256) are empty without one. `.verify` is `SUCCESS` or `NONE`. `.pem` is all of it, percent-encoded on one line.")
        .example("set-header \"x-info\" \"${client-cert.serial}\""),
    Word::new("header", ".NAME", "every value of a request header, joined")
        .example("set-header \"x-info\" \"${header.user-agent}\""),
    Word::new("cookie", ".NAME", "the first value of a cookie").example("set-header \"x-info\" \"${cookie.session}\""),
    Word::new("var", ".NAME", "a variable of the request")
        .more("Empty if it is not set.")
        .example("set-header \"x-info\" \"${var.tier}\""),
    Word::new("match", ".N|.NAME", "a group of the rule's `matches`")
        .more("0 is the whole match.")
        .example("rewrite path \"/new/${match.1}\""),
];

pub(super) const INSERT: &[Word] = &INSERT_WORDS;

pub(super) const RESPONSE_INSERT: &[Word] = &{
    let status = Word::new("status", "", "the status of the response")
        .example("on-response { set-header \"x-info\" \"${status}\" }");
    let mut words = [status; INSERT_WORDS.len() + 2];
    let mut at = 0;
    while at < INSERT_WORDS.len() {
        words[at + 2] = INSERT_WORDS[at];
        at += 1;
    }
    words[1] = Word::new("response-header", ".NAME", "every value of a response header, joined")
        .example("on-response { log \"${response-header.content-type}\" }");
    words
};

/// The insertions that the access log alone knows: by [`crate::plan::LogField`].
const LOG_WORDS: [Word; 17] = [
    Word::new("time", "", "when the line was written").more("RFC 3339, UTC, with milliseconds."),
    Word::new("status", "", "the status that the client got"),
    Word::new("bytes", "", "bytes of the response's body that were sent"),
    Word::new("bytes-in", "", "bytes of the request's body that came"),
    Word::new("ms", "", "milliseconds from the head's arrival to the end of the response"),
    Word::new("failure", "", "the way in which the request failed"),
    Word::new("side", "", "whose fault the failure is"),
    Word::new("peer", "", "the address and the port of the peer"),
    Word::new("user-agent", "", "the `User-Agent` of the request"),
    Word::new("span-id", "", "the span that the line belongs to")
        .more("The request's own, or where the listener is not traced, the client's."),
    Word::new("upstream-status", "", "the status of the server's answer"),
    Word::new("upstream-ms", "", "milliseconds from the choice of a server to the head of its answer"),
    Word::new("retries", "", "tries beyond the first"),
    Word::new("limited", "", "`true` if a `limit` refused the request"),
    Word::new("vars", "", "the request's variables, as JSON"),
    Word::new("labels", "", "the labels of the listener, as JSON"),
    Word::new("generation", "", "the policy that served the request"),
];

pub(super) const LOG_INSERT: &[Word] = &{
    // No rule's `matches` is at hand when a line is written: `match` comes last, and is left out.
    const KEPT: usize = INSERT_WORDS.len() - 1;
    let mut words = [LOG_WORDS[0]; LOG_WORDS.len() + KEPT];
    let mut at = 0;
    while at < LOG_WORDS.len() {
        words[at] = LOG_WORDS[at];
        at += 1;
    }
    while at < words.len() {
        words[at] = INSERT_WORDS[at - LOG_WORDS.len()];
        at += 1;
    }
    words
};
