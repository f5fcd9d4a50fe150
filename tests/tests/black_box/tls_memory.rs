//! The memory that TLS holds.

use tidegate_tests::secure::Secure;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy};

const MIB: u64 = 1024 * 1024;

#[test]
fn a_large_download_grows_nothing_however_slowly_it_is_read() {
    const SIZE: u64 = 1024 * MIB;
    let backend = Backend::start(Behaviour::Stream(SIZE));
    let policy = Policy::to(&backend).https().listener("http2 off");
    let (gateway, authority) = Gateway::start_https(&policy);
    let secure = Secure::trusting(&authority);
    let before = gateway.usage().resident;
    // Readers that stop in the middle: what the gateway holds for each is all that it ever holds.
    let stalled: Vec<_> = (0..16)
        .map(|_| {
            let (mut client, _) = secure.connect(gateway.port(), "shop.test").unwrap();
            client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
            client.receive_head().unwrap();
            client
        })
        .collect();
    let (mut client, _) = secure.connect(gateway.port(), "shop.test").unwrap();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let head = client.receive_head().unwrap();
    let mut read = 0;
    client.receive_body(&head, |bytes| read += bytes.len() as u64).unwrap();
    assert_eq!(read, SIZE);
    let grown = gateway.usage().peak.saturating_sub(before);
    println!("grew by {} KiB", grown / 1024);
    assert!(grown < 64 * MIB, "grew by {} MiB", grown / MIB);
    drop(stalled);
}

#[test]
fn connections_that_say_nothing_cost_little() {
    const COUNT: u64 = 500;
    let policy = Policy::new().https().otherwise("respond 200 \"ok\"").listener("idle-timeout 60s");
    let (gateway, authority) = Gateway::start_https(&policy);
    let secure = Secure::trusting(&authority);
    assert_eq!(secure.connect(gateway.port(), "shop.test").unwrap().0.get("/").status, 200);
    let before = gateway.usage().resident;
    let config = secure.config();
    let idle: Vec<_> = (0..COUNT)
        .map(|_| {
            let (mut client, _) = tidegate_tests::secure::connect(&config, gateway.port(), "shop.test").unwrap();
            assert_eq!(client.get("/").status, 200);
            client
        })
        .collect();
    let each = gateway.usage().resident.saturating_sub(before) / COUNT;
    println!("{} KiB for each idle connection", each / 1024);
    assert!(each < 96 * 1024, "{each} bytes for each");
    drop(idle);
}
