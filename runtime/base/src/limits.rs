//! Every bound on what a peer, a file or a queue can make the gateway hold or wait for, with its reason.
//!
//! Bounds that an operator may want to change are words of the language (`limits { … }`, timeouts); these are the rest.

use std::time::Duration;

/// How often a worker looks for connections that waited too long. A timeout is late by at most two of these.
pub const TICK: Duration = Duration::from_millis(100);

/// A tick that comes later than this is no busy machine: the process was stopped, or the machine was. Deadlines move by as
/// much, for what arrived meanwhile lies unread in the sockets.
pub const STANDSTILL: Duration = Duration::from_secs(1);

/// Turns of a worker's loop between the tick that finds a deadline passed and its consequence: the bytes that lie in a
/// socket are read in the first, and go through up to two tasks.
pub const LAST_LOOKS: u32 = 4;

/// Read and write buffer of one HTTP/1 connection, in bytes. It holds a request head (the largest head that a
/// policy may allow is half of it) and bounds what a slow reader can make us hold.
pub const CONNECTION_BUFFER: usize = 128 * 1024;

/// What a client may send on one HTTP/2 stream before somebody reads it, in bytes: enough for 80 Mbit/s at 100 ms.
pub const STREAM_WINDOW: u32 = 1024 * 1024;

/// Bytes of bodies for all streams of a connection together. What arrives and is not read is all that a client can make us
/// hold of its bodies.
pub const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// Bytes of one HTTP/2 stream that wait for the socket or for the peer's window. A body is read on only below it.
pub const STREAM_SEND_BUFFER: usize = 64 * 1024;

/// A piece of a body that is shorter, in bytes, costs a library of HTTP/2 or QUIC as much again to keep, or far more.
pub const UNSENT_PIECE: usize = 1024;

/// Such pieces of one stream under way at once. Beyond it they are gathered; a stream that waits for its acknowledgements has so many
/// a round trip that do not wait.
pub const UNSENT_PIECES: usize = 32;

/// Bytes of small pieces that are gathered for one that is not.
pub const GATHERED_PIECES: usize = 16 * 1024;

/// Requests that a client may give up on an HTTP/2 connection beyond those that it lets finish. More is an attack
/// ("rapid reset"), and ends the connection.
pub const RESET_REQUESTS: u32 = 100;

/// After so long, one of them is forgiven: calls that only end by being given up are no attack.
pub const RESET_FORGIVEN: Duration = Duration::from_millis(100);

/// Streams that a client has opened and reset before the gateway looked at them.
pub const RESET_UNSEEN: usize = 20;

/// Streams of a connection that the library has reset for a mistake of the client; more ends the connection. A client that
/// does not wait for our settings may open hundreds too many, and each costs two: one for the head, one for the body.
pub const RESET_MISTAKES: usize = 1000;

/// What a backend may send on one HTTP/2 stream before the client takes it, in bytes.
pub const UPSTREAM_STREAM_WINDOW: u32 = 256 * 1024;

/// Bytes of bodies from a backend, for a connection. It is no bound of its own: a client that does not read holds up its own streams, but must
/// not hold up those of others on the same connection.
pub const UPSTREAM_CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Requests at once on one HTTP/2 connection to a backend, if the backend allows as many; beyond it another is opened.
pub const UPSTREAM_STREAMS: usize = 256;

/// HTTP/2 connections to one server, a worker. Beyond it requests wait for room.
pub const UPSTREAM_H2_CONNECTIONS: usize = 8;

/// Units of what a backend may say on an HTTP/2 connection that moves no request: one for each frame, more for a head.
/// Some hundred requests at once, with their window updates, resets and answers that nobody has looked at yet, stay far
/// below; all of them cost a few milliseconds.
pub const UPSTREAM_TALK: u32 = 32 * 1024;

/// Units of [`UPSTREAM_TALK`] that a head costs: it is decoded, and kept until somebody looks. Five hundred at once may
/// be as long as [`RESPONSE_HEADER_BYTES`] allows.
pub const UPSTREAM_TALK_HEAD: u32 = 64;

