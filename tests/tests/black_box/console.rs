//! The console, in Chromium: what it shows is what the API says, what it changes it asks about first, and texts stay texts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use serde_json::{Value, json};
use tidegate_tests::admin::{ADMIN, Admin, At, socket_of};
use tidegate_tests::pki::Authority;
use tidegate_tests::{
    Backend, Browser, Client, Gateway, Policy, axe, eventually, free_port, guest, shipped, target_folder, until,
};

const READ: &str = "the reader's long word";
const OPERATE: &str = "the operator's long word";

/// Markup as a text that would leave a trace if it were taken for markup.
const MARKUP: &str = "<script>window.broken=1</script><img src=x onerror=window.broken=1>";

/// A gateway with a bit of everything, and the port of its API, which wants a token.
struct House {
    gateway: Gateway,
    port: u16,
    other: u16,
    _backend: Backend,
}

impl House {
    fn start() -> Self {
        Self::labelled(MARKUP)
    }

    fn labelled(label: &str) -> Self {
        let (port, other) = (free_port(), free_port());
        let backend = Backend::echo();
        let policy = Self::policy(&backend, port, other, label);
        let gateway = Gateway::start_with(&policy, |folder| {
            let authority = Authority::new("Root");
            let soon = std::time::Duration::from_secs(9 * 24 * 3600 + 3600);
            authority.server(&["shop.test", "www.shop.test"]).lasting(soon).sign().write(folder, "shop");
            fs::copy(guest("client_headers"), folder.join("client_headers.wasm")).unwrap();
            fs::write(folder.join("read.token"), READ).unwrap();
            fs::write(folder.join("operate.token"), OPERATE).unwrap();
        });
        Self { gateway, port, other, _backend: backend }
    }

    fn policy(backend: &Backend, port: u16, other: u16, label: &str) -> Policy {
        let check = "health-check http { path \"/healthz\"; every 10s; unhealthy 1 }";
        Policy::new()
            .top(&format!(
                "admin {{\nlisten 127.0.0.1:{port}\nread-token file \"read.token\"\noperate-token file \"operate.token\"\n}}"
            ))
            .top("certificate shop { chain \"shop.pem\"; key \"shop.key\" }")
            .top(&format!("listener https shop {{\naddress 127.0.0.1:{}\ncertificate shop\nrules main\n}}", free_port()))
            .top(&format!("listener http other {{\naddress 127.0.0.1:{other}\nlabel stage \"{label}\"\nrules main\n}}"))
            .top("extension headers { module \"client_headers.wasm\"; config { response { \"x-served-by\" \"t\" } }; allow [read-request, write-request-headers, write-response-headers] }")
            .listener("label team \"storefront\"")
            .listener("run headers")
            .group("web", &format!("{check}; server {}; server 127.0.0.1:{} weight 3", backend.address(), free_port()))
            .group("static", "server 127.0.0.1:9 backup; server 127.0.0.1:10")
            .rule("api", "when path under \"/api\"\nforward web")
            .rule("teapot", "when path is \"/teapot\"\nrespond 418")
    }

    fn admin(&self) -> Admin {
        Admin::at(At::Tcp(self.port)).token(OPERATE)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn state(&self, listener: &str) -> String {
        self.admin().read(&format!("/v1/listeners/{listener}"))["state"].as_str().unwrap_or_default().to_owned()
    }

    /// A page that has shown its token.
    fn page(&self, browser: &mut Browser) {
        browser.open(&self.url());
        browser.wait("!document.querySelector('#token-form').hidden");
        browser.submit("#token", READ);
        browser.wait("document.querySelector('#glance data') && document.querySelector('#certificates tbody tr')");
    }

    /// A page that may operate.
    fn operating(&self, browser: &mut Browser) {
        self.page(browser);
        browser.press("#operate");
        browser.wait("!document.querySelector('#token-form').hidden");
        browser.submit("#token", OPERATE);
        browser.wait("document.querySelector('#operate').textContent === 'Operate: on'");
    }

    /// Nothing was asked of another origin, and the browser has nothing to say.
    fn is_clean(&self, browser: &mut Browser) {
        let url = self.url();
        let strangers: Vec<_> = browser.requests().into_iter().filter(|asked| !is_ours(asked, &url)).collect();
        assert!(strangers.is_empty(), "{strangers:?}");
        // That a token is missing, and that a path is not there, is also said by the browser.
        let complaints: Vec<_> =
            browser.complaints().into_iter().filter(|text| !text.contains("Failed to load resource")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        assert_eq!(browser.evaluate("window.broken === undefined"), true, "a text became markup");
    }
}

fn is_ours(asked: &str, url: &str) -> bool {
    asked.starts_with(url) || asked.starts_with("data:image/svg+xml,")
}

/// Every value on the page that comes from an answer: the source, the place in it, what is said to programs, what is shown.
const VALUES: &str = "[...document.querySelectorAll('[data-of]')].map(node => {
    const [source, ...place] = node.dataset.of.split(' ');
    const said = node.getAttribute('value') ?? node.getAttribute('datetime');
    return [source, place.join(' '), said, node.hasAttribute('data-words') ? null : node.textContent];
})";

