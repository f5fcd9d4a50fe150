//! QUIC below HTTP/3: packets that no well-behaved client of today sends.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use tidegate_tests::http3::{Http3, address, quic_client, run, tls};
use tidegate_tests::pki::Authority;
use tidegate_tests::{Backend, Behaviour, Gateway, PATIENCE, Policy};

const ID: &[u8; 8] = b"\x11\x22\x33\x44\x55\x66\x77\x88";

fn start(backend: &Backend) -> (Gateway, Authority) {
    start_as(backend, &["localhost"])
}

/// A gateway with a QUIC listener, and a certificate of these names.
fn start_as(backend: &Backend, names: &[&str]) -> (Gateway, Authority) {
    let authority = Authority::new("tests");
    let policy = Policy::to(backend).top("gateway { workers 2 }").quic("");
    let gateway = Gateway::start_with(&policy, |folder| authority.server(names).sign().write(folder, "site"));
    (gateway, authority)
}

fn socket(port: u16) -> UdpSocket {
    socket_at([127, 0, 0, 1], port)
}

/// A socket with this address, which the loopback device has like all its neighbours.
fn socket_at(address_of_client: [u8; 4], port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::from(address_of_client), 0)).unwrap();
    socket.connect(address(port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The answer to a packet of the given parts, filled up to the length that a first packet has.
fn ask(port: u16, parts: &[&[u8]]) -> Vec<u8> {
    let mut packet = parts.concat();
    packet.resize(1200, 0);
    let socket = socket(port);
    socket.send(&packet).unwrap();
    let mut answer = vec![0; 2000];
    let length = socket.recv(&mut answer).unwrap();
    answer.truncate(length);
    answer
}

/// The versions of a list.
fn versions(bytes: &[u8]) -> Vec<u32> {
    assert_eq!(bytes.len() % 4, 0);
    bytes.chunks(4).map(|version| u32::from_be_bytes(version.try_into().unwrap())).collect()
}

#[test]
fn versions_are_negotiated() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, _) = start(&backend);
    // A version of the future (RFC 9000, 15 reserves these numbers).
    let answer = ask(gateway.port(), &[&[0xc0, 0x5a, 0x6a, 0x7a, 0x8a, 8], ID, &[3, 1, 2, 3]]);
    assert_eq!(answer[0] & 0x80, 0x80);
    // Version 0, and the ids swapped.
    assert_eq!(answer[1..5], [0; 4]);
    assert_eq!(answer[5..18], [&[3, 1, 2, 3, 8][..], ID].concat());
    assert!(versions(&answer[18..]).contains(&1));
}

#[test]
fn what_is_too_short_or_has_no_version_is_not_negotiated_with() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, _) = start(&backend);
    let socket = socket(gateway.port());
    // An unknown version in a packet that could not begin a connection (RFC 9000, 6.1).
    let unknown = [&[0xc0, 0x5a, 0x6a, 0x7a, 0x8a, 8][..], ID, &[0]].concat();
    socket.send(&[unknown.clone(), vec![0; 1100]].concat()).unwrap();
    // Short headers, with an id of nobody and with one that is too short.
    socket.send(&[&[0x40][..], &[7; 1199]].concat()).unwrap();
    socket.send(&[0x40, 1, 2]).unwrap();
    // Version 0, which is itself the answer to somebody.
    socket.send(&[&[0xc0, 0, 0, 0, 0, 8][..], ID, &[0], &[0; 1200]].concat()).unwrap();
    // The first version negotiation is the answer to what comes last.
    socket.send(&[&unknown[..6], b"the last", &[0], &[0; 1200]].concat()).unwrap();
    let mut answer = [0; 2000];
    loop {
        let length = socket.recv(&mut answer).unwrap();
        // What is addressed to nobody may be answered with a stateless reset, which has a short header.
        if answer[0] & 0x80 != 0 {
            assert_eq!(&answer[1..5], [0; 4], "{:?}", &answer[..length]);
            assert_eq!(&answer[7..15], b"the last");
            return;
        }
    }
}

