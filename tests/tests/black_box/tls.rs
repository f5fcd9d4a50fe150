//! HTTPS: what a handshake agrees on, which certificate is shown, who is let in.

use std::net::TcpStream;
use std::time::Duration;

use rustls::{CipherSuite, NamedGroup, ProtocolVersion, version};
use tidegate_tests::pki::Authority;
use tidegate_tests::secure::{self, Secure, Session};
use tidegate_tests::{Backend, Client, Gateway, Policy, Tool, eventually, program};

/// A gateway with one certificate, for `shop.test`, and lines of its listener.
fn gateway(authority: &Authority, policy: &Policy) -> Gateway {
    Gateway::start_with(policy, |folder| authority.server(&["shop.test"]).sign().write(folder, "main"))
}

fn ok() -> Policy {
    ok_from("main.pem", "main.key")
}

fn ok_from(chain: &str, key: &str) -> Policy {
    Policy::new().https_from(chain, key).otherwise("respond 200 \"ok\"")
}

#[test]
fn curl_and_a_browserlike_client_are_served() {
    let backend = Backend::echo();
    let authority = Authority::new("Root");
    let gateway = gateway(&authority, &Policy::to(&backend).https().listener("http2 off"));
    std::fs::write(gateway.folder().join("root.pem"), authority.pem()).unwrap();
    let url = format!("https://shop.test:{}/hello", gateway.port());
    let resolve = format!("shop.test:{}:127.0.0.1", gateway.port());
    if let Some(mut curl) = program("curl") {
        curl.args(["-sS", "--cacert", "root.pem", "--resolve", &resolve, &url]);
        let output = curl.current_dir(gateway.folder()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(gateway.access("/hello")["scheme"], "https");
    }
    let (mut client, session) = Secure::trusting(&authority).connect(gateway.port(), "shop.test").unwrap();
    assert_eq!(session.version, ProtocolVersion::TLSv1_3);
    let echo = client.get_host("shop.test", "/again").echo();
    assert_eq!(echo.header("x-forwarded-proto"), Some("https"));
    assert_eq!(client.get_host("shop.test", "/once-more").status, 200);
}

#[test]
fn plain_http_gets_an_answer_that_says_so() {
    let authority = Authority::new("Root");
    let gateway = gateway(&authority, &ok());
    let answer = gateway.client().get("/");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("this port speaks HTTPS"), "{}", answer.text());
    // However much it sends: the answer is not lost in a reset.
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 30000\r\n\r\n{}", "x".repeat(30000)));
    assert_eq!(client.receive().status, 400);
    assert!(client.is_closed());
}

#[test]
fn the_policy_decides_about_versions_suites_and_groups() {
    let authority = Authority::new("Root");
    let tls = "tls-policy narrow { versions [tls1.2]\n\
               ciphers [\"ECDHE-ECDSA-AES256-GCM-SHA384\", \"ECDHE-ECDSA-AES128-GCM-SHA256\"]\ngroups [p-384] }";
    let gateway = gateway(&authority, &ok().top(tls).listener("tls-policy narrow"));
    let any = || Secure::trusting(&authority);
    let connect = |secure: Secure| secure.connect(gateway.port(), "shop.test").map(|(_, session)| session);
    let (small, large) =
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384);
    let session = connect(any().suites(&[small, large])).unwrap();
    assert_eq!((session.version, session.suite), (ProtocolVersion::TLSv1_2, large), "the gateway's order");
    assert_eq!(connect(any().suites(&[small])).unwrap().suite, small);
    let mark = gateway.log().mark();
    assert!(connect(any().version(&version::TLS13)).is_err());
    gateway.wait_for(mark, "no version of TLS that the `tls-policy` has");
    let other = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    assert!(connect(any().suites(&[other])).is_err());
    gateway.wait_for(mark, "no suite that the `tls-policy` has");
    assert!(connect(any().groups(&[NamedGroup::X25519])).is_err());
    gateway.wait_for(mark, "no key-exchange group that the `tls-policy` has");
}