/// What of the page is not as the answers have it, and what numbers of theirs it does not show.
fn differences(browser: &mut Browser, answers: &BTreeMap<&str, Value>) -> Vec<String> {
    let values: Vec<(String, String, Option<String>, Option<String>)> =
        serde_json::from_value(browser.evaluate(VALUES)).unwrap();
    let mut wrong = Vec::new();
    let mut shown = BTreeSet::new();
    for (source, place, said, text) in values {
        let Some(answer) = answers.get(source.as_str()) else { continue };
        shown.insert(format!("{source} {place}"));
        let expected = answer.pointer(&place).cloned().unwrap_or_default();
        let is_right = match &expected {
            Value::Number(number) => {
                let number = number.as_f64().unwrap();
                let near = if place == "/uptime_seconds" { 5.0 } else { 0.0 };
                let said: f64 = said.as_deref().unwrap_or_default().parse().unwrap_or(f64::NAN);
                (said - number).abs() <= near && text.as_deref().is_none_or(|text| shows(text, said))
            }
            Value::String(expected) => Some(expected) == said.as_ref().or(text.as_ref()),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{source} {place} is {expected}, and the page says {said:?}: {text:?}"));
        }
    }
    for (source, answer) in answers {
        let mut numbers = Vec::new();
        numbers_of(answer, "", &mut numbers);
        let missing = numbers.iter().map(|place| format!("{source} {place}")).filter(|place| !shown.contains(place));
        wrong.extend(missing.map(|place| format!("{place} is not shown")));
    }
    wrong
}

/// Whether a number is what people are shown of it: to half a percent.
fn shows(text: &str, number: f64) -> bool {
    let text: f64 = text.replace('\u{202f}', "").parse().unwrap_or(f64::NAN);
    (text - number).abs() <= number.abs() / 200.0 + 1e-9 || (text - number).abs() <= 0.000_51
}

