//! HTTP/2, frame by frame: what is right is served, what is wrong gets the error of RFC 9113, nothing is smuggled.

use tidegate_tests::frames::*;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// The code that the gateway's library sends where RFC 9113 has a code that is more exact. Either way the connection ends.
const GENERIC: u32 = PROTOCOL_ERROR;

/// The end that a case has to come to.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// The answer has this status.
    Status(u16),
    /// The stream fails, with one of these codes; the connection goes on.
    Stream(&'static [u32]),
    /// The stream fails or is answered with 400; the connection goes on.
    Refused,
    /// The connection ends, with one of these codes or, as RFC 9113, 5.4.1 allows, without a word.
    Connection(&'static [u32]),
    /// The stream fails, or the connection does.
    Either(&'static [u32]),
}

use Wanted::{Connection, Either, Refused, Status, Stream};

/// A name with the section of RFC 9113 (or 7541), what is sent after the preface, and what has to become of stream 1.
type Case = (&'static str, fn(&mut Frames), Wanted);

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")];
const POST: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/")];

fn get_with(client: &mut Frames, more: &[(&str, &str)]) {
    client.headers(1, END_STREAM, &[&GET[..], more].concat());
}

fn post_with(client: &mut Frames, more: &[(&str, &str)], data: &[u8]) {
    client.headers(1, 0, &[&POST[..], more].concat()).send(DATA, END_STREAM, 1, data);
}

const CASES: &[Case] = &[
    (
        "4.1 unknown frame types are ignored",
        |c| {
            c.send(0x42, 0xff, 0, b"what");
            c.get(1, "/");
        },
        Status(200),
    ),
    (
        "4.1 undefined flags are ignored",
        |c| {
            c.send(PING, 0xfe, 0, &[0; 8]).get(1, "/");
        },
        Status(200),
    ),
    (
        "4.1 the reserved bit is ignored",
        |c| {
            c.send(WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 1]).get(1, "/");
        },
        Status(200),
    ),
    (
        "4.2 a DATA frame that is too large",
        |c| {
            c.headers(1, 0, &POST).send(DATA, 0, 1, &[0; 16385]);
        },
        Either(&[FRAME_SIZE_ERROR]),
    ),
    (
        "4.2 a HEADERS frame that is too large",
        |c| {
            c.send(HEADERS, 5, 1, &[0; 16385]);
        },
        Connection(&[FRAME_SIZE_ERROR]),
    ),
    (
        "4.3 a header block that is no HPACK",
        |c| {
            c.send(HEADERS, 5, 1, &[0xff; 20]);
        },
        Connection(&[COMPRESSION_ERROR, GENERIC]),
    ),
    (
        "4.3 another frame within a header block",
        |c| {
            c.send(HEADERS, END_STREAM, 1, &block(&GET)).send(PING, 0, 0, &[0; 8]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "4.3 another stream's frame within a header block",
        |c| {
            c.send(HEADERS, 0, 1, &block(&GET)).send(CONTINUATION, END_HEADERS, 3, &[]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "5.1 DATA on an idle stream",
        |c| {
            c.send(DATA, END_STREAM, 1, b"x");
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "5.1 RST_STREAM on an idle stream",
        |c| {
            c.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "5.1 WINDOW_UPDATE on an idle stream",
        |c| {
            c.send(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "5.1 CONTINUATION on an idle stream",
        |c| {
            c.send(CONTINUATION, END_HEADERS, 1, &block(&GET));
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "5.1 DATA after END_STREAM",
        |c| {
            c.headers(1, 0, &[&POST[..], &[("x-stall", "1")]].concat())
                .send(DATA, END_STREAM, 1, b"x")
                .send(DATA, END_STREAM, 1, b"y");
        },
        Either(&[STREAM_CLOSED, GENERIC]),
    ),
    (
        "5.1 HEADERS after END_STREAM",
        |c| {
            get_with(c, &[("x-stall", "1")]);
            c.headers(1, END_STREAM, &GET);
        },
        Either(&[STREAM_CLOSED, PROTOCOL_ERROR]),
    ),
    (
        "5.1.1 an even stream",
        |c| {
            c.headers(2, END_STREAM, &GET);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "5.1.1 a stream below the last",
        |c| {
            c.headers(5, END_STREAM, &GET).headers(3, END_STREAM, &GET);
        },
        Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]),
    ),
    (
        "5.3 priorities are ignored",
        |c| {
            c.send(PRIORITY, 0, 3, &[0, 0, 0, 0, 10]).get(1, "/").send(PRIORITY, 0, 1, &[0x80, 0, 0, 3, 255]);
        },
        Status(200),
    ),
    (
        "5.3.1 HEADERS with a priority",
        |c| {
            c.send(HEADERS, 0x25, 1, &[&[0, 0, 0, 0, 200][..], &block(&GET)].concat());
        },
        Status(200),
    ),
    (
        "5.3.1 HEADERS that depend on themselves",
        |c| {
            c.send(HEADERS, 0x25, 1, &[&[0, 0, 0, 1, 200][..], &block(&GET)].concat());
        },
        Either(&[PROTOCOL_ERROR]),
    ),
    (
        "6.1 DATA on stream 0",
        |c| {
            c.send(DATA, 0, 0, b"x");
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.1 padding longer than DATA",
        |c| {
            c.headers(1, 0, &POST).send(DATA, 0x9, 1, &[200, 1, 2]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.1 padded DATA",
        |c| {
            c.headers(1, 0, &POST).send(DATA, 0x9, 1, &[2, b'a', 0, 0]);
        },
        Status(200),
    ),
    (
        "6.2 HEADERS on stream 0",
        |c| {
            c.headers(0, END_STREAM, &GET);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.2 padded HEADERS",
        |c| {
            c.send(HEADERS, 0xd, 1, &[&[3][..], &block(&GET), &[0; 3]].concat());
        },
        Status(200),
    ),
    (
        "6.2 padding longer than HEADERS",
        |c| {
            c.send(HEADERS, 0xd, 1, &[255, 0x82]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.3 PRIORITY of a wrong length",
        |c| {
            c.get(1, "/").send(PRIORITY, 0, 3, &[0; 4]);
        },
        Either(&[FRAME_SIZE_ERROR, GENERIC]),
    ),
    (
        "6.4 RST_STREAM on stream 0",
        |c| {
            c.send(RST_STREAM, 0, 0, &[0; 4]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.4 RST_STREAM of a wrong length",
        |c| {
            get_with(c, &[("x-stall", "1")]);
            c.send(RST_STREAM, 0, 1, &[0; 3]);
        },
        Connection(&[FRAME_SIZE_ERROR, GENERIC]),
    ),
    (
        "6.5 SETTINGS with ACK and a payload",
        |c| {
            c.send(SETTINGS, ACK, 0, &[0; 6]);
        },
        Connection(&[FRAME_SIZE_ERROR, GENERIC]),
    ),
    (
        "6.5 SETTINGS on a stream",
        |c| {
            c.send(SETTINGS, 0, 1, &[]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.5 SETTINGS of a wrong length",
        |c| {
            c.send(SETTINGS, 0, 0, &[0; 5]);
        },
        Connection(&[FRAME_SIZE_ERROR, GENERIC]),
    ),
    (
        "6.5.2 ENABLE_PUSH of 2",
        |c| {
            c.send(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.5.2 INITIAL_WINDOW_SIZE of 2^31",
        |c| {
            c.send(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]);
        },
        Connection(&[FLOW_CONTROL_ERROR, GENERIC]),
    ),
    (
        "6.5.2 MAX_FRAME_SIZE below 2^14",
        |c| {
            c.send(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.5.2 MAX_FRAME_SIZE above 2^24-1",
        |c| {
            c.send(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.5.2 an unknown setting is ignored",
        |c| {
            c.send(SETTINGS, 0, 0, &[0, 0x99, 0, 0, 0, 1]).get(1, "/");
        },
        Status(200),
    ),
    (
        "6.6 a PUSH_PROMISE from a client",
        |c| {
            c.get(1, "/").send(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.7 PING on a stream",
        |c| {
            c.send(PING, 0, 1, &[0; 8]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.7 PING of a wrong length",
        |c| {
            c.send(PING, 0, 0, &[0; 6]);
        },
        Connection(&[FRAME_SIZE_ERROR, GENERIC]),
    ),
    (
        "6.8 GOAWAY on a stream",
        |c| {
            c.send(GOAWAY, 0, 1, &[0; 8]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.9 WINDOW_UPDATE of 0 for the connection",
        |c| {
            c.send(WINDOW_UPDATE, 0, 0, &[0; 4]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.9 WINDOW_UPDATE of 0 for a stream",
        |c| {
            get_with(c, &[("x-stall", "1")]);
            c.send(WINDOW_UPDATE, 0, 1, &[0; 4]);
        },
        Either(&[PROTOCOL_ERROR]),
    ),
    (
        "6.9 WINDOW_UPDATE of a wrong length",
        |c| {
            c.send(WINDOW_UPDATE, 0, 0, &[0; 3]);
        },
        Connection(&[FRAME_SIZE_ERROR, GENERIC]),
    ),
    (
        "6.9.1 a connection's window over 2^31-1",
        |c| {
            (0..2).for_each(|_| {
                c.send(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
            });
        },
        Connection(&[FLOW_CONTROL_ERROR]),
    ),
    (
        "6.9.1 a stream's window over 2^31-1",
        |c| {
            get_with(c, &[("x-stall", "1")]);
            (0..2).for_each(|_| {
                c.send(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes());
            });
        },
        Either(&[FLOW_CONTROL_ERROR]),
    ),
    (
        "6.10 CONTINUATION after END_HEADERS",
        |c| {
            get_with(c, &[("x-stall", "1")]);
            c.send(CONTINUATION, END_HEADERS, 1, &[0x82]);
        },
        Connection(&[PROTOCOL_ERROR]),
    ),
    (
        "6.10 a head in three frames",
        |c| {
            let whole = block(&GET);
            c.send(HEADERS, END_STREAM, 1, &whole[..9]).send(CONTINUATION, 0, 1, &whole[9..20]).send(
                CONTINUATION,
                END_HEADERS,
                1,
                &whole[20..],
            );
        },
        Status(200),
    ),
    (
        "8.1 a second HEADERS without END_STREAM",
        |c| {
            c.headers(1, 0, &POST).headers(1, 0, &[("x", "y")]);
        },
        Stream(&[PROTOCOL_ERROR]),
    ),
    (
        "8.1 a pseudo-header in trailers is dropped",
        |c| {
            c.headers(1, 0, &POST).send(DATA, 0, 1, b"x").headers(1, END_STREAM, &[(":method", "GET")]);
        },
        Status(200),
    ),
    (
        "8.1.1 a content-length that is more than comes",
        |c| post_with(c, &[("content-length", "10")], b"short"),
        Stream(&[PROTOCOL_ERROR]),
    ),
    (
        "8.1.1 a content-length that is less than comes",
        |c| post_with(c, &[("content-length", "1")], b"too long"),
        Stream(&[PROTOCOL_ERROR]),
    ),
    ("8.1.1 a content-length and no body", |c| get_with(c, &[("content-length", "5")]), Stream(&[PROTOCOL_ERROR])),
    (
        "8.1.1 two content-lengths",
        |c| post_with(c, &[("content-length", "5"), ("content-length", "50")], b"hello"),
        Refused,
    ),
    ("8.1.1 two content-lengths in one field", |c| post_with(c, &[("content-length", "5, 50")], b"hello"), Refused),
    ("8.1.1 a content-length with a sign", |c| post_with(c, &[("content-length", "+5")], b"hello"), Refused),
    ("8.1.1 a content-length that is none", |c| post_with(c, &[("content-length", "five")], b"hello"), Refused),
    ("8.2 an upper-case name", |c| get_with(c, &[("X-Upper", "1")]), Either(&[PROTOCOL_ERROR])),
    ("8.2.1 a name with a space", |c| get_with(c, &[("x name", "1")]), Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR])),
    ("8.2.1 a name with a colon", |c| get_with(c, &[("x:name", "1")]), Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR])),
    ("8.2.1 an empty name", |c| get_with(c, &[("", "1")]), Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR])),
    (
        "8.2.1 a value with CR LF",
        |c| get_with(c, &[("x", "1\r\nx-smuggled: 2")]),
        Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR]),
    ),
    (
        "8.2.1 a value with LF",
        |c| get_with(c, &[("x", "1\nx-smuggled: 2")]),
        Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR]),
    ),
    ("8.2.1 a value with NUL", |c| get_with(c, &[("x", "1\0")]), Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR])),
    ("8.2.1 a name with CR LF", |c| get_with(c, &[("x: 1\r\ny", "2")]), Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR])),
    ("8.2.2 connection", |c| get_with(c, &[("connection", "close")]), Refused),
    ("8.2.2 keep-alive", |c| get_with(c, &[("keep-alive", "1")]), Refused),
    ("8.2.2 proxy-connection", |c| get_with(c, &[("proxy-connection", "close")]), Refused),
    (
        "8.2.2 transfer-encoding",
        |c| post_with(c, &[("transfer-encoding", "chunked")], b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n"),
        Refused,
    ),
    ("8.2.2 upgrade", |c| get_with(c, &[("upgrade", "h2c")]), Refused),
    ("8.2.2 te that is not trailers", |c| get_with(c, &[("te", "gzip")]), Refused),
    ("8.2.2 te: trailers", |c| get_with(c, &[("te", "trailers")]), Status(200)),
    ("8.3 an unknown pseudo-header", |c| get_with(c, &[(":what", "1")]), Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR])),
    ("8.3 a pseudo-header of answers", |c| get_with(c, &[(":status", "200")]), Refused),
    (
        "8.3 a pseudo-header after a field",
        |c| {
            c.headers(
                1,
                END_STREAM,
                &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", "y"), (":authority", "test")],
            );
        },
        Refused,
    ),
    (
        "8.3.1 no method",
        |c| {
            c.headers(1, END_STREAM, &GET[1..]);
        },
        Refused,
    ),
    (
        "8.3.1 no scheme",
        |c| {
            c.headers(1, END_STREAM, &[GET[0], GET[2], GET[3]]);
        },
        Refused,
    ),
    (
        "8.3.1 no path",
        |c| {
            c.headers(1, END_STREAM, &GET[..3]);
        },
        Refused,
    ),
    (
        "8.3.1 an empty path",
        |c| {
            c.headers(1, END_STREAM, &[GET[0], GET[1], GET[2], (":path", "")]);
        },
        Refused,
    ),
    (
        "8.3.1 a path without a slash",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "admin", &[]));
        },
        Refused,
    ),
    (
        "8.3.1 a path that is an absolute target",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "http://other/admin", &[]));
        },
        Refused,
    ),
    (
        "8.3.1 a path with a space",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "/a HTTP/1.1", &[]));
        },
        Refused,
    ),
    (
        "8.3.1 a path with CR LF",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "/a HTTP/1.1\r\nhost: other\r\n\r\n", &[]));
        },
        Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR]),
    ),
    (
        "8.3.1 a fragment is cut off",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "/#b", &[]));
        },
        Status(200),
    ),
    (
        "8.3.1 a path of * for GET",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "*", &[]));
        },
        Refused,
    ),
    (
        "8.3.1 a path above the root",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "/../etc", &[]));
        },
        Status(400),
    ),
    (
        "8.3.1 two paths",
        |c| {
            c.headers(1, END_STREAM, &request("GET", "/", &[(":path", "/admin")]));
        },
        Refused,
    ),
    (
        "8.3.1 a method with a space",
        |c| {
            c.headers(1, END_STREAM, &request("GET /", "/", &[]));
        },
        Either(&[PROTOCOL_ERROR]),
    ),
    (
        "8.3.1 a method with CR LF",
        |c| {
            c.headers(1, END_STREAM, &request("GET / HTTP/1.1\r\n\r\n", "/", &[]));
        },
        Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR]),
    ),
    ("8.3.1 an authority and another host", |c| get_with(c, &[("host", "admin")]), Status(400)),
    ("8.3.1 an authority and the same host", |c| get_with(c, &[("host", "test")]), Status(200)),
    ("8.3.1 two hosts", |c| get_with(c, &[("host", "test"), ("host", "test")]), Status(400)),
    (
        "8.3.1 a host and no authority",
        |c| {
            c.headers(1, END_STREAM, &[GET[0], GET[1], GET[3], ("host", "test")]);
        },
        Status(200),
    ),
    (
        "8.3.1 no host at all",
        |c| {
            c.headers(1, END_STREAM, &[GET[0], GET[1], GET[3]]);
        },
        Status(400),
    ),
    (
        "8.3.1 an authority with a user",
        |c| {
            c.headers(1, END_STREAM, &[GET[0], GET[1], (":authority", "user@test"), GET[3]]);
        },
        Refused,
    ),
    (
        "8.3.1 an authority with a path",
        |c| {
            c.headers(1, END_STREAM, &[GET[0], GET[1], (":authority", "test/admin"), GET[3]]);
        },
        Refused,
    ),
    (
        "8.3.1 an authority with CR LF",
        |c| {
            c.headers(1, END_STREAM, &[GET[0], GET[1], (":authority", "test\r\nx: y"), GET[3]]);
        },
        Either(&[PROTOCOL_ERROR, COMPRESSION_ERROR]),
    ),
    (
        "8.5 CONNECT",
        |c| {
            c.headers(1, 0, &[(":method", "CONNECT"), (":authority", "test:22")]);
        },
        Status(405),
    ),
    (
        "8.5 CONNECT with a path",
        |c| {
            c.headers(1, 0, &request("CONNECT", "/", &[]));
        },
        Refused,
    ),
    (
        "RFC 8441 another protocol",
        |c| {
            c.headers(1, 0, &request("CONNECT", "/", &[(":protocol", "connect-udp")]));
        },
        Status(501),
    ),
    (
        "RFC 8441 a protocol without CONNECT",
        |c| {
            c.headers(1, 0, &request("GET", "/", &[(":protocol", "websocket")]));
        },
        Refused,
    ),
    (
        "TRACE",
        |c| {
            c.headers(1, END_STREAM, &request("TRACE", "/", &[]));
        },
        Status(405),
    ),
    (
        "RFC 7541, 2.3.3 an index beyond the tables",
        |c| {
            c.send(HEADERS, 5, 1, &[0xff, 0x80, 0x01]);
        },
        Connection(&[COMPRESSION_ERROR, GENERIC]),
    ),
    (
        "RFC 7541, 4.2 a table size over the limit",
        |c| {
            c.send(HEADERS, 5, 1, &[&[0x3f, 0xe1, 0xff, 0x7f][..], &block(&GET)].concat());
        },
        Connection(&[COMPRESSION_ERROR, GENERIC]),
    ),
    (
        "RFC 7541, 5.2 Huffman padding over seven bits",
        |c| {
            c.send(HEADERS, 5, 1, &[&block(&GET)[..], &[0, 1, b'x', 0x82, 0x07, 0xff, 0xff]].concat());
        },
        Connection(&[COMPRESSION_ERROR, GENERIC]),
    ),
];

