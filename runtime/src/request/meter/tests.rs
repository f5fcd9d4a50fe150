//! What is counted of requests, as a scrape tells it.

#![expect(clippy::panic, reason = "a failed test may panic")]

use std::rc::Rc;
use std::time::Duration;

use tidegate_base::failure::Failure;

use crate::request::context::RequestContext;
use crate::request::tests::context;
use crate::telemetry::metrics::reader::{Read, read};
use crate::telemetry::metrics::{Facts, Format, render};
use crate::tests::{ANSWERS, House, policy, run};
use crate::tls::handshake::RefusedKind;

const REQUESTS: &str = "tidegate_requests_total";

fn scrape(house: &House) -> Read {
    let text = render(&house.worker.shared.metrics, &Facts::default(), Format::Prometheus);
    read(&text, Format::Prometheus).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The requests that were counted, by the labels that have any.
fn requests(house: &House) -> Vec<(String, f64)> {
    let counted = scrape(house).samples.into_iter().filter(|sample| sample.name == REQUESTS && sample.value > 0.0);
    let labels = |sample: &crate::telemetry::metrics::reader::Sample| {
        let values: Vec<_> = sample.labels.iter().map(|(_, value)| value.as_str()).collect();
        values.join(" ")
    };
    counted.map(|sample| (labels(&sample), sample.value)).collect()
}

/// How many requests failed so.
fn failed(house: &House, failure: Failure) -> f64 {
    let row = failure.row();
    scrape(house).value("tidegate_failures_total", &[row.name, row.side.name()]).unwrap_or(f64::NAN)
}

fn of_main(house: &House, name: &str) -> f64 {
    scrape(house).value(name, &["main"]).unwrap_or(f64::NAN)
}

async fn ask(house: &House, path: &str) {
    let mut client = house.client();
    client.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
    client.rest().await;
}

#[test]
fn a_request_counts_once_for_its_rule_and_its_class_whether_or_not_it_is_logged() {
    for words in ["", "access-log off"] {
        run(async {
            let house = House::answering(words);
            for path in ["/nothing", "/", "/else", "/same"] {
                ask(&house, path).await;
            }
            let expected = [("main nothing  2xx", 1.0), ("main otherwise  2xx", 2.0), ("main same  3xx", 1.0)];
            assert_eq!(requests(&house), expected.map(|(labels, count)| (labels.to_owned(), count)));
            assert_eq!(of_main(&house, "tidegate_request_duration_seconds_count"), 4.0);
            assert_eq!(of_main(&house, "tidegate_sent_bytes_total"), 10.0);
            assert_eq!(of_main(&house, "tidegate_requests_in_flight"), 0.0);
            assert_eq!(failed(&house, Failure::ClientClosed), 0.0);
        });
    }
}

#[test]
fn connections_and_requests_in_flight_are_those_that_have_not_ended() {
    run(async {
        let house = House::answering("");
        let open = |house: &House| scrape(house).value("tidegate_connections", &["main", "h1"]);
        let mut client = house.client();
        crate::tests::settle().await;
        assert_eq!(open(&house), Some(1.0), "also while it says nothing");
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(open(&house), Some(1.0));
        client.response(5).await;
        let mut other = house.client();
        other.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        assert_eq!(
            (open(&house), scrape(&house).value("tidegate_connections", &["main", "h2"])),
            (Some(1.0), Some(1.0))
        );
        drop(other);
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
        drop(client);
        crate::tests::settle().await;
        assert_eq!(open(&house), Some(0.0));
        let context = context(&house.stream(), false);
        assert_eq!(of_main(&house, "tidegate_requests_in_flight"), 1.0);
        let kept = context.kept();
        assert_eq!(of_main(&house, "tidegate_requests_in_flight"), 1.0);
        drop(kept);
        assert_eq!(of_main(&house, "tidegate_requests_in_flight"), 0.0);
    });
}

#[test]
fn a_client_that_leaves_is_counted_as_the_log_has_it() {
    for logs in [true, false] {
        let house = House::answering("");
        drop(context(&house.stream(), logs));
        drop(context(&house.stream(), logs).kept());
        assert_eq!(requests(&house), [("main   4xx".to_owned(), 2.0)]);
        assert_eq!(failed(&house, Failure::ClientClosed), 2.0);
    }
}

#[test]
fn a_request_that_is_refused_before_it_has_a_rule_is_counted_without_one() {
    for words in ["", "access-log off"] {
        run(async {
            let house = House::answering(words);
            let mut client = house.client();
            // Without a host; then a head that cannot be read.
            client.send("GET / HTTP/1.1\r\n\r\n").await;
            let mut client = house.client();
            client.send("GET / HTTP/1.1\r\nno field\r\n\r\n").await;
            assert_eq!(requests(&house), [("main   4xx".to_owned(), 2.0)], "{words}");
            assert_eq!((failed(&house, Failure::BadHost), failed(&house, Failure::BadHead)), (1.0, 1.0));
            assert_eq!(of_main(&house, "tidegate_request_duration_seconds_count"), 2.0);
        });
    }
}

#[test]
fn a_tunnel_counts_when_it_ends_and_its_length_is_no_duration() {
    for logs in [true, false] {
        let house = House::answering("");
        let mut tunnel: Box<RequestContext> = context(&house.stream(), logs);
        tunnel.record.status = http::StatusCode::SWITCHING_PROTOCOLS;
        tunnel.become_tunnel();
        tunnel.become_tunnel();
        let ending = tunnel.kept();
        let open = (of_main(&house, "tidegate_tunnels"), of_main(&house, "tidegate_requests_in_flight"));
        assert_eq!((open, requests(&house)), ((1.0, 0.0), Vec::new()));
        ending.into_iter().for_each(|mut ending| ending.end(0, None));
        assert_eq!(requests(&house), [("main   1xx".to_owned(), 1.0)]);
        assert_eq!((of_main(&house, "tidegate_tunnels"), of_main(&house, "tidegate_requests_in_flight")), (0.0, 0.0));
        assert_eq!(of_main(&house, "tidegate_request_duration_seconds_count"), 0.0);
    }
}

#[test]
fn what_a_limit_refuses_is_counted_for_its_rule() {
    for words in ["", "access-log off"] {
        run(async {
            let rules =
                "rule few { when path is \"/few\"; limit 1/m; respond 204 }; otherwise { respond 200 \"hello\" }";
            let house = House::new(words, rules);
            for _ in 0..3 {
                ask(&house, "/few").await;
            }
            assert_eq!(scrape(&house).value("tidegate_limited_total", &["few"]), Some(2.0));
        });
    }
}

#[test]
fn counts_outlive_reloads_by_name() {
    run(async {
        let house = House::answering("");
        ask(&house, "/nothing").await;
        let before = house.handle.view(&house.worker);
        let held = before.0.meter(before.1).map(Rc::clone);
        // The rule stands elsewhere, and another is new.
        let moved = "rule new { when path is \"/new\"; respond 204 }\n".to_owned() + ANSWERS;
        house.reload(&policy("", &moved));
        for path in ["/nothing", "/new"] {
            ask(&house, path).await;
        }
        let expected = [("main new  2xx", 1.0), ("main nothing  2xx", 2.0)];
        assert_eq!(requests(&house), expected.map(|(labels, count)| (labels.to_owned(), count)));
        let after = house.handle.view(&house.worker);
        let same =
            held.zip(after.0.meter(after.1)).is_some_and(|(old, new)| std::sync::Arc::ptr_eq(&old.cells, &new.cells));
        assert!(same, "requests in flight count into the same cells");
    });
}

#[test]
fn a_rule_that_is_gone_goes_when_no_request_counts_for_it() {
    run(async {
        let house = House::answering("");
        ask(&house, "/nothing").await;
        let under_way = context(&house.stream(), true);
        let others = "otherwise { respond 200 \"hello\" }";
        let reload = || {
            house.reload(&policy("", others));
            house.handle.view(&house.worker);
        };
        reload();
        assert_eq!(requests(&house).len(), 1, "workers may still count for it when the policy is put in service");
        drop(under_way);
        assert_eq!(requests(&house), [("main   4xx".to_owned(), 1.0), ("main nothing  2xx".to_owned(), 1.0)]);
        reload();
        assert_eq!(requests(&house), [("main   4xx".to_owned(), 1.0)]);
        assert_eq!(of_main(&house, "tidegate_request_duration_seconds_count"), 2.0, "the listener is still there");
    });
}

#[test]
fn rules_that_nobody_asks_for_cost_nothing() {
    run(async {
        let rules: String =
            (0..1000).map(|n| format!("rule r{n} {{ when path is \"/{n}\"; respond 204 }}\n")).collect();
        let listeners: String =
            (0..99).map(|n| format!("listener http l{n} {{ port {}; rules site }}\n", 9000 + n)).collect();
        let all = policy("", &(rules + ANSWERS)) + &listeners;
        let house = House::of(&all);
        let series = || {
            let listeners = house.worker.shared.metrics.listeners.list();
            listeners.iter().map(|(_, listener)| listener.requests.list().len()).sum::<usize>()
        };
        assert_eq!((house.worker.shared.metrics.listeners.list().len(), series()), (100, 0));
        ask(&house, "/999").await;
        assert_eq!(series(), 1);
    });
}

#[test]
fn a_trace_that_a_collector_has_becomes_an_exemplar() {
    run(async {
        let collector = "tracing otlp { endpoint \"http://127.0.0.1:4318\" }\n";
        let house = House::of(&(policy("tracing 1%", ANSWERS) + collector));
        let mut client = house.client();
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let field = format!("traceparent: 00-{trace}-b7ad6b7169203331-01");
        client.send(&format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n")).await;
        let text = render(&house.worker.shared.metrics, &Facts::default(), Format::OpenMetrics);
        assert!(text.contains(&format!("# {{trace_id=\"{trace}\"}} ")), "{text}");
        let untraced = House::answering("");
        untraced.client().send(&format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n")).await;
        let text = render(&untraced.worker.shared.metrics, &Facts::default(), Format::OpenMetrics);
        assert!(!text.contains("trace_id"), "nobody has it: {text}");
    });
}

#[test]
fn failed_handshakes_are_counted_by_their_kind() {
    let house = House::answering("");
    house.handle.count_refused(&house.worker, RefusedKind::Plain);
    house.handle.count_refused(&house.worker, RefusedKind::Plain);
    let count = |kind: RefusedKind| scrape(&house).value("tidegate_handshakes_failed_total", &["main", kind.name()]);
    assert_eq!((count(RefusedKind::Plain), count(RefusedKind::Left)), (Some(2.0), Some(0.0)));
}

#[test]
fn a_tick_that_comes_late_is_counted() {
    run(async {
        let house = House::answering("");
        house.worker.tick(Duration::from_millis(40)).await;
        let scrape = scrape(&house);
        let below = |end: &str| scrape.value("tidegate_worker_loop_seconds_bucket", &[end]);
        assert_eq!((below("0.025"), below("0.05")), (Some(0.0), Some(1.0)));
    });
}