/// The places of the numbers of an answer. The changes of a policy are shown in the words of `plan`.
fn numbers_of(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) if place != "/generation" => found.push(place.to_owned()),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| numbers_of(value, &format!("{place}/{at}"), found));
        }
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !["changes", "diagnostics"].contains(&name.as_str()))
            {
                numbers_of(value, &format!("{place}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// What `/v1/live` would say, with a text in it that looks like markup.
fn live() -> Value {
    let latency = |p50: f64| json!({ "p50": p50, "p90": p50 * 3.0, "p99": p50 * 12.5 });
    json!({
        "at": "2026-11-28T15:00:00Z", "seconds": 1.0, "connections": 1234, "requests_per_second": 1520.25,
        "failures_per_second": 0.5, "status": { "2xx": 1480.25, "4xx": 39.5, "5xx": 0.5 }, "latency_ms": latency(1.25),
        "listeners": [{ "name": "main", "connections": 3, "in_flight": 2, "requests_per_second": 20.125, "latency_ms": latency(2.0) }],
        "groups": [{ "name": "web", "requests_per_second": 18.0, "latency_ms": latency(1.5) }],
        "rules": [
            { "listener": "main", "rule": "api", "total": 1_234_567 },
            { "listener": "main", "rule": "teapot", "total": 12 },
            { "listener": "main", "rule": MARKUP, "total": 0 }
        ]
    })
}

fn errors() -> Value {
    let error = |uri: &str, status: u16, failure: &str| {
        json!({
            "time": "2026-11-28T15:00:00Z", "listener": "main", "client_ip": "203.0.113.9", "method": "GET", "host": "shop.test",
            "uri": uri, "status": status, "failure": failure, "side": "client", "group": null, "server": null,
            "request_id": "0af7651916cd43dd8448eb211c80319c", "ms": 0.125, "rule": null, "protocol": "h2", "upstream_status": null,
            "offset": 17, "generation": 1
        })
    };
    json!({ "errors": [error("/api/x?a=1", 404, "no-route"), error(&format!("/{MARKUP}"), 400, "bad-path")] })
}

/// The shown log: two lines, and a note that some were left out.
fn log() -> String {
    let line = json!({
        "time": "2026-11-28T15:00:00Z", "listener": "main", "client_ip": "203.0.113.9", "method": "GET", "host": "shop.test",
        "uri": format!("/{MARKUP}"), "status": 200, "ms": 1.5, "rule": "api", "group": "web", "server": "127.0.0.1:80"
    });
    let other = json!({ "time": "2026-11-28T15:00:01Z", "listener": "main", "client_ip": "203.0.113.9", "method": "GET",
        "host": "shop.test", "uri": "/teapot", "status": 418, "ms": 0.5, "rule": "teapot" });
    format!(": hello\n\ndata: {line}\n\nevent: skipped\ndata: {{\"count\": 7}}\n\ndata: {other}\n\n")
}

/// Two minutes of a working day, for pictures.
fn working_day(browser: &mut Browser, connections: u32) {
    let at = |second: u32| {
        let wave = f64::from((second * 7) % 23) / 23.0 + (f64::from(second) / 9.0).sin();
        let rate = (40.0 + 6.0 * wave).round();
        let failures = if (70..80).contains(&second) { 4.0 } else { 0.0 };
        let latency = json!({ "p50": 1.2 + wave / 9.0, "p90": 4.0 + wave, "p99": 9.0 + 3.0 * wave + failures * 4.0 });
        json!({
            "at": "2026-11-28T15:00:00Z", "seconds": 1.0, "connections": connections - second % 4, "requests_per_second": rate,
            "failures_per_second": failures, "status": { "2xx": rate - failures - 1.0, "4xx": 1.0, "5xx": failures }, "latency_ms": latency,
            "listeners": [{ "name": "main", "connections": 3, "in_flight": 2, "requests_per_second": rate, "latency_ms": latency }],
            "groups": [{ "name": "web", "requests_per_second": rate - 2.0, "latency_ms": latency }],
            "rules": [{ "listener": "main", "rule": "api", "total": 1_234_567 }, { "listener": "main", "rule": "teapot", "total": 0 }]
        })
    };
    browser.instead_series("/v1/live?once", (1..=120).rev().map(at));
    browser.instead_json("/v1/errors", &errors());
    browser.instead("/v1/log?when=path%20under%20%22%2Fapi%22", 200, "text/event-stream", &log());
}

/// Endpoints that answer the same for as long as a test looks.
fn stand_still(browser: &mut Browser) {
    browser.instead_json("/v1/live?once", &live());
    browser.instead_json("/v1/errors", &errors());
    browser.instead("/v1/log?when=path%20under%20%22%2Fapi%22", 200, "text/event-stream", &log());
}

#[test]
fn the_page_needs_no_token_and_nothing_but_itself() {
    let house = House::start();
    let nobody = Admin::at(At::Tcp(house.port));
    let page = nobody.get("/");
    assert_eq!(page.status, 200);
    for field in [
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.head.contains(field), "{field}: {}", page.head);
    }
    assert!(page.body.len() < 100 * 1024, "{} bytes", page.body.len());
    assert!(!page.body.contains("storefront"), "nothing of the policy is in it");
    let linked = nobody.with("sec-fetch-site: cross-site");
    assert_eq!((linked.get("/").status, linked.get("/v1/status").status), (200, 403), "a link may lead here");
}

/// What `/v1/live` says that the page shows: connections of listeners are those of `/v1/listeners`, and nine of ten requests are
/// told of all together.
fn shown_live(mut live: Value) -> Value {
    live.as_object_mut().unwrap().remove("seconds");
    for kind in ["listeners", "groups"] {
        for one in live[kind].as_array_mut().unwrap() {
            one.as_object_mut().unwrap().remove("connections");
            one["latency_ms"].as_object_mut().unwrap().remove("p90");
        }
    }
    live
}

#[test]
fn every_number_on_the_page_is_the_apis() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    let mut client = house.gateway.client();
    let _held = Client::connect(house.other);
    assert_eq!((client.get("/api/1").status, client.get("/teapot").status), (200, 418));
    house.gateway.client().send("nonsense\r\n\r\n");
    let admin = house.admin();
    until("servers are checked", || admin.read("/v1/status")["servers"]["unhealthy"] == 1);
    until("connections are seen", || admin.read("/v1/status")["connections"] == 2);
    until("a request was refused", || !admin.read("/v1/errors")["errors"].as_array().unwrap().is_empty());
    house.page(&mut browser);
    let last = eventually("the page says what the API says", || {
        let mut answers = BTreeMap::from([("live", shown_live(admin.read("/v1/live?once")))]);
        for source in ["status", "listeners", "groups", "extensions", "certificates", "generations", "errors"] {
            answers.insert(source, admin.read(&format!("/v1/{source}")));
        }
        match differences(&mut browser, &answers) {
            wrong if wrong.is_empty() => Ok(answers),
            wrong => Err(wrong),
        }
    });
    assert_eq!(last["status"]["connections"], 2);
    assert_eq!(last["live"]["rules"][0]["listener"], "shop", "{}", last["live"]);
    assert!(browser.text("#certificates").contains("ends soon"), "{}", browser.text("#certificates"));
    assert!(
        browser.evaluate("document.querySelectorAll('#live figure details table tbody tr').length").as_u64() >= Some(4)
    );
    house.is_clean(&mut browser);
}

#[test]
fn rates_latencies_and_hits_of_a_busy_gateway_are_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    stand_still(&mut browser);
    house.page(&mut browser);
    eventually("the page says what the API says", || {
        match differences(&mut browser, &BTreeMap::from([("live", shown_live(live())), ("errors", errors())])) {
            wrong if wrong.is_empty() => Ok(()),
            wrong => Err(wrong),
        }
    });
    assert!(browser.text("#rules summary").starts_with("1 rule"), "never hit: {}", browser.text("#rules"));
    let chart = browser.evaluate("document.querySelector('#live svg').getAttribute('aria-label')");
    assert!(chart.as_str().unwrap().contains("now connections 1\u{202f}234"), "{chart}");
    house.is_clean(&mut browser);
}

