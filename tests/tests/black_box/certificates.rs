//! Certificates change while they are served.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use tidegate_tests::pki::{Authority, Identity};
use tidegate_tests::secure::Secure;
use tidegate_tests::{Gateway, Policy};

/// From the moment when its files fit together to the first handshake that shows a certificate.
const SOON: Duration = Duration::from_secs(1);

fn ok() -> Policy {
    ok_from("main.pem", "main.key")
}

fn ok_from(chain: &str, key: &str) -> Policy {
    Policy::new().https_from(chain, key).otherwise("respond 200 \"ok\"")
}

fn identity(authority: &Authority, serial: u64) -> Identity {
    authority.server(&["shop.test"]).serial(serial).sign()
}

/// The certificate of a new handshake.
fn shown(authority: &Authority, gateway: &Gateway) -> CertificateDer<'static> {
    let (_, session) = Secure::trusting(authority).connect(gateway.port(), "shop.test").unwrap();
    session.certificate.unwrap()
}

/// Waits until a certificate is shown; it has to be soon.
fn shows_soon(authority: &Authority, gateway: &Gateway, wanted: &Identity) {
    let began = Instant::now();
    while shown(authority, gateway) != wanted.der {
        assert!(began.elapsed() < SOON, "still the old one after {:?}", began.elapsed());
    }
}

#[test]
fn fifty_swaps_under_load_fail_no_handshake() {
    let authority = Authority::new("Root");
    let gateway =
        Gateway::start_with(&ok().top("gateway { workers 2 }"), |folder| identity(&authority, 1).write(folder, "main"));
    let (mut living, _) = Secure::trusting(&authority).connect(gateway.port(), "shop.test").unwrap();
    let (stop, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let (mut client, _) =
                            Secure::trusting(&authority).connect(gateway.port(), "shop.test").expect("a handshake");
                        assert_eq!(client.get("/").status, 200);
                        handshakes.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for number in 2..52_u64 {
            let new = identity(&authority, number);
            // In either order, as tools do it.
            let mut files = [("main.key", &new.key), ("main.pem", &new.chain)];
            if number % 2 == 0 {
                files.reverse();
            }
            for (name, text) in files {
                gateway.write_file(name, text.as_bytes());
            }
            shows_soon(&authority, &gateway, &new);
        }
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().expect("no failed handshake");
        }
    });
    assert!(handshakes.load(Ordering::Relaxed) > 100);
    assert_eq!(living.get("/").status, 200, "an open connection goes on");
}

#[test]
fn a_pair_that_does_not_fit_keeps_the_old_until_it_does() {
    let authority = Authority::new("Root");
    let old = identity(&authority, 1);
    let gateway = Gateway::start_with(&ok(), |folder| old.write(folder, "main"));
    let new = identity(&authority, 2);
    let mark = gateway.log().mark();
    gateway.write_file("main.key", new.key.as_bytes());
    let line = gateway.wait_for(mark, "not renewed, the old one serves on");
    assert!(line.contains("certificate `main`") && line.contains("does not belong"), "{line}");
    assert_eq!(shown(&authority, &gateway), old.der);
    gateway.write_file("main.pem", new.chain.as_bytes());
    shows_soon(&authority, &gateway, &new);
    for (broken, words) in [("", "it holds no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n", "cut off")] {
        let mark = gateway.log().mark();
        gateway.write_file("main.pem", broken.as_bytes());
        let line = gateway.wait_for(mark, "not renewed, the old one serves on");
        assert!(line.contains(words), "{line}");
        assert_eq!(shown(&authority, &gateway), new.der);
    }
    let mark = gateway.log().mark();
    gateway.write_file("main.key", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXNlY3JldA==\n-----END PRIVATE KEY-----\n");
    gateway.wait_for(mark, "not renewed, the old one serves on");
    let log = gateway.log().whole();
    assert!(!log.contains("c2VjcmV0") && !log.contains("secret-secret"), "a key never reaches the log");
}

#[test]
fn folders_may_be_swapped_by_a_link() {
    let authority = Authority::new("Root");
    let (one, two) = (identity(&authority, 1), identity(&authority, 2));
    let policy = ok_from("live/tls.pem", "live/tls.key");
    let link = |folder: &Path, to: &str| {
        symlink(to, folder.join("next")).unwrap();
        fs::rename(folder.join("next"), folder.join("live")).unwrap();
    };
    let gateway = Gateway::start_with(&policy, |folder| {
        for (name, identity) in [("one", &one), ("two", &two)] {
            fs::create_dir(folder.join(name)).unwrap();
            identity.write(&folder.join(name), "tls");
        }
        link(folder, "one");
    });
    assert_eq!(shown(&authority, &gateway), one.der);
    link(gateway.folder(), "two");
    // A link further up is found by comparing, which happens every two seconds at least.
    let began = Instant::now();
    while shown(&authority, &gateway) != two.der {
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_mistake_in_the_policy_keeps_no_old_certificate() {
    let authority = Authority::new("Root");
    let gateway = Gateway::start_with(&ok(), |folder| identity(&authority, 1).write(folder, "main"));
    let mark = gateway.log().mark();
    gateway.write_file("policy.gate", b"tidegate 1\nnonsense\n");
    gateway.wait_for(mark, "the policy was not reloaded");
    let new = identity(&authority, 2);
    new.write(gateway.folder(), "main");
    shows_soon(&authority, &gateway, &new);
}

#[test]
fn one_certificate_waits_for_no_other() {
    let authority = Authority::new("Root");
    let other = |serial| authority.server(&["other.test"]).serial(serial).sign();
    let policy = ok().top("certificate other { chain \"other.pem\"; key \"other.key\" }").listener("certificate other");
    let gateway = Gateway::start_with(&policy, |folder| {
        identity(&authority, 1).write(folder, "main");
        other(1).write(folder, "other");
    });
    gateway.write_file("other.pem", b"broken");
    let new = identity(&authority, 2);
    gateway.write_file("main.pem", new.chain.as_bytes());
    gateway.write_file("main.key", new.key.as_bytes());
    shows_soon(&authority, &gateway, &new);
}

#[test]
fn a_reload_with_a_certificate_that_cannot_be_read_is_refused_until_it_can() {
    let authority = Authority::new("Root");
    let gateway = Gateway::start_with(&ok(), |folder| identity(&authority, 1).write(folder, "main"));
    let mark = gateway.log().mark();
    let more = ok().top("certificate other { chain \"other.pem\"; key \"other.key\" }").listener("certificate other");
    gateway.write(&more);
    gateway.wait_for(mark, "the policy was not reloaded");
    let other = authority.server(&["other.test"]).sign();
    gateway.write_file("other.pem", other.chain.as_bytes());
    gateway.write_file("other.key", other.key.as_bytes());
    gateway.wait_for(mark, "reloaded generation=");
    let (_, session) = Secure::trusting(&authority).connect(gateway.port(), "other.test").unwrap();
    assert_eq!(session.certificate.unwrap(), other.der);
}