/// Units of [`UPSTREAM_TALK`] that a piece of a body gives back, whichever way it goes: servers answer one with a few
/// frames at most.
pub const UPSTREAM_TALK_MOVED: u32 = 8;

/// Units of [`UPSTREAM_TALK`] that a [`TICK`] gives back: 200 frames a second need no reason.
pub const UPSTREAM_TALK_TICK: u32 = 20;

/// Units of [`UPSTREAM_TALK`] that are read before others have their turn.
pub const UPSTREAM_TALK_TURN: u32 = 2048;

/// A piece of a body below this length, in bytes, costs more to hold than it has; those above are held as they are.
pub const SMALL_PIECE: usize = 512;

/// Small pieces on an HTTP/2 connection to a backend after which those that wait are put together: some 200 KB until then.
pub const SMALL_PIECES: u32 = 1024;

/// How often a request is sent again to a server that refused its stream: a connection that goes away is replaced, a
/// server that is full is left alone.
pub const REFUSED_TRIES: u32 = 2;

/// Bytes that a tunnel moves at a time. A worker has one such buffer for all its tunnels; a tunnel keeps only what the
/// other side does not take.
pub const TUNNEL_BUFFER: usize = 64 * 1024;

/// How long a tunnel of which one side has ended may be silent, if `tunnel-timeout` is longer.
pub const HALF_CLOSED: Duration = Duration::from_secs(60);

/// Header fields in a response from a backend: more than any real one sends, and as many as Envoy and HAProxy take. It is hyper's
/// own bound, for which it has room on the stack: naming one, even the same, costs it two allocations for each head.
pub const RESPONSE_HEADERS: usize = HEADERS_ON_THE_STACK;

/// Header fields of a head for which hyper has room on the stack, and which it takes where no other bound is named.
pub const HEADERS_ON_THE_STACK: usize = 100;

/// Header section of a response from a backend, in bytes.
pub const RESPONSE_HEADER_BYTES: usize = 64 * 1024;

/// Bytes that a backend may send over HTTP/1 before the head of its answer has been seen: the largest head, as much of
/// the body as two reads bring along, and room for interim answers (RFC 9110, 15.2). One that says every second that it
/// is at work needs 25 bytes for that.
pub const UNANSWERED_BYTES: usize = 512 * 1024;

/// The part of [`UNANSWERED_BYTES`] that is read before others have their turn: some thousand interim answers, which
/// take half a millisecond.
pub const UNANSWERED_TURN: usize = 32 * 1024;

/// How long an idle connection to a backend is kept: below the 75 s after which common backends close theirs,
/// so that we are the ones who close it.
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(60);

/// Threads for name look-ups, a worker. They block, so they must not be many; more look-ups wait.
pub const RESOLVER_THREADS: usize = 2;

/// Connections that the kernel may hold for a listener before a worker takes them.
pub const ACCEPT_BACKLOG: i32 = 4096;

/// Pause of a listener whose `accept` failed, mostly because descriptors ran out: time for some to be closed.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One in so many file descriptors is kept from clients, so that those who are served have a server.
pub const DESCRIPTORS_FOR_SERVERS: u64 = 4;

/// Descriptors kept for files and sockets of a reload, if so many are a small part: a policy is read one file at a time, and
/// a new listener takes one a worker.
pub const DESCRIPTORS_FOR_FILES: u64 = 256;

/// Access-log bytes that a worker gathers before it hands them on.
pub const LOG_BATCH: usize = 32 * 1024;

/// Batches waiting for a slow log target. Beyond it lines are dropped and counted: a full disk must not stop traffic.
pub const LOG_QUEUE: usize = 256;

/// How often lines are tried again on a log target that failed: a disk that was full, a folder that was not there.
pub const LOG_RETRY: Duration = Duration::from_secs(1);