#[test]
fn requests_as_they_come_are_followed_by_a_condition() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    house.page(&mut browser);
    browser.submit("#when", "path undr \"/api\"");
    browser.wait("document.querySelector('#log-state').textContent.includes('Not followed')");
    assert!(browser.text("#log-state").contains("under"), "the mistake is told: {}", browser.text("#log-state"));
    browser.submit("#when", "path under \"/api\"");
    browser.wait("document.querySelector('#log-state').textContent.startsWith('Followed where')");
    let mut client = house.gateway.client();
    let uri = format!("/api/{}", MARKUP.replace(' ', "+").replace(['<', '>'], "'"));
    assert_eq!((client.get("/teapot").status, client.get(&uri).status), (418, 200));
    browser.wait("document.querySelectorAll('#log-lines tr').length > 0");
    let lines = browser.evaluate("[...document.querySelectorAll('#log-lines tr')].map(line => line.innerText)");
    assert_eq!(lines.as_array().unwrap().len(), 1, "{lines}");
    assert!(lines[0].as_str().unwrap().contains("/api/"), "{lines}");
    browser.press("#log-lines [data-act=explain]");
    browser.wait("document.querySelector('#explain pre')?.textContent.includes('api')");
    browser.press("#log-stop");
    browser.wait("document.querySelector('#log-state').textContent === 'Not followed.'");
    house.is_clean(&mut browser);
}