#[test]
fn every_frame_gets_what_the_standard_says() {
    let backend = Backend::echo();
    let stalls = Backend::start(Behaviour::StallBeforeHead);
    let policy = Policy::to(&backend)
        .backend("stalls", &stalls)
        .rule("stall", "when header \"x-stall\" present\nforward stalls");
    let gateway = Gateway::start(&policy);
    let mut wrong = Vec::new();
    for (name, send, wanted) in CASES {
        let mut client = Frames::connect(gateway.port());
        send(&mut client);
        let outcome = client.outcome(1);
        let (right, goes_on) = match (wanted, outcome) {
            (Status(status), Outcome::Status(is)) => (*status == is, true),
            (Stream(codes), Outcome::Reset(code)) => (codes.contains(&code), true),
            (Refused, Outcome::Reset(PROTOCOL_ERROR) | Outcome::Status(400)) => (true, true),
            (Either(codes), Outcome::Reset(code)) => (codes.contains(&code), true),
            (Connection(codes) | Either(codes), Outcome::GoAway(code)) => (codes.contains(&code), false),
            (Connection(_), Outcome::Closed) => (true, false),
            _ => (false, false),
        };
        if !right {
            wrong.push(format!("{name}: {outcome:?}, not {wanted:?}"));
        } else if goes_on {
            let after = client.get(101, "/after").outcome(101);
            if after != Outcome::Status(200) {
                wrong.push(format!("{name}: the connection does not go on: {after:?}"));
            }
        } else {
            client.end();
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    // Whatever was refused, nothing of it reached a backend as something else.
    for request in backend.requests() {
        let target = request.target.as_str();
        assert!(matches!(target, "/" | "/after"), "{request:?}");
        assert_eq!(request.header("host"), Some("test"), "{request:?}");
        assert!(request.all("x-smuggled").is_empty() && request.all("content-length").len() < 2, "{request:?}");
    }
    assert_eq!(gateway.get("/after").status, 200);
}

#[test]
fn a_bad_preface_is_no_http() {
    let gateway = Gateway::start(&Policy::new().otherwise("respond 200 \"ok\""));
    let mut client = Frames::bare(gateway.port());
    client.raw(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client.socket(), &mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    // Byte by byte, with a request.
    let mut client = Frames::bare(gateway.port());
    for byte in PREFACE {
        client.raw(&[*byte]);
    }
    for byte in [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, 5, 1, &block(&GET))].concat() {
        client.raw(&[byte]);
    }
    assert_eq!(client.outcome(1), Outcome::Status(200));
}

#[test]
fn pings_are_answered_and_settings_acknowledged() {
    let gateway = Gateway::start(&Policy::new().otherwise("respond 200 \"ok\""));
    let mut client = Frames::connect(gateway.port());
    client.send(PING, 0, 0, b"tidegate");
    let (mut pong, mut acknowledged) = (false, false);
    while !(pong && acknowledged) {
        let Some(frame) = client.receive_any() else { panic!("the connection ended") };
        pong |= (frame.kind, frame.flags, frame.payload.as_slice()) == (PING, ACK, b"tidegate");
        acknowledged |= (frame.kind, frame.flags) == (SETTINGS, ACK);
    }
}

#[test]
fn an_answer_waits_for_the_window_and_no_longer_than_request_timeout() {
    let policy =
        Policy::new().listener("idle-timeout 1s").listener("request-timeout 3s").otherwise("respond 200 \"hello\"");
    let gateway = Gateway::start(&policy);
    let mut client = Frames::bare(gateway.port());
    // No room on any stream (RFC 9113, 6.9.2).
    client.raw(PREFACE).send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).get(1, "/").get(3, "/");
    assert_eq!(client.outcome(1), Outcome::Status(200));
    // Longer than `idle-timeout` and the gateway's clock.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    client.send(WINDOW_UPDATE, 0, 1, &3_u32.to_be_bytes()).send(WINDOW_UPDATE, 0, 1, &2_u32.to_be_bytes());
    let (mut body, mut reset) = (Vec::new(), None);
    while reset.is_none() {
        let Some(frame) = client.receive() else { panic!("the connection ended") };
        match (frame.kind, frame.stream) {
            (DATA, 1) => body.extend(frame.payload),
            (RST_STREAM, 3) => reset = Some(frame.payload),
            _ => {}
        }
    }
    assert_eq!(body, b"hello");
    assert_eq!(reset.as_deref(), Some(&8_u32.to_be_bytes()[..]), "CANCEL");
}