#[test]
fn clients_of_google_quic_learn_that_we_do_not_speak_it() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, _) = start(&backend);
    // Public flags: a version, an id of 8 bytes, a packet number of one. Then a packet number, a hash, a frame.
    let answer = ask(gateway.port(), &[&[0x09], ID, b"Q043", &[1]]);
    assert_eq!(answer[..9], [&[0x09][..], ID].concat(), "a public header with the client's id");
    assert!(versions(&answer[9..]).contains(&1));
    // The client's own version is not in the list, or it would not fall back.
    assert!(!versions(&answer[9..]).contains(&u32::from_be_bytes(*b"Q043")));

    let answer = ask(gateway.port(), &[&[0xc3], b"Q046", &[0x50], ID, &[0, 0, 0, 1]]);
    assert_eq!(answer[0] & 0x80, 0x80);
    assert_eq!(answer[1..6], [0, 0, 0, 0, 0x05], "version 0, no id of the client's, one of 8 bytes");
    assert_eq!(answer[6..14], *ID);
    assert!(versions(&answer[14..]).contains(&1));

    let answer = ask(gateway.port(), &[&[0xc0], b"Q050", &[8], ID, &[0, 0]]);
    assert_eq!(answer[1..15], [&[0, 0, 0, 0, 0, 8][..], ID].concat());
    assert!(versions(&answer[15..]).contains(&1));
}

#[test]
fn noise_is_not_answered_and_does_no_harm() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = start(&backend);
    let socket = socket(gateway.port());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for length in 0..1400 {
        let mut packet = vec![0; length];
        for byte in &mut packet {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            *byte = random.to_le_bytes()[0];
        }
        socket.send(&packet).unwrap();
    }
    assert_eq!(run(async { Http3::connect(gateway.port(), &authority).await.get("/").await.status }), 200);
}

/// A socket to which packets are sent that are for somebody else.
struct Nobody(tokio::net::UdpSocket);

impl Nobody {
    async fn new() -> Self {
        Self(tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next packet, while its sender goes on.
    async fn packet(&self) -> Vec<u8> {
        let mut packet = vec![0; 1500];
        let length = tokio::time::timeout(PATIENCE, self.0.recv(&mut packet)).await.expect("a packet in time").unwrap();
        packet.truncate(length);
        packet
    }
}

/// First packets of so many connections, each with a key exchange of its own, that were sent to nobody.
fn initials(authority: &Authority, count: usize) -> Vec<Vec<u8>> {
    run(async {
        let nobody = Nobody::new().await;
        let endpoint = quic_client(tls(authority));
        let mut packets = Vec::new();
        let mut ids = std::collections::HashSet::new();
        while packets.len() < count {
            // No more at once than a socket holds. They are dropped when the first packet of each is there.
            let connecting: Vec<_> =
                (0..20).map(|_| endpoint.connect(address(nobody.port()), "localhost").unwrap()).collect();
            let until = packets.len() + connecting.len();
            while packets.len() < until {
                let packet = nobody.packet().await;
                // An Initial, and the first of its connection: the id says whose it is.
                if packet[0] & 0xf0 == 0xc0 && packet.len() >= 1200 && ids.insert(packet[6..14].to_vec()) {
                    packets.push(packet);
                }
            }
        }
        packets
    })
}

#[test]
fn a_flood_of_first_packets_costs_bounded_memory_and_others_are_served() {
    const FLOOD: usize = 4000;
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = start(&backend);
    let packets = initials(&authority, FLOOD);
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        assert_eq!(client.get("/").await.status, 200);
    });
    let before = gateway.usage().resident;
    // Addresses that nobody answers from, as far as the gateway can tell.
    let sockets: Vec<_> = (2..66).map(|number| socket_at([127, 0, 0, number], gateway.port())).collect();
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    let (mut retries, mut served) = (0, 0);
    for (number, packet) in packets.iter().enumerate() {
        let socket = &sockets[number % sockets.len()];
        // A full buffer drops it, as the network would.
        let _ = socket.send(packet);
        let mut answer = [0; 1500];
        while let Ok(length) = socket.recv(&mut answer) {
            // A long header of type Retry (RFC 9000, 17.2.5).
            retries += usize::from(length > 0 && answer[0] & 0xf0 == 0xf0);
        }
        if number % 500 == 499 {
            // A new client in the middle of it: it answers the Retry that it gets.
            served += run(async {
                usize::from(Http3::connect(gateway.port(), &authority).await.get("/").await.status == 200)
            });
        }
    }
    assert_eq!(served, FLOOD / 500);
    assert!(retries > 0, "clients have to show their address while handshakes pile up");
    let grown = gateway.usage().peak.saturating_sub(before);
    eprintln!("{retries} of {FLOOD} answered with Retry, {} KiB more at the peak", grown >> 10);
    // Two workers, each with at most 200 handshakes begun without Retry.
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes for {FLOOD} first packets");
}

/// Longer than a handshake may take: what comes after it is the close, and that is the end.
const HANDSHAKE: Duration = Duration::from_secs(12);