#[test]
fn an_order_is_sent_after_a_token_and_a_question() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    house.page(&mut browser);
    assert_eq!(browser.evaluate("document.querySelector('[data-act=stop]')"), Value::Null, "it only reads");
    browser.press("#operate");
    browser.wait("!document.querySelector('#token-form').hidden");
    browser.submit("#token", "another long word");
    browser.wait("document.querySelector('#token-why').textContent.includes('not the `operate-token`')");
    browser.submit("#token", OPERATE);
    let stop = "[data-act=stop][data-listener=other]";
    browser.wait(&format!("document.querySelector('{stop}')"));
    let held = Client::connect(house.other);
    until("it is seen", || house.admin().read("/v1/listeners/other")["connections"] == 1);
    browser.wait("document.querySelector('[data-key=\"listener other\"] data').textContent === '1'");
    browser.press(stop);
    browser.wait("document.querySelector('#question').open");
    assert!(browser.text("#question").contains("its 1 connection end"), "{}", browser.text("#question"));
    assert_eq!(browser.evaluate("document.activeElement.dataset.act"), "no", "Enter changes nothing");
    browser.key("Enter", 13, "\r");
    browser.wait("!document.querySelector('#question').open");
    assert_eq!(browser.evaluate("document.activeElement.dataset.act"), "stop", "the focus comes back");
    assert_eq!(house.state("other"), "running");
    browser.press(stop);
    browser.press("#yes");
    browser.wait("document.querySelector('[data-act=start][data-listener=other]')");
    assert_eq!(house.state("other"), "stopped");
    assert!(browser.text("#said").contains("done, generation 2"), "{}", browser.text("#said"));
    drop(held);
    browser.press("[data-act=start][data-listener=other]");
    browser.press("#yes");
    browser.wait(&format!("document.querySelector('{stop}')"));
    assert_eq!(house.state("other"), "running");
    browser.press("#groups [data-act=server][data-state=draining]");
    browser.press("#yes");
    browser.wait("document.querySelector('#groups tbody').innerText.includes('changed by hand')");
    assert_eq!(house.admin().read("/v1/groups/web")["servers"][0]["state"], "draining");
    browser.press("#operate");
    browser.wait("!document.querySelector('[data-act=stop]')");
    house.is_clean(&mut browser);
}

#[test]
fn a_refused_policy_shows_its_mistake_in_the_source() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    stand_still(&mut browser);
    browser.look(1280, 640, "light");
    house.page(&mut browser);
    assert_eq!(browser.text("#refusal"), "");
    let good = fs::read(house.gateway.file()).unwrap();
    let broken =
        String::from_utf8_lossy(&good).replace("listener http main {", "listener http main {\n    idle-timeot 5s");
    let mark = house.gateway.log().mark();
    house.gateway.write_file("policy.gate", broken.as_bytes());
    house.gateway.wait_for(mark, "the policy was not reloaded");
    browser.wait("document.querySelector('#refusal pre')");
    let read = &house.admin().read("/v1/generations")["generations"][0];
    assert_eq!(browser.evaluate("document.querySelector('#refusal pre').textContent"), read["shown"]);
    let text = browser.text("#refusal");
    for words in ["idle-timeot 5s", "idle-timeout", "E0201", "Generation 1 serves on"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(browser.evaluate("document.title").as_str().unwrap().starts_with("REFUSED"));
    assert!(
        browser.evaluate("document.querySelector('[role=alert]').textContent").as_str().unwrap().contains("refused")
    );
    keep("refused", &browser.picture());
    house.gateway.write_file("policy.gate", &good);
    browser.wait("!document.querySelector('#refusal pre')");
    house.is_clean(&mut browser);
}

#[test]
fn texts_stay_texts_and_the_page_can_load_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    stand_still(&mut browser);
    house.page(&mut browser);
    browser.submit("#when", "path under \"/api\"");
    browser.wait("document.querySelectorAll('#log-lines tr').length === 2");
    for place in ["#listeners", "#errors", "#log", "#rules details"] {
        let text = browser.evaluate(&format!("document.querySelector('{place}').textContent"));
        assert!(text.as_str().unwrap().contains(MARKUP), "{place}: {text}");
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('main script, main img').length"), 0);
    house.is_clean(&mut browser);
    // The browser would say if the page tried.
    let tried = "new Promise(resolve => {
        const kinds = [];
        document.addEventListener('securitypolicyviolation', event => {
            kinds.push(event.effectiveDirective);
            if (kinds.length === 3) resolve(kinds.sort());
        });
        const image = document.createElement('img');
        image.src = 'http://127.0.0.1:9/x.png';
        document.body.append(image);
        fetch('http://127.0.0.1:9/').catch(() => {});
        try { document.body.innerHTML = 'x' } catch {}
    })";
    assert_eq!(browser.evaluate(tried), json!(["connect-src", "img-src", "require-trusted-types-for"]));
}

