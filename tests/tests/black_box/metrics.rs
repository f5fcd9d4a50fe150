//! What is counted, and who reads it: Prometheus's own tool, Prometheus itself, and people who watch.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tidegate_tests::admin::{ADMIN, Admin, At, EventReader};
use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, free_port, program, until};

fn start(policy: Policy) -> (Gateway, Admin) {
    let gateway = Gateway::start(&policy.top(ADMIN));
    let admin = Admin::of(&gateway);
    (gateway, admin)
}

/// The value of a sample that begins so.
fn value(scrape: &str, sample: &str) -> Option<f64> {
    scrape.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

#[test]
fn requests_are_counted_by_what_became_of_them() {
    let backend = Backend::echo();
    let (gateway, admin) = start(
        Policy::to(&backend)
            .rule("own", "when path under \"/own\"\nrespond 404")
            .rule("far", "when path under \"/far\"\nforward gone")
            .group("gone", &format!("server 127.0.0.1:{}", free_port())),
    );
    let mut client = gateway.client();
    (0..3).for_each(|_| assert_eq!(client.get("/").status, 200));
    (0..2).for_each(|_| assert_eq!(client.get("/own").status, 404));
    assert_eq!(client.get("/far").status, 502);
    assert_eq!(client.get("/%00").status, 400);
    let mut scrape = String::new();
    until("all have ended", || {
        scrape = admin.get("/metrics").body;
        value(&scrape, "tidegate_request_duration_seconds_count{listener=\"main\"}") == Some(7.0)
    });
    for (labels, count) in [
        ("rule=\"otherwise\",group=\"web\",status=\"2xx\"", 3.0),
        ("rule=\"own\",group=\"\",status=\"4xx\"", 2.0),
        ("rule=\"far\",group=\"gone\",status=\"5xx\"", 1.0),
        ("rule=\"\",group=\"\",status=\"4xx\"", 1.0),
    ] {
        let sample = format!("tidegate_requests_total{{listener=\"main\",{labels}}}");
        assert_eq!(value(&scrape, &sample), Some(count), "{sample}\n{scrape}");
    }
    let server =
        format!("tidegate_upstream_requests_total{{group=\"web\",server=\"{}\",status=\"2xx\"}}", backend.address());
    assert_eq!(value(&scrape, &server), Some(3.0));
    assert_eq!(value(&scrape, "tidegate_failures_total{failure=\"connect-failed\",side=\"upstream\"}"), Some(1.0));
    assert_eq!(value(&scrape, "tidegate_connections{listener=\"main\",protocol=\"h1\"}"), Some(1.0));
    assert_eq!(value(&scrape, "tidegate_generation"), Some(1.0));
}

#[test]
fn counters_outlive_reloads_which_are_counted() {
    let (gateway, admin) = start(Policy::saying("one"));
    assert_eq!(gateway.get("/").status, 200);
    gateway.reload(&Policy::saying("two").top(ADMIN));
    assert_eq!(gateway.get("/").status, 200);
    let mark = gateway.log().mark();
    gateway.write(&Policy::saying("three").top(ADMIN).listener("nonsense"));
    gateway.wait_for(mark, "the policy was not reloaded");
    until("both are counted", || {
        let scrape = admin.get("/metrics").body;
        value(&scrape, "tidegate_requests_total{listener=\"main\",rule=\"otherwise\",group=\"\",status=\"2xx\"}")
            == Some(2.0)
            && value(&scrape, "tidegate_reloads_total{result=\"ok\"}") == Some(1.0)
            && value(&scrape, "tidegate_reloads_total{result=\"refused\"}") == Some(1.0)
    });
}

#[test]
fn prometheus_s_own_tool_takes_a_scrape() {
    let Some(mut promtool) = program("promtool") else { return };
    let (gateway, admin) = start(Policy::saying("one"));
    assert_eq!(gateway.get("/").status, 200);
    let scrape = admin.get("/metrics").body;
    let mut child = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(done.status.success() && said.is_empty(), "{said}");
    let open = admin.with("accept: application/openmetrics-text;version=1.0.0").get("/metrics");
    assert!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
}

#[test]
fn prometheus_scrapes_it() {
    if program("promtool").is_none() {
        return;
    }
    let (metrics, own) = (free_port(), free_port());
    let gateway = Gateway::start(&Policy::saying("one").top(&format!("metrics {{ listen 127.0.0.1:{metrics} }}")));
    (0..5).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: tidegate\n    static_configs: [{{ targets: [\"127.0.0.1:{metrics}\"] }}]\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let asked = |query: &str| -> Value {
        let Ok(mut client) = Client::try_connect(own) else { return Value::Null };
        let Ok(answer) = client.try_get(&format!("/api/v1/query?query={query}")) else { return Value::Null };
        let answer: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        answer["data"]["result"][0]["value"][1].clone()
    };
    let seen = std::panic::catch_unwind(|| {
        until("Prometheus has the gateway's numbers", || {
            asked("tidegate_requests_total%7Bstatus%3D%222xx%22%7D") == "5" && asked("up") == "1"
        });
    });
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    assert!(seen.is_ok(), "Prometheus does not see the gateway");
}

#[test]
fn a_second_is_told_in_rates_and_latencies() {
    let backend = Backend::echo();
    let (gateway, admin) = start(Policy::to(&backend).rule("never", "when path is \"/never\"\nrespond 404"));
    let mut events = EventReader::open(&gateway, "/v1/live");
    let mut client = gateway.client();
    let mut live = Value::Null;
    until("a second with requests", || {
        (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
        live = events.event().1;
        live["requests_per_second"].as_f64().is_some_and(|rate| rate > 0.0)
    });
    assert!(live["latency_ms"]["p99"].is_number() && live["groups"][0]["latency_ms"]["p50"].is_number(), "{live}");
    assert_eq!((live["connections"].as_i64(), live["listeners"][0]["name"].as_str()), (Some(1), Some("main")));
    let rules = live["rules"].as_array().unwrap();
    let total = |name: &str| rules.iter().find(|rule| rule["rule"] == name).map(|rule| rule["total"].clone());
    assert_eq!(total("never"), Some(json!(0)), "one that takes nothing is told, too: {live}");
    assert!(total("otherwise").and_then(|total| total.as_u64()).is_some_and(|total| total >= 10));
    assert_eq!(admin.read("/v1/live?once")["requests_per_second"], 0.0);
}

#[test]
fn the_last_failures_are_shown_without_secrets() {
    let gone = format!("server 127.0.0.1:{}", free_port());
    let (gateway, admin) = start(Policy::new().group("web", &gone).listener("access-log off"));
    assert_eq!(gateway.get("/a?token=abc&x=1").status, 502);
    gateway.client().send("GET / HTTP/1.1\r\nhost test\r\n\r\n").receive();
    let mut errors = Value::Null;
    until("both are there", || {
        errors = admin.read("/v1/errors")["errors"].clone();
        errors.as_array().is_some_and(|errors| errors.len() == 2)
    });
    assert_eq!((errors[0]["failure"].as_str(), errors[0]["status"].as_u64()), (Some("bad-head"), Some(400)));
    assert!(errors[0]["method"].is_null() && errors[0]["offset"].is_number(), "{errors}");
    assert_eq!(
        (errors[1]["failure"].as_str(), errors[1]["uri"].as_str()),
        (Some("connect-failed"), Some("/a?token=***&x=1"))
    );
}

#[test]
fn a_live_log_has_the_requests_that_fit_a_condition() {
    let (gateway, admin) = start(Policy::saying("one").top("list here [127.0.0.0/8]").listener("access-log off"));
    let when = "path%20under%20%22/api%22%0Awhen%20client-ip%20in%20here";
    let mut events = EventReader::open(&gateway, &format!("/v1/log?when={when}"));
    assert_eq!(events.event().0, "watching");
    let mut client = gateway.client();
    for path in ["/", "/api/1", "/apis", "/api/2"] {
        assert_eq!(client.get(path).status, 200);
    }
    let lines = [events.event().1, events.event().1];
    assert_eq!(lines.map(|line| line["uri"].as_str().unwrap_or_default().to_owned()), ["/api/1", "/api/2"]);
    let wrong = admin.get("/v1/log?when=path%20undr%20%22/a%22");
    assert!(wrong.status == 400 && wrong.detail().contains("under"), "{}", wrong.body);
    drop(events);
    let mut all: Vec<_> = (0..8).map(|_| EventReader::open(&gateway, "/v1/log")).collect();
    assert_eq!(admin.get("/v1/log").status, 503, "there is room for a few");
    all.iter_mut().for_each(|events| assert_eq!(events.event().0, "watching"));
    assert_eq!(client.get("/last").status, 200);
    all.iter_mut().for_each(|events| assert_eq!(events.event().1["uri"], "/last"));
}

#[test]
fn a_client_that_does_not_read_its_log_holds_nobody_up() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, admin) = start(Policy::to(&backend));
    let _slow = EventReader::open(&gateway, "/v1/log");
    let mut client = gateway.client();
    (0..2000).for_each(|_| assert_eq!(client.get("/").status, 200));
    assert_eq!(admin.get("/v1/status").status, 200);
}

#[test]
fn metrics_are_read_without_a_token() {
    let port = free_port();
    let _gateway = Gateway::start(&Policy::saying("one").top(&format!("metrics {{ listen 127.0.0.1:{port} }}")));
    let scrape = Admin::at(At::Tcp(port)).get("/metrics");
    assert!(scrape.status == 200 && scrape.body.contains("tidegate_build_info"), "{}", scrape.body);
}