/// How long the end of the process waits for the last lines: longer than a disk takes, shorter than a pipe that nobody reads.
pub const LOG_LAST: Duration = Duration::from_secs(5);

/// Lines a second that one kind of trouble may write to the gateway's own log, a worker; the rest is counted.
pub const TROUBLE_LINES: u32 = 20;

/// Quiet time after a change before files are read: a file that is being written should be whole.
pub const SETTLE: Duration = Duration::from_millis(50);

/// Quiet time after a rename, which puts a whole file in place at once.
pub const SETTLE_RENAME: Duration = Duration::from_millis(5);

/// The longest that a stream of changes can put a reload off.
pub const SETTLE_MAX: Duration = Duration::from_secs(1);

/// How often files are compared with what was read, in case the kernel told us nothing (network file systems).
pub const POLL: Duration = Duration::from_secs(2);

/// The longest pause between two tries of a reload that failed though no file was at fault; they begin at [`POLL`].
pub const RETRY_MAX: Duration = Duration::from_secs(16);

/// Size of a policy file, in bytes.
pub const POLICY_BYTES: u64 = 16 * 1024 * 1024;

/// Size of a Wasm module, in bytes.
pub const MODULE_BYTES: u64 = 64 * 1024 * 1024;

/// A file of certificates or of a key, in bytes: the bundles of systems have a quarter of a megabyte.
pub const PEM_BYTES: u64 = 4 * 1024 * 1024;

/// An OCSP response, in bytes: it goes out with every full handshake, and real ones have some 2 KB.
pub const STAPLE_BYTES: u64 = 64 * 1024;

/// How long a TLS handshake may take, from the accepted connection on: it is a matter of round trips, and holds memory.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS handshakes under way at once, a worker: some 30 KB each. Beyond it the oldest gives way.
pub const HANDSHAKES: usize = 1024;

/// Bytes that TLS may hold for a client that does not read. Four of its largest records: enough to fill a socket.
pub const TLS_BUFFER: usize = 64 * 1024;

/// How long a client may be silent whose connection is about to close, and which may still be sending: some round trips.
pub const LINGER: Duration = Duration::from_secs(2);

/// Bytes a second that such a client sends at least: an upload is faster, a trickle is there to hold the connection.
pub const LINGER_RATE: usize = 32 * 1024;

/// How long such a client may go on sending what nobody wants. There is no bound in bytes: many clients read their answer only
/// when they have sent all, and time bounds what they can send.
pub const LINGER_LONGEST: Duration = Duration::from_secs(30);

/// Bytes left of a body that nobody wants that are read and thrown away all the same: up to here, that costs less than
/// the new connection of a client that is told to close this one.
pub const DISCARDED_BYTES: u64 = 64 * 1024;

/// The addresses and extensions of a PROXY header of version 2, in bytes. A client's certificate may be among them.
pub const PROXY_HEADER_BYTES: usize = 8 * 1024;

/// How long a PROXY header may take: a trusted peer sends it at once.
pub const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Packets waiting for the worker that owns their connection, a worker and listener. Only clients that changed their
/// address need it; what does not fit is lost, and sent again.
pub const QUIC_HAND_OVER: usize = 512;

/// Handshakes under way on a worker and listener from which on a client has to show that it gets what is sent to its
/// address (Retry). A flood with forged addresses costs no more memory than these.
pub const QUIC_RETRY_FROM: u32 = 200;

/// Handshakes under way on a worker and listener; further clients are refused.
pub const QUIC_HANDSHAKES: u32 = 2000;

/// How long a handshake may take: several lost packets' worth.
pub const QUIC_HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Addresses that began QUIC connections of late, a worker and listener: what each gets is counted until it shows that it is
/// there. Far more than handshakes under way without Retry; each costs less than 2 KiB. Beyond it, a client has to show its
/// address first (Retry).
pub const QUIC_ADDRESSES: usize = 1024;