#[test]
fn the_log_is_followed_and_any_line_is_explained() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    stand_still(&mut browser);
    house.page(&mut browser);
    browser.submit("#when", "path under \"/api\"");
    browser.wait("document.querySelectorAll('#log-lines tr').length === 2");
    assert!(browser.text("#log-lines tr").contains("/teapot"), "the newest is first");
    browser.wait("document.querySelector('#log-stop').disabled");
    browser.press("#log-lines [data-act=explain]");
    browser.wait("document.querySelector('#explain pre')");
    let order = json!({ "request": "GET http://shop.test/teapot", "from": "203.0.113.9", "listener": "main" });
    let explained = house.admin().order("/v1/explain", &order.to_string());
    assert_eq!(browser.evaluate("document.querySelector('#explain pre').textContent"), explained["shown"]);
    browser.press("#errors [data-act=explain]");
    browser.wait("document.querySelector('#explain-request').value === 'GET http://shop.test/api/x?a=1'");
    browser.wait("document.querySelector('#explain pre').textContent.includes('/api/x')");
    browser.submit("#explain-request", "nonsense");
    browser.wait("document.querySelector('#explain .answer .bad')");
    let policy = fs::read_to_string(house.gateway.file()).unwrap().replace("respond 418", "respond 410");
    browser.submit("#plan-policy", &policy);
    browser.wait("document.querySelector('#plan pre')?.textContent.includes('410')");
    browser.submit("#plan-policy", "tidegate 1\nlistener");
    browser.wait("document.querySelector('#plan .answer .bad')?.textContent.includes('would be refused')");
    assert_eq!(house.admin().read("/v1/status")["generation"], 1);
    house.is_clean(&mut browser);
}

#[test]
fn what_a_gateway_does_not_have_is_said_and_the_rest_works() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    for path in ["/v1/live?once", "/v1/errors", "/v1/log"] {
        browser.instead(path, 404, "application/problem+json", "{\"detail\": \"there is no such path here\"}");
    }
    house.page(&mut browser);
    for section in ["live", "rules", "errors"] {
        browser.wait(&format!("document.querySelector('#{section}').innerText.includes('does not have it')"));
    }
    browser.submit("#when", "");
    browser.wait("document.querySelector('#log-state').innerText.includes('does not have it')");
    assert!(!browser.text("#listeners tbody").is_empty());
    assert!(!browser.text("#live data").is_empty(), "connections are known all the same");
    house.is_clean(&mut browser);
}

#[test]
fn a_token_is_asked_for_and_kept_for_the_tab_alone() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    browser.open(&house.url());
    browser.wait("!document.querySelector('#token-form').hidden");
    assert_eq!(browser.evaluate("document.querySelector('[data-of]')"), Value::Null, "nothing is told before");
    browser.submit("#token", "another long word");
    browser.wait("document.querySelector('#token-why').textContent.includes('not the `read-token`')");
    browser.submit("#token", READ);
    browser.wait("document.querySelector('#glance data') && document.querySelector('#token-form').hidden");
    assert_eq!(browser.evaluate("[localStorage.length, document.cookie]"), json!([0, ""]));
    browser.open(&house.url());
    browser.wait("document.querySelector('#glance data')");
    assert!(browser.requests().iter().all(|asked| !asked.contains("word")), "it is in no URL");
    browser.press("#forget");
    browser.wait("!document.querySelector('#token-form').hidden && !document.querySelector('#glance data')");
    assert_eq!(browser.evaluate("sessionStorage.length"), 0);
    house.is_clean(&mut browser);
}

#[test]
fn a_gateway_that_does_not_answer_is_told_and_asked_again() {
    let Some(mut browser) = Browser::start() else { return };
    let house = House::start();
    house.page(&mut browser);
    browser.evaluate("window.down = true; window.hurry = 100");
    browser.wait("document.querySelector('#trouble').innerText.includes('Asked again in 30 s')");
    assert!(!browser.text("#listeners tbody").is_empty(), "what was known stays");
    browser.evaluate("window.down = false");
    browser.wait("document.querySelector('#trouble').hidden");
    browser.evaluate("window.hurry = 1");
    // Nobody looks: what is under way ends, and nothing more is asked. In half a second of a hurry there would be many rounds.
    browser.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => window.unseen }); window.unseen = true; window.hurry = 100;
         document.dispatchEvent(new Event('visibilitychange'))",
    );
    browser.evaluate("new Promise(resolve => requestIdleCallback(resolve))");
    browser.evaluate("window.asked.length = 0");
    browser.evaluate("new Promise(resolve => setTimeout(resolve, 50_000))");
    let asked = browser.evaluate("window.asked.length");
    assert!(asked.as_u64() <= Some(1), "{asked}");
    browser.evaluate("window.hurry = 1; window.unseen = false; document.dispatchEvent(new Event('visibilitychange'))");
    browser.wait("window.asked.includes('/v1/listeners')");
    house.is_clean(&mut browser);
}