/// Whoever forges an address makes the gateway send at most three times as much there (RFC 9000, 8.1), however large its
/// certificate is, and however often it has to try again. An honest client of the same gateway comes through.
#[test]
fn an_address_that_is_not_proved_gets_at_most_three_times_what_it_sent() {
    let backend = Backend::start(Behaviour::Echo);
    let names: Vec<String> = (0..200)
        .map(|at| format!("a-name-that-makes-the-certificate-large-{at}.example"))
        .chain(["localhost".to_owned()])
        .collect();
    let large: Vec<&str> = names.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        for names in [&["localhost"][..], &large] {
            scope.spawn(|| amplified(&backend, names));
        }
    });
}

fn amplified(backend: &Backend, names: &[&str]) {
    let (gateway, authority) = start_as(backend, names);
    let packet = initials(&authority, 1).remove(0);
    let forged = socket_at([127, 0, 0, 98], gateway.port());
    forged.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    forged.send(&packet).unwrap();
    let end = Instant::now() + HANDSHAKE;
    let (mut came, mut answer) = (Vec::new(), [0; 2000]);
    while Instant::now() < end {
        if let Ok(length) = forged.recv(&mut answer) {
            came.push(length);
        }
    }
    let all: usize = came.iter().sum();
    assert!(all > 2 * packet.len() && all <= 3 * packet.len(), "{all} bytes for {}: {came:?}", packet.len());
    let began = Instant::now();
    assert_eq!(run(async { Http3::connect(gateway.port(), &authority).await.get("/").await.status }), 200);
    eprintln!("{came:?} for {}; an honest client was served within {:?}", packet.len(), began.elapsed());
}

/// Whether a datagram has a packet of type 0-RTT (RFC 9000, 17.2.3), also behind an Initial.
fn has_early_data(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Some(&first) = rest.first().filter(|first| **first & 0x80 == 0x80) {
        if first & 0x30 == 0x10 {
            return true;
        }
        // Version, two connection ids, in an Initial a token, the length of what is left of the packet.
        let mut at = 5;
        for _ in 0..2 {
            at += 1 + usize::from(rest[at]);
        }
        if first & 0x30 == 0 {
            let token = var_int(rest, &mut at);
            at += token;
        }
        let packet = var_int(rest, &mut at);
        rest = &rest[at + packet..];
    }
    false
}

/// A number of variable length (RFC 9000, 16).
fn var_int(bytes: &[u8], at: &mut usize) -> usize {
    let length = 1 << (bytes[*at] >> 6);
    let number =
        bytes[*at + 1..*at + length].iter().fold(usize::from(bytes[*at] & 0x3f), |n, b| n << 8 | usize::from(*b));
    *at += length;
    number
}

/// The first packets of a client that was here before: a handshake with a ticket, and requests in 0-RTT data. They were sent
/// to nobody, so that whoever has them can send them from anywhere.
fn early_flight(gateway: &Gateway, authority: &Authority, path: &str) -> Vec<Vec<u8>> {
    let mut config = tls(authority);
    config.enable_early_data = true;
    run(async {
        let nobody = Nobody::new().await;
        let endpoint = quic_client(config);
        let mut first = Http3::connect_from(&endpoint, gateway.port()).await;
        assert_eq!(first.get("/first").await.status, 200);
        let (quic, _) = endpoint.connect(address(nobody.port()), "localhost").unwrap().into_0rtt().ok().unwrap();
        let mut client = Http3::over(quic).await;
        let mut stream = client.begin("GET", path, &[]).await.unwrap();
        stream.finish().await.unwrap();
        let mut packets: Vec<Vec<u8>> = Vec::new();
        while !packets.iter().any(|packet| has_early_data(packet)) {
            packets.push(nobody.packet().await);
        }
        packets
    })
}

#[test]
fn early_data_from_an_address_that_never_answered_is_not_served() {
    let backend = Backend::start(Behaviour::Echo);
    let policy = Policy::to(&backend).top("gateway { workers 1 }").quic("early-data on");
    let (gateway, authority) = Gateway::start_quic(&policy);
    let packets = early_flight(&gateway, &authority, "/forged");
    let forged = socket_at([127, 0, 0, 99], gateway.port());
    for packet in &packets {
        forged.send(packet).unwrap();
    }
    // The gateway answers the handshake, and nobody goes on with it.
    let mut answer = [0; 1500];
    assert!(forged.recv(&mut answer).unwrap() > 0);
    assert_eq!(run(async { Http3::connect(gateway.port(), &authority).await.get("/after").await.status }), 200);
    let served: Vec<_> = backend.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(served, ["/first", "/after"]);
}
