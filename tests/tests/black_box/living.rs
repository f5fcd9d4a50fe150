//! What an operator and bad luck do to a gateway, and what those who are served notice of it: nothing.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tidegate_tests::admin::{ADMIN, Admin};
use tidegate_tests::websocket::{Http2Tunnels, Talk, WebSocketBackend, socket};
use tidegate_tests::{Backend, Client, Gateway, Load, Policy, Tool, free_port, tidegate, until};

#[test]
fn stops_and_starts_and_reloads_are_not_felt_on_other_listeners() {
    let (backend, sockets) = (Backend::text("steady"), WebSocketBackend::echo());
    let other = free_port();
    let policy = |mark: usize| {
        Policy::to(&backend)
            .top(ADMIN)
            .top(&format!("listener http other {{\nport {other}\nrules main\n}}"))
            .group("sockets", &format!("server {}", sockets.address()))
            .rule("chat", "when path is \"/chat\"\nforward sockets")
            .otherwise(&format!("forward web\non-response {{ set-header \"x-mark\" \"{mark}\" }}"))
    };
    let gateway = Gateway::start(&policy(0));
    let admin = Admin::of(&gateway);
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    let mut talks: Vec<_> = (0..10).map(|_| Talk::begin(Box::new(socket(gateway.port())), "").unwrap()).collect();
    talks.extend((0..10).map(|_| tunnels.begin(&[]).unwrap().1));
    let load = Load::default();
    let results = std::thread::scope(|scope| {
        let clients = [
            scope.spawn(|| load.keep_asking(gateway.port())),
            scope.spawn(|| load.keep_asking(gateway.port())),
            scope.spawn(|| load.keep_coming(gateway.port())),
        ];
        let _stop = load.stopped_at_the_end();
        for round in 1..=20 {
            let drain = if round % 2 == 0 { "{\"drain\": true}" } else { "" };
            assert_eq!(admin.order("/v1/listeners/other/stop", drain)["changed"], true);
            assert_eq!(admin.order("/v1/listeners/other/start", "")["changed"], true);
            if round % 4 == 0 {
                gateway.reload(&policy(round));
            }
        }
        load.stop();
        clients.map(|client| client.join().unwrap())
    });
    for served in results {
        assert!(served.as_ref().is_ok_and(|count| *count > 0), "{served:?}");
    }
    talks.iter_mut().for_each(|talk| talk.echoes("still here"));
    assert_eq!(Client::connect(other).get("/").text(), "steady");
}

#[test]
fn a_gateway_that_was_killed_starts_again_and_nothing_of_its_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let log = "access-log { to file \"access.log\" }";
    let policy = format!(
        "tidegate 1\n{ADMIN}\n{log}\nlistener http main {{ address 127.0.0.1:{port}; rules site }}\n\
         rules site {{ otherwise {{ respond 200 \"hello\" }} }}\n"
    );
    let file = folder.path().join("policy.gate");
    std::fs::write(&file, policy).unwrap();
    let start = || {
        Command::new(tidegate())
            .arg("run")
            .arg(&file)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    for round in 0..10 {
        let mut child = start();
        // At another point of its life each time, from the first moments to requests that are served.
        if round >= 5 {
            until("it serves", || Client::try_connect(port).is_ok_and(|mut client| client.try_get("/").is_ok()));
        }
        std::thread::sleep(Duration::from_millis(11 * round % 50));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut child = start();
    until("it serves", || Client::try_connect(port).is_ok_and(|mut client| client.try_get("/").is_ok()));
    let status = Tool::run_in(folder.path(), &["status"]);
    let ended = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success() && ended.success());
    assert!(status.status == Some(0) && status.stdout.contains("1 running"), "{status:?}");
    let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    assert!(log.lines().count() > 0 && log.ends_with('\n'));
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert!(!folder.path().join("admin.sock").exists());
}
