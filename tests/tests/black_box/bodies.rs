//! Large bodies pass with a small memory.

use std::io::{Read, Write};
use std::time::Duration;

use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, Usage};

const GIB: u64 = 1 << 30;

/// The memory that a gateway may take beyond what it had before.
const MORE: u64 = 64 << 20;

/// The resources that a gateway holds after it has served a little.
fn warm(gateway: &Gateway, backend: &Backend, behaviour: Behaviour) -> Usage {
    gateway.get("/warm");
    backend.behave(behaviour);
    gateway.usage()
}

#[track_caller]
fn flat(gateway: &Gateway, before: Usage) {
    let after = gateway.usage();
    let more = after.peak.saturating_sub(before.resident);
    eprintln!("{} KiB more at the peak", more >> 10);
    assert!(more < MORE, "{} MiB more: {before:?} {after:?}", more >> 20);
}

#[test]
fn a_gibibyte_goes_down() {
    let backend = Backend::text("warm");
    let gateway = Gateway::start(&Policy::to(&backend));
    let before = warm(&gateway, &backend, Behaviour::Stream(GIB));
    let mut client = gateway.client();
    client.send("GET /down HTTP/1.1\r\nhost: test\r\n\r\n");
    let head = client.receive_head().unwrap();
    assert_eq!(head.header("content-length"), Some(GIB.to_string().as_str()));
    let mut received = 0;
    client.receive_body(&head, |bytes| received += bytes.len() as u64).unwrap();
    assert_eq!(received, GIB);
    flat(&gateway, before);
    assert_eq!(gateway.access("/down")["bytes"].as_u64(), Some(GIB));
}

#[test]
fn a_gibibyte_goes_up() {
    let backend = Backend::text("warm");
    let gateway = Gateway::start(&Policy::to(&backend));
    let before = warm(&gateway, &backend, Behaviour::Swallow);
    let mut client = gateway.client();
    client.send(format!("PUT /up HTTP/1.1\r\nhost: test\r\ncontent-length: {GIB}\r\n\r\n"));
    let block = vec![b'x'; 256 * 1024];
    for _ in 0..GIB / block.len() as u64 {
        client.send(&block);
    }
    assert_eq!(client.receive().text(), GIB.to_string());
    flat(&gateway, before);
}

#[test]
fn a_large_body_goes_up_in_chunks() {
    let backend = Backend::text("warm");
    let gateway = Gateway::start(&Policy::to(&backend));
    let before = warm(&gateway, &backend, Behaviour::Swallow);
    let mut client = gateway.client();
    client.send("PUT /up HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut chunk = b"40000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x40000, b'x');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..512 {
        client.send(&chunk);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.receive().text(), (512 * 0x40000).to_string());
    flat(&gateway, before);
}

#[test]
fn slow_readers_cost_no_memory() {
    let backend = Backend::text("warm");
    let gateway = Gateway::start(&Policy::to(&backend));
    let before = warm(&gateway, &backend, Behaviour::Stream(GIB));
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
        client.receive_head().unwrap();
    }
    // Each takes a little now and then; what it does not take must wait at the backend.
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..20 {
        for client in &mut clients {
            client.socket().read_exact(&mut buffer).unwrap();
        }
    }
    flat(&gateway, before);
    drop(clients);
    backend.wait_open(0);
}

#[test]
fn uploads_that_nobody_reads_cost_no_memory() {
    let backend = Backend::text("warm");
    let gateway = Gateway::start(&Policy::to(&backend));
    let before = warm(&gateway, &backend, Behaviour::StallBeforeUpload);
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(format!("PUT /up HTTP/1.1\r\nhost: test\r\ncontent-length: {GIB}\r\n\r\n"));
    }
    for client in &clients {
        fill(client);
    }
    flat(&gateway, before);
}

/// Sends until nothing more is taken.
fn fill(client: &Client) {
    let block = vec![b'x'; 256 * 1024];
    client.socket().set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut sent = 0_u64;
    while let Ok(count) = client.socket().write(&block) {
        sent += count as u64;
        assert!(sent < GIB / 4, "somebody keeps it all");
    }
}
