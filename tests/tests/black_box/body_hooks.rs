//! Extensions that look at bodies, at the end of requests, and at the clock.

use std::fs;

use bytes::Bytes;
use h2::SendStream;
use tidegate_tests::http2::{Http2, read, send_all};
use tidegate_tests::http3::run;
use tidegate_tests::{Backend, Behaviour, Gateway, PATIENCE, Policy, Response, eventually, guest, reset_peak};
use tokio::task::JoinSet;

/// A gateway whose hostile guest sees both bodies in this mode.
fn gateway(backend: &Backend, mode: &str, settings: &str) -> Gateway {
    gateway_with(backend, mode, settings, "run bodies")
}

/// A gateway like [`gateway`], with these lines in the listener.
fn gateway_with(backend: &Backend, mode: &str, settings: &str, lines: &str) -> Gateway {
    let policy = Policy::to(backend)
        .top("gateway { workers 1 }")
        .top(&format!(
            "extension bodies {{ module \"guest.wasm\"; {settings}
             config {{ body {mode}; tick_ms 100 }}
             allow [read-request, write-request-headers, rewrite, read-response, write-response-headers, route, respond, body, \
             vars, log, clock, random, metrics, store] }}"
        ))
        .listener(lines);
    Gateway::start_with(&policy, |folder| {
        fs::copy(guest("tidegate_hostile_guest"), folder.join("guest.wasm")).unwrap();
    })
}

#[test]
fn a_whole_body_is_replaced_before_the_head_leaves() {
    let backend = Backend::echo();
    let gateway = gateway(&backend, "buffer 1024", "on-error deny");
    let mut client = gateway.client();
    let request = client.post("/", "upper").echo();
    assert_eq!((request.text(), request.header("content-length")), ("UPPER".to_owned(), Some("5")));
    let request = client.post("/", "drop").echo();
    assert_eq!((request.length, request.header("content-length")), (0, Some("0")));
    let request = client.post("/", "write").echo();
    assert_eq!((request.text(), request.header("x-body")), ("write".to_owned(), Some("5")));
    // Chunks become one piece, and the length is known then.
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nup\r\n3\r\nper\r\n0\r\n\r\n");
    let request = client.receive().echo();
    assert_eq!((request.text(), request.header("content-length")), ("UPPER".to_owned(), Some("5")));
    assert_eq!(request.header("transfer-encoding"), None);
    assert_eq!(client.get("/").echo().header("x-body"), None, "no body, no call");
}

#[test]
fn a_body_hook_answers_closes_and_fails() {
    let backend = Backend::echo();
    let gateway = gateway(&backend, "buffer 16", "on-error deny; limits { time 50ms }");
    let mut client = gateway.client();
    let answer = client.post("/", "respond");
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    for (body, fault) in [("panic", "trap"), ("loop", "deadline"), ("a body of more than 16 bytes", "body-too-long")] {
        let mark = gateway.log().mark();
        assert_eq!(gateway.client().post("/", body).status, 500, "{body}");
        gateway.wait_for(mark, &format!("extension=\"bodies\" fault=\"{fault}\""));
    }
    let mut closed = gateway.client();
    closed.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nclose");
    assert!(closed.is_closed());
    assert!(backend.requests().is_empty(), "nothing of it has left");
}

#[test]
fn a_body_that_is_too_long_passes_whole_where_faults_are_skipped() {
    let backend = Backend::start(Behaviour::Swallow);
    let gateway = gateway(&backend, "buffer 16", "on-error skip");
    let body = "x".repeat(300_000);
    let mut client = gateway.client();
    assert_eq!(client.post("/", &body).text(), "300000");
    assert_eq!(backend.wait_request(1).header("content-length"), Some("300000"));
}

#[test]
fn a_response_is_replaced_whole() {
    let backend = Backend::text("upper");
    let gateway = gateway(&backend, "buffer 64", "on-error deny");
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("UPPER", Some("5")));
    }
    assert_eq!(backend.connections(), 1, "the connection to the server is used again");
    backend.behave(Behaviour::Text("write"));
    assert_eq!(client.get("/").header("x-body"), Some("5"));
    backend.behave(Behaviour::Text("respond"));
    assert_eq!((client.get("/").status, client.get("/").text()), (403, "no".to_owned()));
    backend.behave(Behaviour::CloseInBody);
    assert_eq!(client.get("/").status, 502);
}

#[test]
fn pieces_are_changed_on_their_way() {
    let backend = Backend::start(Behaviour::GatedChunks(vec!["plain", "upper", "drop", "last"]));
    let gateway = gateway(&backend, "stream 1024", "on-error deny");
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    for _ in 0..4 {
        backend.release();
    }
    let answer = client.receive();
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("plainUPPERlast", None));

    // A piece is given on when it comes, and not when the body has ended.
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.release();
    let head = client.receive_head().unwrap();
    assert_eq!(head.status, 200);
    backend.release();
    backend.release();
    backend.release();

    backend.behave(Behaviour::Echo);
    let mut client = gateway.client();
    let answer = client.post("/", "upper");
    let request = answer.echo();
    assert_eq!((request.text(), request.header("content-length")), ("UPPER".to_owned(), None));
}