/// Connection ids remembered of those that such an address was told last. An honest client answers the latest of them.
pub const QUIC_ADDRESS_IDS: usize = 4;

/// The time for which such an address is remembered after its last first packet: its handshake, and the close that follows one that
/// fails.
pub const QUIC_ADDRESS_LIFE: Duration = QUIC_HANDSHAKE_TIME.saturating_mul(2);

/// The time between two looks for addresses to forget.
pub const QUIC_ADDRESS_SWEEP: Duration = Duration::from_secs(1);

/// First packets that wait for a decision, a worker and listener. The decision takes microseconds.
pub const QUIC_INCOMING: usize = 1024;

/// Bytes kept of a client whose first packet waits for a decision.
pub const QUIC_INCOMING_BYTES: u64 = 32 * 1024;

/// Bytes of first packets over all such clients.
pub const QUIC_INCOMING_BYTES_TOTAL: u64 = 4 * 1024 * 1024;

/// Health checks that begin together are this far apart, so that a policy of many servers is no burst.
pub const HEALTH_SPREAD: Duration = Duration::from_millis(10);

/// See [`HEALTH_SPREAD`]: the last of so many begins a second after the first.
pub const HEALTH_SPREAD_OVER: usize = 100;

/// Bytes of a gRPC health check's answer; a good one has seven.
pub const HEALTH_ANSWER: usize = 64;

/// Bodies of one connection's requests that are held whole for extensions, in bytes: eight of the longest at once. A request whose
/// body would go beyond is refused at once; waiting for others to end could be waiting for a client that ends none.
pub const GATHERED_BYTES_CONNECTION: usize = 8 * 1024 * 1024;

/// Bodies of all requests of a worker that are held whole for extensions, in bytes.
pub const GATHERED_BYTES_WORKER: usize = 64 * 1024 * 1024;

/// Bodies up to this length, in bytes, are not compressed: the gain would not pay for it.
pub const COMPRESSED_FROM: u64 = 1024;

/// How long the head of an answer of unknown length waits for the first [`COMPRESSED_FROM`] bytes of its body, or its end: a server
/// that writes head and body one after the other needs a fraction of it. An event stream does not wait.
pub const COMPRESSION_WAIT: Duration = Duration::from_millis(20);

/// Bytes that encoders may hold over all workers. An encoder is held for as long as its client takes to read; beyond
/// this, answers go as they are.
pub const ENCODERS_BYTES: usize = 32 * 1024 * 1024;

/// Bytes that a Brotli encoder holds, as measured with `brotli` 9 at [`BROTLI_QUALITY`] and [`BROTLI_WINDOW`].
pub const BROTLI_BYTES: usize = 1400 * 1024;

/// Bytes that a gzip encoder holds, as measured with `flate2` 1.1 and `zlib-rs`.
pub const GZIP_BYTES: usize = 416 * 1024;

/// Of 11: beyond, each step costs much time for little gain.
pub const BROTLI_QUALITY: u32 = 4;

/// The largest window that a client has to hold, and we too, for each response: 2 to the power of it, in bytes. A shorter body has a
/// smaller one.
pub const BROTLI_WINDOW: u32 = 17;

/// The window of a body whose length nobody knows: most of them are short, or streams that stay open.
pub const BROTLI_STREAM_WINDOW: u32 = 16;

/// The smallest window that the format has (RFC 7932, 9.1).
pub const BROTLI_LEAST_WINDOW: u32 = 10;

/// Bytes that gather before they are compressed.
pub const BROTLI_BUFFER: usize = 16 * 1024;

/// After so many bytes of a body, what an encoder made of them leaves: it would hold several megabytes otherwise.
pub const ENCODER_BLOCK: usize = 32 * 1024;

/// Of 9: see [`BROTLI_QUALITY`].
pub const GZIP_LEVEL: u32 = 4;

/// Sessions that a listener with `early-data on` remembers: some 1 KB each, the oldest gives way.
pub const EARLY_DATA_SESSIONS: usize = 10_000;