#[test]
fn the_default_policy_takes_both_versions_and_a_reload_takes_one_away() {
    let authority = Authority::new("Root");
    let gateway = gateway(&authority, &ok());
    let old = Secure::trusting(&authority).version(&version::TLS12);
    let new = Secure::trusting(&authority).version(&version::TLS13);
    let (mut living, session) = old.connect(gateway.port(), "shop.test").unwrap();
    assert_eq!(session.version, ProtocolVersion::TLSv1_2);
    assert_eq!(new.connect(gateway.port(), "shop.test").unwrap().1.version, ProtocolVersion::TLSv1_3);
    let narrow = "tls-policy narrow { versions [tls1.3]; ciphers [\"TLS_AES_128_GCM_SHA256\"] }";
    gateway.reload(&ok().top(narrow).listener("tls-policy narrow"));
    assert!(old.connect(gateway.port(), "shop.test").is_err());
    let (_, session) = new.connect(gateway.port(), "shop.test").unwrap();
    assert_eq!(session.suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert!(living.is_closed(), "the new policy would not have taken it");
}

#[test]
fn http2_is_offered_as_the_policy_says() {
    let authority = Authority::new("Root");
    let gateway = gateway(&authority, &ok().listener("http2 off"));
    let offer = |protocols: &[&str]| {
        Secure::trusting(&authority).offering(protocols).connect(gateway.port(), "shop.test").map(|(_, one)| one.alpn)
    };
    assert_eq!(offer(&["h2", "http/1.1"]).unwrap().as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(offer(&[]).unwrap(), None);
    let mark = gateway.log().mark();
    assert!(offer(&["h2"]).is_err(), "RFC 7301, 3.2: nothing in common is an end");
    gateway.wait_for(mark, "(ALPN) that is not offered here");
}

#[test]
fn http2_is_served_to_who_takes_it() {
    let backend = Backend::echo();
    let authority = Authority::new("Root");
    let gateway = gateway(&authority, &Policy::to(&backend).https());
    let (_, session) =
        Secure::trusting(&authority).offering(&["http/1.1", "h2"]).connect(gateway.port(), "shop.test").unwrap();
    assert_eq!(session.alpn.as_deref(), Some(&b"h2"[..]), "the gateway's order");
    std::fs::write(gateway.folder().join("root.pem"), authority.pem()).unwrap();
    let Some(mut curl) = program("curl") else { return };
    let output = curl
        .args(["-sS", "--http2", "-w", "%{http_version}", "-o", "answer", "--cacert", "root.pem", "--resolve"])
        .arg(format!("shop.test:{}:127.0.0.1", gateway.port()))
        .arg(format!("https://shop.test:{}/over-h2", gateway.port()))
        .current_dir(gateway.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2");
    assert_eq!(gateway.access("/over-h2")["status"], 200);
}

#[test]
fn the_certificate_is_chosen_by_name_and_by_kind_of_key() {
    let authority = Authority::new("Root");
    let policy = ok()
        .top("certificate wild { chain \"wild.pem\"; key \"wild.key\" }")
        .top("certificate rsa { chain \"rsa.pem\"; key \"rsa.key\" }")
        .top("certificate ecdsa { chain \"ecdsa.pem\"; key \"ecdsa.key\" }")
        .listener("certificate wild")
        .listener("certificate rsa")
        .listener("certificate ecdsa");
    let names = ["shop.test", "*.shop.test", "www.shop.test", "www.shop.test"];
    let identities = [
        authority.server(&names[..1]).sign(),
        authority.server(&names[1..2]).sign(),
        authority.server(&names[2..3]).rsa().sign(),
        authority.server(&names[3..]).sign(),
    ];
    let gateway = Gateway::start_with(&policy, |folder| {
        for (identity, name) in identities.iter().zip(["main", "wild", "rsa", "ecdsa"]) {
            identity.write(folder, name);
        }
    });
    let shown = |secure: &Secure, name: &str| {
        let (_, session) = secure.connect(gateway.port(), name).unwrap();
        identities.iter().position(|one| Some(&one.der) == session.certificate.as_ref()).unwrap()
    };
    let any = Secure::trusting(&authority);
    assert_eq!(shown(&any, "shop.test"), 0);
    assert_eq!(shown(&any, "api.shop.test"), 1);
    assert_eq!(shown(&any, "www.shop.test"), 3, "ECDSA first");
    let rsa_only = Secure::trusting(&authority)
        .version(&version::TLS12)
        .suites(&[CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]);
    assert_eq!(shown(&rsa_only, "www.shop.test"), 2);
}

/// GET with a connection of its own; `None` if the gateway refused it.
fn status(secure: &Secure, port: u16) -> Option<(u16, Session)> {
    let (mut client, session) = secure.connect(port, "shop.test").ok()?;
    Some((client.try_get("/").ok()?.status, session))
}

#[test]
fn who_is_let_in() {
    let backend = Backend::echo();
    let (authority, partners, others) = (Authority::new("Root"), Authority::new("Partners"), Authority::new("Others"));
    let policy = |how: &str| {
        Policy::to(&backend)
            .https()
            .listener("http2 off")
            .top("ca partners { bundle \"partners.pem\" }")
            .listener(&format!("client-ca partners {how}"))
            .listener("forwarded [client-cert]")
            .rule(
                "who",
                "when client-cert subject is \"CN=alice,O=Tests\"\nset-header \"x-who\" \"alice\"\nforward web",
            )
    };
    let gateway = Gateway::start_with(&policy("required"), |folder| {
        authority.server(&["shop.test"]).sign().write(folder, "main");
        std::fs::write(folder.join("partners.pem"), partners.pem()).unwrap();
    });
    let port = gateway.port();
    let none = Secure::trusting(&authority);
    let wrong = Secure::trusting(&authority).showing(&others.client("alice").sign());
    let expired = Secure::trusting(&authority).showing(&partners.client("alice").expired().sign());
    let server = Secure::trusting(&authority).showing(&partners.server(&["alice"]).sign());
    let right = || Secure::trusting(&authority).showing(&partners.client("alice").sign());
    for (how, without) in [("required", None), ("optional", Some(200))] {
        gateway.write(&policy(how));
        let mark = gateway.log().mark();
        eventually("the reload", || {
            let seen = status(&none, port).map(|(status, _)| status);
            if seen == without { Ok(()) } else { Err(seen) }
        });
        for (secure, why) in [
            (&wrong, "was not signed by an authority of `client-ca`"),
            (&expired, "has expired"),
            (&server, "is not meant for clients"),
        ] {
            assert!(status(secure, port).is_none(), "{how}: {why}");
            gateway.wait_for(mark, why);
        }
        for version in [&version::TLS12, &version::TLS13] {
            let (mut client, _) = right().version(version).connect(port, "shop.test").unwrap();
            let lines = "x-forwarded-clientcert-subjectdn: CN=root\r\nx-forwarded-clientcert-clientverify: FAILED\r\n";
            let echo = client.get_with("/", lines).echo();
            assert_eq!(echo.header("x-who"), Some("alice"));
            assert_eq!(echo.header("x-forwarded-clientcert-subjectdn"), Some("CN=alice,O=Tests"));
            assert_eq!(echo.header("x-forwarded-clientcert-issuerdn"), Some("CN=Partners,O=Tests"));
            assert_eq!(echo.header("x-forwarded-clientcert-clientverify"), Some("SUCCESS"));
            assert_eq!(echo.header("x-forwarded-clientcert-fingerprint").map(str::len), Some(64));
        }
    }
    let (mut client, _) = none.connect(port, "shop.test").unwrap();
    let echo = client.get_with("/", "x-forwarded-clientcert-subjectdn: CN=alice,O=Tests\r\n").echo();
    assert_eq!(echo.header("x-forwarded-clientcert-subjectdn"), None);
    assert_eq!(echo.header("x-forwarded-clientcert-clientverify"), Some("NONE"));
    assert_eq!(echo.header("x-who"), None);
}

#[test]
fn sessions_and_cookies_hold_over_a_start_with_the_same_secret() {
    let authority = Authority::new("Root");
    let (one, other) = (Backend::text("one"), Backend::text("other"));
    let servers = format!("sticky cookie \"SRV\"; server {}; server {}", one.address(), other.address());
    let start = |secret: &str| {
        let top = format!("gateway {{ workers 1; secret {secret} }}");
        let policy = Policy::new().https().listener("http2 off").top(&top).group("web", &servers);
        Gateway::start_with(&policy, |folder| {
            authority.server(&["shop.test"]).sign().write(folder, "main");
            for name in ["old", "new"] {
                std::fs::write(folder.join(name), name.repeat(20)).unwrap();
            }
        })
    };
    for version in [&version::TLS12, &version::TLS13] {
        let config = Secure::trusting(&authority).version(version).config();
        let ask = |gateway: &Gateway, cookie: &str| {
            let (mut client, session) = secure::connect(&config, gateway.port(), "shop.test").unwrap();
            (client.get_with("/", &format!("cookie: {cookie}\r\n")), session.resumed)
        };
        let (first, resumed) = ask(&start("file \"old\""), "");
        assert!(!resumed);
        let cookie = first.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap().to_owned();
        for (secret, holds) in [
            ("file \"old\"", true),
            ("[file \"new\", file \"old\"]", true),
            // What the list made is by the new one.
            ("file \"new\"", true),
            ("file \"old\"", false),
        ] {
            let (answer, resumed) = ask(&start(secret), &cookie);
            assert_eq!(resumed, holds, "{version:?}: {secret}");
            if secret.contains("old") {
                assert_eq!(answer.text(), first.text(), "{version:?}: {secret}");
            }
        }
    }
}

#[test]
fn sessions_are_resumed_on_every_worker_and_over_reloads() {
    let authority = Authority::new("Root");
    let policy = ok().top("gateway { workers 2 }");
    let gateway = gateway(&authority, &policy);
    for version in [&version::TLS12, &version::TLS13] {
        let config = Secure::trusting(&authority).version(version).config();
        let resumed = || {
            let (mut client, session) = secure::connect(&config, gateway.port(), "shop.test").unwrap();
            // The tickets of TLS 1.3 come with the first answer.
            assert_eq!(client.get("/").status, 200);
            session.resumed
        };
        assert!(!resumed());
        assert!((0..8).all(|_| resumed()), "whichever worker it is");
        let name = format!("{:?}", version.version).to_ascii_lowercase();
        gateway.reload(&policy.clone().rule(&name, "when path is \"/x\"\nrespond 204"));
        assert!(resumed(), "the keys outlive a reload");
    }
}

#[test]
fn a_session_does_not_outlive_the_trust_that_it_began_with() {
    let (authority, old, new) = (Authority::new("Root"), Authority::new("Old"), Authority::new("New"));
    for how in ["required", "optional"] {
        let policy = ok().top("ca partners { bundle \"partners.pem\" }").listener(&format!("client-ca partners {how}"));
        let gateway = Gateway::start_with(&policy, |folder| {
            authority.server(&["shop.test"]).sign().write(folder, "main");
            std::fs::write(folder.join("partners.pem"), old.pem()).unwrap();
        });
        let config = Secure::trusting(&authority).showing(&old.client("alice").sign()).config();
        let get = || {
            let (mut client, session) = secure::connect(&config, gateway.port(), "shop.test").ok()?;
            Some((client.try_get("/").ok()?.status, session.resumed))
        };
        assert_eq!(get(), Some((200, false)), "{how}");
        assert_eq!(get(), Some((200, true)), "{how}");
        let mark = gateway.log().mark();
        gateway.write_file("partners.pem", new.pem().as_bytes());
        gateway.wait_for(mark, "certificates renewed");
        assert_eq!(get(), None, "{how}: the old authority is not trusted any more");
    }
}

#[test]
fn a_resumed_session_brings_its_certificate_along() {
    let backend = Backend::echo();
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    for how in ["required", "optional"] {
        let policy = Policy::to(&backend)
            .https()
            .top("ca partners { bundle \"partners.pem\" }")
            .listener(&format!("client-ca partners {how}\n    forwarded [client-cert]"));
        let gateway = Gateway::start_with(&policy, |folder| {
            authority.server(&["shop.test"]).sign().write(folder, "main");
            std::fs::write(folder.join("partners.pem"), partners.pem()).unwrap();
        });
        for version in [&version::TLS12, &version::TLS13] {
            let alice = partners.client("alice").sign();
            for (identity, subject, verdict) in
                [(Some(&alice), Some("CN=alice,O=Tests"), "SUCCESS"), (None, None, "NONE")]
            {
                if identity.is_none() && how == "required" {
                    continue;
                }
                let secure = Secure::trusting(&authority).version(version);
                let config = identity.map_or_else(
                    || secure.config(),
                    |one| Secure::trusting(&authority).version(version).showing(one).config(),
                );
                for resumed in [false, true, true] {
                    let (mut client, session) = secure::connect(&config, gateway.port(), "shop.test").unwrap();
                    let echo = client.get("/").echo();
                    assert_eq!(session.resumed, resumed, "{how} {version:?}");
                    assert_eq!(echo.header("x-forwarded-clientcert-subjectdn"), subject);
                    assert_eq!(echo.header("x-forwarded-clientcert-clientverify"), Some(verdict));
                }
            }
        }
    }
}

#[test]
fn a_staple_is_served_and_renewed() {
    let authority = Authority::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let server = authority.server(&["shop.test"]).serial(7).sign();
    server.write(folder.path(), "main");
    std::fs::write(folder.path().join("root.pem"), authority.pem()).unwrap();
    std::fs::write(folder.path().join("root.key"), authority.key()).unwrap();
    // The state of the authority's certificates, as openssl keeps it.
    let index = |state: &str| std::fs::write(folder.path().join("index"), format!("{state}\t07\tunknown\t/CN=x\n"));
    let staple = |state: &str| {
        index(state).unwrap();
        let arguments = "ocsp -index index -CA root.pem -rsigner root.pem -rkey root.key -issuer root.pem -cert main.pem \
                         -ndays 2 -noverify -respout staple.der";
        let mut openssl = program("openssl")?;
        let made = openssl.args(arguments.split_whitespace()).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::read(folder.path().join("staple.der")).ok()
    };
    let Some(good) = staple("V\t491231235959Z\t") else { return };
    let revoked = staple("R\t491231235959Z\t260101000000Z").unwrap();
    let policy = Policy::new()
        .top("certificate main { chain \"main.pem\"; key \"main.key\"; staple \"staple.der\" }")
        .https_listener()
        .otherwise("respond 200 \"ok\"");
    let gateway = Gateway::start_with(&policy, |into| {
        server.write(into, "main");
        std::fs::write(into.join("staple.der"), &good).unwrap();
        std::fs::write(into.join("root.pem"), authority.pem()).unwrap();
    });
    let status = || {
        let output = program("openssl")
            .unwrap()
            .args(["s_client", "-status", "-servername", "shop.test", "-CAfile", "root.pem", "-connect"])
            .arg(format!("127.0.0.1:{}", gateway.port()))
            .current_dir(gateway.folder())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find_map(|line| line.trim().strip_prefix("Cert Status: ").map(str::to_owned)).ok_or(text)
    };
    assert_eq!(status().as_deref(), Ok("good"));
    gateway.write_file("staple.der", &revoked);
    eventually("the new staple", || match status() {
        Ok(status) if status == "revoked" => Ok(()),
        other => Err(other),
    });
    // One that is broken keeps the old.
    let mark = gateway.log().mark();
    gateway.write_file("staple.der", b"nonsense");
    gateway.wait_for(mark, "not renewed, the old one serves on");
    assert_eq!(status().as_deref(), Ok("revoked"));
}

#[test]
fn a_certificate_that_expires_is_not_resumed() {
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    let policy = ok().top("ca partners { bundle \"partners.pem\" }").listener("client-ca partners optional");
    let gateway = Gateway::start_with(&policy, |folder| {
        authority.server(&["shop.test"]).sign().write(folder, "main");
        std::fs::write(folder.join("partners.pem"), partners.pem()).unwrap();
    });
    let alice = partners.client("alice").lasting(Duration::from_secs(3)).sign();
    for version in [&version::TLS12, &version::TLS13] {
        let config = Secure::trusting(&authority).version(version).showing(&alice).config();
        let get = || {
            let (mut client, session) =
                secure::connect(&config, gateway.port(), "shop.test").map_err(|e| e.to_string())?;
            let answer = client.try_get("/").map_err(|error| error.to_string())?;
            Ok::<_, String>((answer.status, session.resumed))
        };
        // The second version may find it expired already.
        if get() == Ok((200, false)) {
            assert_eq!(get(), Ok((200, true)));
        }
        eventually("the end of the certificate", || get().map_or(Ok(()), Err));
    }
    gateway.wait_for(0, "the client's certificate has expired");
}

#[test]
fn no_command_shows_a_private_key() {
    let authority = Authority::new("Root");
    let server = authority.server(&["shop.test"]).sign();
    let text = ok().text().replace("@port", "8443");
    let tool = Tool::new().file("policy.gate", &text).file("main.pem", &server.chain).file("main.key", &server.key);
    let secrets: Vec<_> = server.key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(secrets.len() > 1);
    // A key that is damaged, and one in the place of the chain, are errors that show nothing either.
    let swapped = ok_from("main.key", "main.pem").text().replace("@port", "8443");
    let damaged = server.key.replacen(secrets[1], &format!("{}!!", secrets[1]), 1);
    let tool = tool.file("swapped.gate", &swapped).file("damaged.key", &damaged);
    let tool = tool.file("damaged.gate", &ok_from("main.pem", "damaged.key").text().replace("@port", "8443"));
    for (arguments, status) in [
        (&["check", "policy.gate"][..], 0),
        (&["print", "policy.gate"], 0),
        (&["print", "policy.gate", "--as", "plan"], 0),
        (&["print", "policy.gate", "--as", "json"], 0),
        (&["check", "swapped.gate"], 1),
        (&["check", "damaged.gate"], 1),
        (&["run", "damaged.gate"], 1),
    ] {
        let output = tool.run(arguments);
        assert_eq!(output.status, Some(status), "{arguments:?}: {}", output.stderr);
        for secret in &secrets {
            let shown = [&output.stdout, &output.stderr].iter().any(|text| text.contains(&secret[..20]));
            assert!(!shown, "{arguments:?}: {} {}", output.stdout, output.stderr);
        }
    }
}

#[test]
fn what_is_no_tls_costs_nobody_else() {
    let authority = Authority::new("Root");
    let gateway = gateway(&authority, &ok());
    let mut clients: Vec<Client> = Vec::new();
    for bytes in [&b"\x16\x03\x01\x40\x00"[..], b"\x00\x00\x00", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02"]
    {
        let mut client = gateway.client();
        client.send(bytes);
        clients.push(client);
    }
    let _silent = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    assert_eq!(status(&Secure::trusting(&authority), gateway.port()).unwrap().0, 200);
}