#[test]
fn variables_of_pieces_are_kept() {
    let backend = Backend::text("set answered");
    let steps = "run bodies
        on-response { set-header \"x-asked\" \"${var.asked}\"; set-header \"x-answered\" \"${var.answered}\" }";
    for mode in ["stream 1024", "buffer 1024"] {
        let gateway = gateway_with(&backend, mode, "on-error deny", steps);
        let answer = gateway.client().post("/kept", "set asked");
        assert_eq!(answer.header("x-asked"), Some("yes"), "{mode}: the request's pieces came before the answer");
        let answered = answer.header("x-answered").filter(|value| !value.is_empty());
        assert_eq!(answered, None, "{mode}: its steps come first");
        let vars = &gateway.access("/kept")["vars"];
        assert_eq!((&vars["asked"], &vars["answered"]), (&"yes".into(), &"yes".into()), "{mode}");
    }
}

#[test]
fn a_piece_that_fails_ends_its_answer_and_nothing_else() {
    let backend = Backend::start(Behaviour::Chunks(vec!["plain", "panic", "plain"]));
    let gateway = gateway(&backend, "stream 1024", "on-error deny");
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    assert!(client.try_receive().is_err(), "an answer that is not whole does not look whole");
    assert_eq!(gateway.access("/")["failure"], "extension");
    backend.behave(Behaviour::Text("plain"));
    assert_eq!(gateway.client().get("/").text(), "plain");
}

#[test]
fn the_end_of_a_request_is_told_before_its_line_is_written() {
    let backend = Backend::text("plain");
    let gateway = gateway(&backend, "buffer 1024", "on-error deny");
    assert_eq!(gateway.get("/told").status, 200);
    assert_eq!(gateway.access("/told")["vars"]["logged"], "GET 200");
}

const MIB: u64 = 1024 * 1024;

/// A gateway whose guest gathers bodies, when it has served one, and the bytes that it holds.
fn gathering() -> (Backend, Gateway, u64) {
    let backend = Backend::echo();
    let gateway = gateway(&backend, "buffer 1048576", "on-error deny");
    assert_eq!(gateway.client().post("/", "warm").status, 200);
    reset_peak(gateway.pid());
    let before = gateway.usage().resident;
    (backend, gateway, before)
}

/// Half of what an extension may gather.
const HALF: usize = 512 * 1024;

/// Begins a body that does not end. Its answer comes to `answers`.
async fn begin_half(client: &mut Http2, answers: &mut Answers) -> SendStream<Bytes> {
    let (answer, mut stream) = client.begin(client.request("POST", "/", &[]), false).await.unwrap();
    // What is refused is reset.
    let _ = send_all(&mut stream, Bytes::from(vec![b'x'; HALF]), false).await;
    answers.spawn(read(answer));
    stream
}

type Answers = JoinSet<Result<Response, h2::Error>>;

/// Waits for so many refusals; how many there are.
async fn refusals(answers: &mut Answers, least: usize) -> usize {
    for number in 0..least {
        let answer = tokio::time::timeout(PATIENCE, answers.join_next()).await.expect("more is held").unwrap();
        assert_eq!(answer.unwrap().unwrap().status, 503, "{number}");
    }
    least + std::iter::from_fn(|| answers.try_join_next()).count()
}

#[test]
fn bodies_that_never_end_are_held_within_bounds() {
    let (_backend, gateway, before) = gathering();
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let (mut answers, mut open) = (JoinSet::new(), Vec::new());
        for _ in 0..100 {
            open.push(begin_half(&mut client, &mut answers).await);
        }
        assert_eq!(gateway.client().post("/other", "small").status, 200, "others are served at once");
        let grown = gateway.usage().peak.saturating_sub(before);
        println!("at most by {} KiB", grown / 1024);
        assert!(grown < 40 * MIB, "grew by {} MiB", grown / MIB);
        let refused = refusals(&mut answers, 80).await;
        assert!(refused < 100, "{refused}: at most 8 MiB are held");
        // Another connection has room of its own.
        assert_eq!(gateway.client().post("/last", &"x".repeat(HALF)).status, 200);
        assert_eq!(gateway.access("/last")["status"], 200);
    });
}

#[test]
fn bodies_of_all_connections_are_held_within_bounds() {
    let (_backend, gateway, before) = gathering();
    run(async {
        let (mut clients, mut answers, mut open) = (Vec::new(), JoinSet::new(), Vec::new());
        // 7.5 MiB each, which a connection may hold, and 75 MiB together, which the worker may not.
        for _ in 0..10 {
            let mut client = Http2::connect(gateway.port()).await;
            for _ in 0..15 {
                open.push(begin_half(&mut client, &mut answers).await);
            }
            clients.push(client);
        }
        let mut other = gateway.client();
        other.send("HEAD /other HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(other.receive_head().unwrap().status, 200, "others are served at once");
        let grown = gateway.usage().peak.saturating_sub(before);
        println!("at most by {} KiB", grown / 1024);
        assert!(grown < 100 * MIB, "grew by {} MiB", grown / MIB);
        // 64 MiB are 128 of these bodies, so that 22 at least are refused.
        let refused = refusals(&mut answers, 22).await;
        assert!(refused < 50, "{refused}: and not much less");
    });
    // Whoever gives up makes room.
    let again = || match gateway.client().post("/last", &"x".repeat(HALF)).status {
        200 => Ok(()),
        other => Err(other),
    };
    eventually("there is room again", again);
}