/// Bytes of early data that a client may send on a TCP connection: room for a request's head with its cookies, and small
/// beside what the connection holds anyway. Nothing in them is confirmed by the handshake yet.
pub const EARLY_DATA_BYTES: u32 = 16 * 1024;

/// Streams of its own that a client may have open: the control stream, two of QPACK, and some that are ignored.
pub const QUIC_CLIENT_STREAMS: u32 = 16;

/// Bytes of a request's body that a client may send ahead of its backend.
pub const QUIC_STREAM_WINDOW: u32 = 512 * 1024;

/// Bytes that may arrive unread over all requests of a connection.
pub const QUIC_RECEIVE_WINDOW: u32 = 1024 * 1024;

/// Bytes of answers kept for a client until it acknowledges them: the line rate of 200 Mbit/s at 80 ms away. A slow
/// reader makes us hold no more than these.
pub const QUIC_SEND_WINDOW: u64 = 2 * 1024 * 1024;

/// Not a single packet for this much longer than the longest of the listener's timeouts: the client is gone without a word.
pub const QUIC_SILENCE_MARGIN: Duration = Duration::from_secs(5);

/// Bytes of a file with a secret; 44 are usual.
pub const SECRET_BYTES: u64 = 4096;

/// The time for which a key that is derived from a secret makes session tickets; it is known for as long again.
pub const TICKET_PERIOD: Duration = Duration::from_secs(6 * 3600);

/// How often a QUIC connection without a request is looked at whose last answers have not arrived: fine enough that it ends
/// soon after the client takes no more, and seldom enough to cost nothing.
pub const QUIC_LOOK: Duration = Duration::from_millis(100);

/// Tokens that a QUIC client gets, each good for one connection whose first packet proves its address (RFC 9000, 8.1.3).
/// Browsers open two at most to begin with.
pub const QUIC_TOKENS: u32 = 2;

/// How long such a token is good. It names an address, and those of homes and phones change daily.
pub const QUIC_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Used tokens that a QUIC listener remembers, 16 bytes each and some for order. Beyond it, the oldest are taken for used,
/// and with them all that were given out before.
pub const QUIC_TOKENS_USED: usize = 65_536;

/// The longest frame of a client's control stream, where `limits { header-bytes }` is less.
pub const QUIC_CONTROL_FRAME: u64 = 4096;

/// Buffers of a UDP socket, in bytes: bursts that come while a worker does something else.
pub const QUIC_SOCKET_BUFFER: usize = 2 * 1024 * 1024;

/// The shortest and the longest time without an acknowledgement after which a client is taken to have all that it was sent.
pub const QUIC_LINGER_MIN: Duration = Duration::from_millis(50);

/// See [`QUIC_LINGER_MIN`].
pub const QUIC_LINGER_MAX: Duration = Duration::from_secs(1);

/// Calls of extensions to other servers that a worker has under way at once: each holds a connection and a body. Each extension
/// has an equal share of half of them.
pub const OUTBOUND_CALLS: usize = 256;

/// Open connections that a worker holds against a new policy before it looks after others again. One costs a search in a
/// list of networks, and a certificate whose authorities changed two or three signatures, so that others wait a few milliseconds at most.
pub const READMISSIONS: usize = 16;

/// Policies that were read and are remembered for whoever watches: a day of changes, and little memory.
pub const GENERATIONS_KEPT: usize = 20;

/// Bytes that are kept of what was said of one of them: a policy may have ten thousand mistakes.
pub const GENERATION_BYTES: usize = 64 * 1024;

/// Connections to the admin API and to the metrics, of all addresses together: people, their tools, and two Prometheus.
pub const ADMIN_CONNECTIONS: usize = 128;

/// Bytes of a request's head to the admin API.
pub const ADMIN_HEAD_BYTES: usize = 16 * 1024;

/// The time for a request's head to arrive at the admin API, and for a connection to lie idle there.
pub const ADMIN_IDLE: Duration = Duration::from_secs(30);

