//! Clients that are slow or leave take nothing with them.

use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, eventually, guest};

/// Places for connections at the listener. A connection whose task lives on keeps its place.
const PLACES: usize = 300;

/// The ways in which clients are rude.
#[derive(Clone, Copy)]
enum Rude {
    /// Leaves before its head is complete.
    InHead,
    /// Leaves in the middle of its body.
    InUpload,
    /// Leaves while the backend thinks.
    WhileWaiting,
    /// Leaves in the middle of the answer.
    InDownload,
    /// Connects, and leaves.
    AtOnce,
    /// Sends a request byte by byte, and takes its answer.
    Slow,
    /// Sends what is no request.
    Nonsense,
    /// Leaves with a reset.
    Reset,
}

const RUDE: [Rude; 8] = [
    Rude::InHead,
    Rude::InUpload,
    Rude::WhileWaiting,
    Rude::InDownload,
    Rude::AtOnce,
    Rude::Slow,
    Rude::Nonsense,
    Rude::Reset,
];

impl Rude {
    fn visit(self, port: u16) {
        let mut client = Client::connect(port);
        match self {
            Self::InHead => drop(client.try_send("GET / HTTP/1.1\r\nhos")),
            Self::InUpload => {
                drop(client.try_send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nsome"));
            }
            Self::WhileWaiting => drop(client.try_send("GET /silent HTTP/1.1\r\nhost: test\r\n\r\n")),
            Self::InDownload => {
                client.send("GET /stream HTTP/1.1\r\nhost: test\r\n\r\n").receive_head().unwrap();
            }
            Self::AtOnce => {}
            Self::Slow => {
                for byte in b"GET /echo HTTP/1.1\r\nhost: test\r\n\r\n" {
                    client.send([*byte]);
                }
                assert_eq!(client.receive().status, 200);
            }
            Self::Nonsense => assert_eq!(client.send("nonsense\r\n\r\n").receive_head().unwrap().status, 400),
            Self::Reset => {
                client.send("GET /stream HTTP/1.1\r\nhost: test\r\n\r\n").receive_head().unwrap();
                // What stands unread when the socket closes makes it a reset.
                let mut unread = [0];
                assert_eq!(client.socket().peek(&mut unread).unwrap(), 1);
            }
        }
    }
}

#[test]
fn a_thousand_rude_clients_leave_nothing_behind() {
    let (echo, silent) = (Backend::echo(), Backend::start(Behaviour::StallBeforeHead));
    let stream = Backend::start(Behaviour::Stream(1 << 24));
    let policy = Policy::to(&echo)
        .backend("silent", &silent)
        .backend("stream", &stream)
        .top(
            "extension headers { module \"guest.wasm\"; config { request { \"x-ip\" \"{client-ip}\" } }
             allow [read-request, write-request-headers, write-response-headers] }",
        )
        .listener("run headers")
        .listener(&format!("limits {{ connections {PLACES} }}"))
        .rule("silent", "when path is \"/silent\"\nforward silent")
        .rule("stream", "when path is \"/stream\"\nforward stream");
    let gateway = Gateway::start_with(&policy, |folder| {
        std::fs::copy(guest("client_headers"), folder.join("guest.wasm")).unwrap();
    });
    let bare = gateway.usage();
    let settled = || {
        silent.wait_open(0);
        stream.wait_open(0);
        eventually("the sockets of clients are given back", || {
            let usage = gateway.usage();
            if usage.sockets - echo.open() == bare.sockets { Ok(()) } else { Err((usage, bare, echo.open())) }
        });
        gateway.usage()
    };
    // One of each, so that pools and instances are there.
    for rude in RUDE {
        rude.visit(gateway.port());
    }
    let before = settled();

    std::thread::scope(|scope| {
        for thread in 0..8 {
            let port = gateway.port();
            scope.spawn(move || {
                for number in 0..125 {
                    RUDE[(thread + number) % RUDE.len()].visit(port);
                }
            });
        }
    });

    let after = settled();
    assert_eq!(after.descriptors - after.sockets, before.descriptors - before.sockets, "{before:?} {after:?}");
    assert_eq!(after.threads, before.threads);
    assert!(after.resident < before.resident + (32 << 20), "{before:?} {after:?}");
    let mut clients: Vec<_> = (0..PLACES).map(|_| gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/echo").status, 200, "every place can be had");
    }
}

#[test]
fn idle_connections_to_a_backend_are_bounded() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let servers = format!("server {}; keepalive 3", backend.address());
    let gateway = Gateway::start(&Policy::new().top("gateway { workers 1 }").group("web", &servers));
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    }
    backend.wait_head(20);
    for _ in 0..20 {
        backend.release();
    }
    for client in &mut clients {
        assert_eq!(client.receive().status, 200);
    }
    backend.wait_open(3);
    let servers = format!("server {}; keepalive off", backend.address());
    gateway.reload(&Policy::new().top("gateway { workers 1 }").group("web", &servers));
    backend.release();
    gateway.get("/");
    gateway.reload(&Policy::new().otherwise("respond 200"));
    backend.wait_open(0);
}
