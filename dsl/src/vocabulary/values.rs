//! Words of tests and of insertions.

use super::Word;

const HOST: Word = Word::new("host", "", "the host without port").many();
const PATH: Word = Word::new("path", "", "the normalised path").many();
const METHOD: Word = Word::new("method", "", "the method").many();
const SCHEME: Word = Word::new("scheme", "", "`http` or `https`").many();
const HEADER: Word = Word::new("header", "\"NAME\"", "every value of a request header").many();
const QUERY: Word = Word::new("query", "\"NAME\"", "every value of a query parameter").many();
const COOKIE: Word = Word::new("cookie", "\"NAME\"", "every value of a cookie").many();
const CLIENT_IP: Word = Word::new("client-ip", "", "the address of the client, as the listener derives it").many();
const PEER_IP: Word = Word::new("peer-ip", "", "the address of the TCP peer").many();
const PROTOCOL: Word = Word::new("protocol", "", "`h1`, `h2` or `h3`").many();
const SNI: Word = Word::new("sni", "", "the server name of the TLS handshake").many();
const TLS_VERSION: Word = Word::new("tls-version", "", "`tls1.2` or `tls1.3`").many();
const CLIENT_CERT: Word =
    Word::new("client-cert", "subject|issuer|fingerprint", "what the client's certificate says").many();
const VAR: Word = Word::new("var", "\"NAME\"", "a variable of the request").many();
const ANY: Word = Word::new("any", "{ … }", "at least one of the tests holds").many();
const ALL: Word = Word::new("all", "{ … }", "every one of the tests holds").many();
const STATUS: Word = Word::new("status", "", "the status of the response; in `on-response` only").many();
const RESPONSE_HEADER: Word =
    Word::new("response-header", "\"NAME\"", "every value of a response header; in `on-response` only").many();

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
    SNI,
    TLS_VERSION,
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
    SNI,
    TLS_VERSION,
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
    Word::new("is", "VALUE|[VALUE, …]", "exactly one of these"),
    Word::new("like", "\"GLOB\"|[…]", "`*` is any run of characters, `?` is one character"),
    Word::new("under", "\"PATH\"|[…]", "the path itself or something below it"),
    Word::new("matches", "\"REGEX\"|[…]", "a regular expression finds something"),
    Word::new("in", "LIST|NETWORK|[…]", "one of these networks holds the address"),
    Word::new("present", "", "there is a value"),
    Word::new("absent", "", "there is none"),
];

const INSERT_WORDS: [Word; 20] = [
    Word::new("host", "", "the host without port"),
    Word::new("port", "", "the port that the client asked for"),
    Word::new("path", "", "the path as it stands"),
    Word::new("query", "", "the query as it stands, without `?`"),
    Word::new("uri", "", "path and query as they stand"),
    Word::new("original-uri", "", "path and query as they came in"),
    Word::new("scheme", "", "`http` or `https`"),
    Word::new("method", "", "the method"),
    Word::new("client-ip", "", "the address of the client"),
    Word::new("peer-ip", "", "the address of the TCP peer"),
    Word::new("listener", "", "the listener's name"),
    Word::new("rule", "", "the rule's name"),
    Word::new("group", "", "the chosen group's name"),
    Word::new("server", "", "the chosen server's address"),
    Word::new("request-id", "", "the request's id"),
    Word::new("trace-id", "", "the trace's id"),
    Word::new("header", ".NAME", "every value of a request header, joined"),
    Word::new("cookie", ".NAME", "the first value of a cookie"),
    Word::new("var", ".NAME", "a variable of the request"),
    Word::new("match", ".N|.NAME", "a group of the rule's `matches`"),
];

pub(super) const INSERT: &[Word] = &INSERT_WORDS;

pub(super) const RESPONSE_INSERT: &[Word] = &{
    let status = Word::new("status", "", "the status of the response");
    let mut words = [status; INSERT_WORDS.len() + 2];
    let mut at = 0;
    while at < INSERT_WORDS.len() {
        words[at + 2] = INSERT_WORDS[at];
        at += 1;
    }
    words[1] = Word::new("response-header", ".NAME", "every value of a response header, joined");
    words
};
