//! The admin API: what it tells, what it changes, and whom it obeys. Every answer is held against the API's description.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_tests::admin::{ADMIN, Admin, At, socket_of};
use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, Tool, free_port, until, workspace};

const READ: &str = "the reader's long word";
const OPERATE: &str = "the operator's long word";

fn start(policy: Policy) -> (Gateway, Admin) {
    let gateway = Gateway::start(&policy.top(ADMIN));
    let admin = Admin::of(&gateway);
    (gateway, admin)
}

/// A gateway whose admin API is reached over TCP, with tokens.
fn start_with_tokens() -> (Gateway, u16) {
    let port = free_port();
    let tokens = "read-token file \"read.token\"\noperate-token file \"operate.token\"";
    let policy = Policy::saying("hello").top(&format!("admin {{\nlisten 127.0.0.1:{port}\n{tokens}\n}}"));
    let gateway = Gateway::start_with(&policy, |folder| {
        fs::write(folder.join("read.token"), format!("{READ}\n")).unwrap();
        fs::write(folder.join("operate.token"), OPERATE).unwrap();
    });
    (gateway, port)
}

fn state(admin: &Admin, listener: &str) -> String {
    admin.read(&format!("/v1/listeners/{listener}"))["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_gateway_tells_how_it_is() {
    let backend = Backend::echo();
    let (gateway, admin) = start(Policy::to(&backend).top(&format!("metrics {{ listen 127.0.0.1:{} }}", free_port())));
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    let status = admin.read("/v1/status");
    assert_eq!((status["state"].as_str(), status["generation"].as_u64()), (Some("running"), Some(1)), "{status}");
    assert_eq!(status["pid"].as_u64(), Some(u64::from(gateway.pid())));
    assert_eq!((status["connections"].as_u64(), status["listeners"]["running"].as_u64()), (Some(1), Some(1)));
    assert_eq!(status["last_read"]["cause"], "the start");
    let listeners = admin.read("/v1/listeners");
    assert_eq!(listeners["listeners"][0]["name"], "main");
    assert_eq!(listeners["listeners"][0]["connections"], 1);
    assert_eq!(admin.read("/v1/listeners/main"), listeners["listeners"][0]);
    let group = admin.read("/v1/groups/web");
    assert_eq!(group["servers"][0]["address"], backend.address());
    assert_eq!(admin.read("/v1/groups")["groups"][0], group);
    for path in ["/v1/extensions", "/v1/certificates", "/v1/generations"] {
        assert_eq!(admin.read(path)["generation"], 1, "{path}");
    }
    for path in ["/v1/listeners/other", "/v1/groups/other", "/v1/nothing", "/v2/status"] {
        assert_eq!(admin.get(path).status, 404, "{path}");
    }
}

#[test]
fn the_description_is_given_out_and_is_the_one_that_is_kept() {
    let (_gateway, admin) = start(Policy::saying("hello"));
    let kept = fs::read_to_string(workspace().join("runtime/src/admin/openapi.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(admin.read("/v1/openapi.json"), kept);
}

#[test]
fn a_listener_is_stopped_at_once_and_others_do_not_notice() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let other = free_port();
    let (gateway, admin) =
        start(Policy::to(&backend).top(&format!("listener http other {{\nport {other}\nrules main\n}}")));
    let (mut stopped, mut kept) = (Client::connect(other), gateway.client());
    stopped.send("GET /stopped HTTP/1.1\r\nhost: test\r\n\r\n");
    kept.send("GET /kept HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(2);
    let done = admin.order("/v1/listeners/other/stop", "");
    assert_eq!(done, json!({ "changed": true, "generation": 2 }));
    assert!(stopped.is_closed(), "its connections end at once");
    assert!(TcpStream::connect(("127.0.0.1", other)).is_err());
    until("it has stopped", || state(&admin, "other") == "stopped");
    assert_eq!(admin.read("/v1/listeners/other")["reason"], "by hand");
    backend.release();
    assert_eq!(kept.receive().status, 200);
    assert_eq!(admin.order("/v1/listeners/other/stop", "{}")["changed"], false);
    assert_eq!(admin.order("/v1/listeners/other/start", "{}")["changed"], true);
    assert_eq!(state(&admin, "other"), "running");
    assert!(TcpStream::connect(("127.0.0.1", other)).is_ok());
}

#[test]
fn a_listener_that_is_drained_finishes_its_requests() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let (gateway, admin) = start(Policy::to(&backend));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    admin.order("/v1/listeners/main/stop", "{\"drain\": true}");
    let listener = admin.read("/v1/listeners/main");
    assert_eq!((listener["state"].as_str(), listener["connections"].as_u64()), (Some("draining"), Some(1)));
    assert_eq!(admin.get("/ready").status, 200, "others would be served");
    backend.release();
    let response = client.receive();
    assert!(response.status == 200 && response.closes());
    until("it has drained", || state(&admin, "main") == "stopped");
}

#[test]
fn what_was_stopped_stays_so_until_its_state_changes_in_the_file() {
    let (gateway, admin) = start(Policy::saying("one"));
    let with = |text: &str, state: &str| Policy::saying(text).top(ADMIN).listener(state);
    admin.order("/v1/listeners/main/stop", "");
    gateway.reload(&with("two", ""));
    assert_eq!(state(&admin, "main"), "stopped");
    let stopped = admin.read("/v1/listeners/main");
    assert_eq!((stopped["by_hand"].as_bool(), stopped["reason"].as_str()), (Some(true), Some("by hand")));
    let mark = gateway.log().mark();
    gateway.write(&with("two", "state stopped"));
    gateway.wait_for(mark, "its meaning did not");
    gateway.reload(&with("two", "state running"));
    assert_eq!((state(&admin, "main").as_str(), gateway.get("/").text().as_str()), ("running", "two"));
}

#[test]
fn a_server_is_drained_and_put_back() {
    let (one, other) = (Backend::text("one"), Backend::text("other"));
    let servers = format!("server {}\nserver {}", one.address(), other.address());
    let (gateway, admin) = start(Policy::new().group("web", &servers));
    let mut client = gateway.client();
    let mut said = move || (0..12).map(|_| client.get("/").text()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(said().len(), 2);
    let path = format!("/v1/groups/web/servers/{}", one.address());
    admin.order(&path, "{\"state\": \"draining\", \"until\": \"reload\"}");
    assert_eq!(said().into_iter().collect::<Vec<_>>(), ["other"]);
    let server = &admin.read("/v1/groups/web")["servers"][0];
    assert_eq!((server["state"].as_str(), server["by_hand"].as_bool()), (Some("draining"), Some(true)));
    admin.order(&path, "{\"state\": \"running\"}");
    assert_eq!(said().len(), 2);
    for (body, status) in [
        ("{}", 400),
        ("{\"state\": \"gone\"}", 400),
        ("{\"weight\": 1001}", 400),
        ("{\"state\": \"stopped\", \"more\": 1}", 400),
        ("not json", 400),
    ] {
        assert_eq!(admin.post(&path, body).status, status, "{body}");
    }
    assert_eq!(admin.post("/v1/groups/web/servers/127.0.0.1:1", "{\"state\": \"stopped\"}").status, 404);
}

#[test]
fn generations_tell_changes_and_refusals() {
    let (gateway, admin) = start(Policy::saying("one"));
    gateway.reload(&Policy::saying("two").top(ADMIN));
    let mark = gateway.log().mark();
    gateway.write(&Policy::saying("three").top(ADMIN).listener("idle-timeot 5s"));
    gateway.wait_for(mark, "the policy was not reloaded");
    let generations = admin.read("/v1/generations");
    let list = generations["generations"].as_array().unwrap();
    assert_eq!((generations["generation"].as_u64(), list.len()), (Some(2), 3), "{generations}");
    assert_eq!(
        (list[0]["result"].as_str(), list[0]["diagnostics"][0]["code"].as_str()),
        (Some("refused"), Some("E0201"))
    );
    assert!(list[0]["shown"].as_str().unwrap().contains("idle-timeout"), "{}", list[0]["shown"]);
    assert_eq!((list[1]["result"].as_str(), list[1]["cause"].as_str()), (Some("in-service"), Some("a file changed")));
    assert_eq!(list[1]["changes"]["changes"][0]["kind"], "otherwise", "{}", list[1]);
    assert_eq!(list[2]["cause"], "the start");
    assert_eq!(admin.read("/v1/status")["last_read"]["result"], "refused");
}

#[test]
fn a_policy_is_compared_and_nothing_changes() {
    let (gateway, admin) = start(Policy::saying("one"));
    let new = gateway.fill(&Policy::saying("two").top(ADMIN).text());
    let json = admin.order("/v1/plan", &json!({ "policy": new }).to_string());
    assert_eq!(json["result"], "accepted");
    assert!(json["shown"].as_str().unwrap().contains("two"), "{json}");
    let text = admin.with("content-type: text/plain; charset=utf-8").ask("POST", "/v1/plan", &new);
    assert_eq!(text.json(), json);
    let broken = admin.order("/v1/plan", &json!({ "policy": "tidegate 1\nlistener" }).to_string());
    assert_eq!((broken["result"].as_str(), broken["changes"].is_null()), (Some("refused"), true));
    assert!(!broken["diagnostics"].as_array().unwrap().is_empty());
    assert_eq!((gateway.get("/").text().as_str(), admin.read("/v1/status")["generation"].as_u64()), ("one", Some(1)));
}

#[test]
fn a_request_is_explained_as_the_command_line_explains_it() {
    let (gateway, admin) = start(Policy::saying("one").rule("api", "when path under \"/api\"\nrespond 404"));
    let url = format!("http://test:{}/api/x", gateway.port());
    let order = json!({ "request": format!("GET {url}"), "headers": [["x-a", "1"]], "from": "203.0.113.9" });
    let explained = admin.order("/v1/explain", &order.to_string());
    assert_eq!(explained["explanation"]["rule"], "api", "{explained}");
    let output = Tool::new().run(&[
        "explain",
        gateway.file().to_str().unwrap(),
        &format!("GET {url}"),
        "-H",
        "x-a: 1",
        "--from",
        "203.0.113.9",
    ]);
    assert_eq!(explained["shown"].as_str().unwrap().trim_end(), output.stdout.trim_end());
    for (request, status) in [("GET /x", 400), ("GET ftp://a/", 400), ("GET http://a/%2e%2e/%00", 422)] {
        assert_eq!(admin.post("/v1/explain", &json!({ "request": request }).to_string()).status, status, "{request}");
    }
}

#[test]
fn over_tcp_a_token_is_asked_for() {
    let (_gateway, port) = start_with_tokens();
    let nobody = Admin::at(At::Tcp(port));
    let (reader, operator) = (nobody.token(READ), nobody.token(OPERATE));
    assert_eq!(nobody.get("/v1/status").status, 401);
    assert!(nobody.get("/v1/status").head.contains("www-authenticate: bearer"));
    assert_eq!(nobody.get("/ready").status, 401, "on every path");
    assert_eq!(nobody.token("another long word").get("/v1/status").status, 401);
    assert_eq!((reader.get("/v1/status").status, operator.get("/v1/status").status), (200, 200));
    let stop = "/v1/listeners/main/stop";
    assert_eq!((nobody.post(stop, "").status, reader.post(stop, "").status), (401, 401));
    assert_eq!(reader.read("/v1/listeners/main")["state"], "running");
    assert_eq!(operator.post(stop, "").status, 200);
}

#[test]
fn without_a_token_to_operate_nothing_is_changed_over_tcp() {
    let port = free_port();
    let (_gateway, owner) = start(Policy::saying("hello"));
    let _other = Gateway::start(&Policy::saying("hello").top(&format!("admin {{ listen 127.0.0.1:{port} }}")));
    let admin = Admin::at(At::Tcp(port));
    assert_eq!(admin.get("/v1/status").status, 200, "this is the loopback interface");
    let refused = admin.post("/v1/listeners/main/stop", "");
    assert_eq!(refused.status, 403);
    assert!(refused.detail().contains("operate-token"), "{}", refused.body);
    assert_eq!(owner.post("/v1/listeners/main/stop", "").status, 200, "its owner may, on a Unix socket");
}

#[test]
fn pages_of_other_sites_are_refused() {
    let (_gateway, admin) = start(Policy::saying("hello"));
    let stop = "/v1/listeners/main/stop";
    for field in ["origin: http://evil.example", "origin: null", "sec-fetch-site: cross-site"] {
        assert_eq!(admin.with(field).post(stop, "").status, 403, "{field}");
        assert_eq!(admin.with(field).get("/v1/status").status, 403, "{field}");
    }
    assert_eq!(admin.with("origin: http://localhost").get("/v1/status").status, 200);
    let port = free_port();
    let _other = Gateway::start(&Policy::saying("hello").top(&format!("admin {{ listen 127.0.0.1:{port} }}")));
    let rebound = Admin::at(At::Tcp(port)).with("host: evil.example");
    assert_eq!(rebound.get("/v1/status").status, 421, "a name that leads here by a trick");
}

#[test]
fn nothing_is_changed_by_get_and_orders_are_json() {
    let (_gateway, admin) = start(Policy::saying("hello"));
    let stop = "/v1/listeners/main/stop";
    let got = admin.get(stop);
    assert!(got.status == 405 && got.head.contains("allow: post"), "{}", got.head);
    assert_eq!(admin.ask("DELETE", "/v1/listeners/main", "").status, 405);
    assert_eq!(admin.ask("HEAD", "/v1/status", "").status, 200);
    for media_type in ["", "content-type: text/plain", "content-type: application/x-www-form-urlencoded"] {
        let admin = if media_type.is_empty() { admin.clone() } else { admin.with(media_type) };
        assert_eq!(admin.ask("POST", stop, "").status, 415, "{media_type}");
    }
    assert_eq!(admin.post(stop, "{\"drain\": \"yes\"}").status, 400);
    assert_eq!(admin.post(stop, &format!("{{\"x\": \"{}\"}}", "x".repeat(64 * 1024))).status, 413);
    assert_eq!(state(&admin, "main"), "running");
}

#[test]
fn metrics_have_a_place_of_their_own() {
    let port = free_port();
    let (mut gateway, admin) = start(Policy::saying("hello").top(&format!("metrics {{ listen 127.0.0.1:{port} }}")));
    let metrics = Admin::at(At::Tcp(port)).undescribed();
    assert_eq!((metrics.get("/live").status, metrics.get("/ready").status), (200, 200));
    for path in ["/v1/status", "/", "/v1/listeners/main/stop"] {
        assert_eq!(metrics.get(path).status, 404, "{path}");
    }
    let mut held = gateway.client();
    held.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\n");
    until("the connection is there", || admin.read("/v1/status")["connections"] == 1);
    gateway.signal("TERM");
    gateway.wait_for(0, "draining");
    until("it is ready no more", || metrics.get("/ready").status == 503);
    assert_eq!((metrics.get("/live").status, admin.read("/v1/status")["state"].as_str()), (200, Some("draining")));
    assert_eq!(admin.post("/v1/listeners/main/stop", "").status, 409, "nothing is changed any more");
    gateway.signal("TERM");
    gateway.wait_end();
}

#[test]
fn the_addresses_change_with_the_policy() {
    let (gateway, admin) = start(Policy::saying("hello"));
    assert_eq!(fs::metadata(socket_of(&gateway)).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mark = gateway.log().mark();
    gateway.write(&Policy::saying("hello").top(&format!("admin {{ listen {address} }}")));
    let line = gateway.wait_for(mark, "the policy was not reloaded");
    assert!(line.contains("`admin` cannot listen on") && line.contains("another process listens there"), "{line}");
    assert_eq!(admin.get("/v1/status").status, 200, "the old one serves on");
    let port = free_port();
    gateway.reload(&Policy::saying("hello").top(&format!("admin {{ listen 127.0.0.1:{port} }}")));
    until("the socket is gone", || !socket_of(&gateway).exists());
    assert_eq!(Admin::at(At::Tcp(port)).get("/v1/status").status, 200);
}

#[test]
fn whoever_says_nothing_or_says_it_slowly_takes_no_place_for_long_and_no_others() {
    let port = free_port();
    let (gateway, _) = start(Policy::saying("hello").top(&format!("metrics {{ listen 127.0.0.1:{port} }}")));
    // As many as there is room for, and more: those are closed, and the gateway serves on.
    let mut held: Vec<_> = (0..160).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    held.iter_mut().for_each(|stream| drop(stream.write_all(b"GET /live HTTP/1.1\r\n")));
    let is_closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        matches!(stream.read(&mut [0; 1]), Ok(0)) || stream.write_all(b"x").is_err()
    };
    until("those beyond the bound are closed", || {
        held.iter_mut().filter_map(|stream| is_closed(stream).then_some(())).count() >= 32
    });
    assert_eq!(gateway.get("/").text(), "hello");
    drop(held);
    let metrics = Admin::at(At::Tcp(port)).undescribed();
    until("there is room again", || {
        std::panic::catch_unwind(|| metrics.get("/live").status).is_ok_and(|status| status == 200)
    });
}

#[test]
fn the_command_line_watches_and_changes_the_gateway_of_its_folder() {
    let (gateway, admin) = start(Policy::saying("hello"));
    let tool = |arguments: &[&str]| Tool::run_in(gateway.folder(), arguments);
    let status = tool(&["status"]);
    assert!(status.status == Some(0) && status.stdout.contains("1 running"), "{status:?}");
    let json: Value = serde_json::from_str(&tool(&["listener", "list", "--format", "json"]).stdout).unwrap();
    assert_eq!(json, admin.read("/v1/listeners"));
    let stopped = tool(&["listener", "stop", "main"]);
    assert_eq!((stopped.status, stopped.stdout.trim()), (Some(0), "listener main is stopped (generation 2)"));
    assert!(tool(&["listener", "show", "main"]).stdout.contains("by hand"));
    assert_eq!(tool(&["listener", "start", "main"]).status, Some(0));
    let unknown = tool(&["listener", "stop", "other"]);
    assert_eq!(unknown.status, Some(1));
    assert!(unknown.stderr.contains("no listener `other`"), "{}", unknown.stderr);
    let nobody = tool(&["status", "--admin", "127.0.0.1:1"]);
    assert!(nobody.status == Some(1) && nobody.stderr.contains("cannot ask"), "{nobody:?}");
    assert_eq!(tool(&["status", "--admin", "nonsense"]).status, Some(2));
}