/// Bytes of an order's body at the admin API: a few words of JSON.
pub const ADMIN_BODY_BYTES: usize = 64 * 1024;

/// Bytes of a policy that is sent to be compared: more than any that people write.
pub const ADMIN_POLICY_BYTES: usize = 4 * 1024 * 1024;

/// The time for a body to arrive at the admin API.
pub const ADMIN_BODY_TIME: Duration = Duration::from_secs(10);

/// Orders of the admin API that wait for the thread that reads policies.
pub const ADMIN_ORDERS: usize = 32;

/// The time that the admin API waits for an order to be carried out before it answers that it is queued: a policy that compiles may
/// be before it.
pub const ADMIN_ORDER_TIME: Duration = Duration::from_secs(30);

/// Policies and requests that the admin API compiles or explains at a time: each takes a processor.
pub const ADMIN_WORK: usize = 2;

/// Answers of the admin API that go on, such as a live log: an operator or two, each with a few windows.
pub const ADMIN_STREAMS: usize = 16;

/// Events that wait for a slow reader of one.
pub const ADMIN_EVENTS: usize = 64;

/// Those who watch requests as they end, at once: a bit for each in every request that is watched.
pub const WATCHERS: usize = 8;

/// Lines that wait for one who watches.
pub const WATCHED_LINES: usize = 256;

/// Lines that one who watches gets in a second from all workers: more than anybody reads; the rest is counted.
pub const WATCHED_LINES_A_SECOND: u32 = 200;

/// Bytes of the condition by which requests are chosen.
pub const WATCHED_CONDITION_BYTES: usize = 4 * 1024;

/// Requests that failed and are kept to be looked at.
pub const FAILED_REQUESTS_KEPT: usize = 64;

/// Spans on their way from a worker to the thread that sends them, which looks there every [`SPAN_LOOK`]: eighty thousand a second.
pub const SPAN_RING: usize = 4096;

/// Spans that wait for a slow collector: those of a few seconds. Beyond it they are dropped and counted.
pub const SPAN_QUEUE: usize = 8192;

/// Spans sent at a time, as OpenTelemetry's own exporters do. With [`SPAN_TEXT`], a request with so many stays below the 4 MiB that
/// a gRPC server takes by default.
pub const SPAN_BATCH: usize = 512;

/// How long a span waits for others.
pub const SPAN_WAIT: Duration = Duration::from_secs(1);

/// How often the thread that sends spans looks for new ones.
pub const SPAN_LOOK: Duration = Duration::from_millis(50);

/// Spans of one request beside its own: a body in small pieces calls a hook for each.
pub const SPANS_OF_A_REQUEST: u32 = 128;

/// Bytes of one text in a span, such as a path: the rest is cut off.
pub const SPAN_TEXT: usize = 1024;

/// The time for a collector to take spans, from connecting to the end of its answer: the default of OpenTelemetry's exporters.
pub const COLLECTOR_TIME: Duration = Duration::from_secs(10);

/// Bytes that a collector may send for one request, its head and whatever lies below it included: an answer has a hundred.
pub const COLLECTOR_BYTES: usize = 256 * 1024;

/// The wait before spans are sent a second time; it doubles with each time, up to [`COLLECTOR_PAUSE_MAX`], and chance takes up to
/// half of it away.
pub const COLLECTOR_PAUSE: Duration = Duration::from_millis(500);

/// The longest wait before spans are sent once more.
pub const COLLECTOR_PAUSE_MAX: Duration = Duration::from_secs(16);

/// How long the same spans are sent again and again: longer than a collector takes to start anew.
pub const COLLECTOR_PATIENCE: Duration = Duration::from_secs(60);

/// How long the end of the process waits for the last spans to be taken.
pub const SPAN_LAST: Duration = Duration::from_secs(5);

/// How often the gateway's own log says that a collector takes no spans, and how many were lost.
pub const COLLECTOR_LINE: Duration = Duration::from_secs(60);