/// Carries connections to a port on to a Unix socket, as `ssh -L` does.
fn forward(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let server = UnixStream::connect(&socket).unwrap();
            let (mut from_client, mut to_server) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
            let (mut from_server, mut to_client) = (server, stream);
            thread::spawn(move || {
                let _ = io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

#[test]
fn over_a_forwarded_unix_socket_its_owner_needs_no_token() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start(&Policy::saying("hello").top(ADMIN));
    let port = forward(socket_of(&gateway));
    browser.open(&format!("http://localhost:{port}/"));
    browser.wait("document.querySelector('#listeners tbody tr')");
    assert_eq!(browser.evaluate("document.querySelector('[data-act=stop]')"), Value::Null, "it only reads");
    browser.press("#operate");
    browser.wait("document.querySelector('[data-act=drain][data-listener=main]')");
    browser.press("[data-act=drain][data-listener=main]");
    browser.press("#yes");
    browser.wait("document.querySelector('[data-act=start][data-listener=main]')");
    assert_eq!(Admin::of(&gateway).read("/v1/listeners/main")["state"], "stopped");
}

/// Keeps a picture: below `docs` with `UPDATE`, else where the build's files are.
fn keep(name: &str, png: &[u8]) {
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{name}: {} bytes", png.len());
    assert!(png.len() < 300_000, "{name}: {} bytes", png.len());
    let kept =
        if std::env::var_os("UPDATE").is_some() { shipped("docs/console") } else { target_folder().join("console") };
    fs::create_dir_all(&kept).unwrap();
    fs::write(Path::new(&kept).join(format!("{name}.png")), png).unwrap();
}

#[test]
fn it_fits_light_dark_and_a_phone_and_everybody_can_use_it() {
    let Some(mut browser) = Browser::start() else { return };
    const CONNECTIONS: u32 = 40;
    let house = House::labelled("canary");
    let admin = house.admin();
    let _held: Vec<_> = (0..CONNECTIONS).map(|_| house.gateway.client()).collect();
    until("connections are seen", || admin.read("/v1/status")["connections"] == CONNECTIONS);
    until("servers are checked", || admin.read("/v1/status")["servers"]["unhealthy"] == 1);
    let axe = axe();
    working_day(&mut browser, CONNECTIONS);
    browser.look(1280, 800, "light");
    house.operating(&mut browser);
    browser.submit("#when", "path under \"/api\"");
    browser.wait("document.querySelectorAll('#log-lines tr').length === 2");
    browser.evaluate("window.hurry = 100");
    browser.wait("window.instead['/v1/live?once'].length === 1");
    browser.evaluate("window.hurry = 1");
    browser.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })");
    for (name, width, height, scheme) in [
        ("light", 1280, 800, "light"),
        ("dark", 1280, 800, "dark"),
        ("phone", 390, 844, "light"),
        ("narrow", 360, 640, "dark"),
    ] {
        browser.look(width, height, scheme);
        let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.evaluate(over), 0, "{name}: it is wider than the screen");
        if let Some(axe) = &axe {
            let found = accessible(&mut browser, axe);
            assert_eq!(found, json!([]), "{name}: {found:#}");
        }
        browser.evaluate(
            "document.querySelectorAll('details').forEach(details => { details.open = false }); scrollTo(0, 0)",
        );
        if name != "narrow" {
            keep(name, &browser.picture());
        }
        browser.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })");
    }
    if let Some(axe) = &axe {
        browser.evaluate(
            "document.querySelector('label[for=when]').remove(); document.querySelector('#when').placeholder = ''",
        );
        assert_ne!(accessible(&mut browser, axe), json!([]), "a field without a name is found");
    }
    // The switch is stronger than the system.
    browser.press("#theme");
    browser.press("#theme");
    assert_eq!(browser.evaluate("getComputedStyle(document.documentElement).colorScheme"), "dark");
    house.is_clean(&mut browser);
}

/// What of the page keeps somebody out, as axe sees it.
fn accessible(browser: &mut Browser, axe: &str) -> Value {
    browser.evaluate(&format!("if (!window.axe) {{ {axe}\n }} 0"));
    browser.evaluate(
        "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
            .filter(({ impact }) => ['serious', 'critical'].includes(impact))
            .map(({ id, help, nodes }) => [id, help, nodes.slice(0, 3).map(node => node.html)]))",
    )
}
