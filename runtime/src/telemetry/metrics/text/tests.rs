//! What the writer writes, a reader of a few lines reads back.

#![expect(clippy::panic, reason = "a failed test may panic")]

use proptest::prelude::*;
use tidegate_base::metrics::Histogram;

use super::super::families::{EXTENSION_VALUE, PROCESS_CPU, REQUEST_DURATION, REQUESTS};
use super::*;
use crate::telemetry::metrics::reader::{Read, read};

fn written(format: Format, write: impl FnOnce(&mut Text)) -> String {
    let mut text = Text::new(format);
    write(&mut text);
    text.finish()
}

#[test]
fn both_formats_differ_where_they_have_to() {
    let histogram = Histogram::new(&[500_000, 1_000_000_000]);
    histogram.observe(std::time::Duration::from_micros(400));
    histogram.observe_traced(std::time::Duration::from_millis(1500), 0xab, 1_700_000_000_123);
    let mut known = HistogramRead::default();
    histogram.read(&mut known);
    let all = |format| {
        written(format, |text| {
            text.family(&REQUESTS).count(&["main", "a\"b\\c\nd", "", "2xx"], 7);
            text.family(&REQUEST_DURATION).durations(&["main"], &known);
            text.family(&PROCESS_CPU).value(&[], 0.25);
        })
    };
    let requests = r#"{listener="main",rule="a\"b\\c\nd",group="",status="2xx"} 7"#;
    let prometheus = format!(
        "# HELP tidegate_requests_total {}\n# TYPE tidegate_requests_total counter\ntidegate_requests_total{requests}\n\
         # HELP tidegate_request_duration_seconds {}\n# TYPE tidegate_request_duration_seconds histogram\n\
         tidegate_request_duration_seconds_bucket{{listener=\"main\",le=\"0.0005\"}} 1\n\
         tidegate_request_duration_seconds_bucket{{listener=\"main\",le=\"1\"}} 1\n\
         tidegate_request_duration_seconds_bucket{{listener=\"main\",le=\"+Inf\"}} 2\n\
         tidegate_request_duration_seconds_sum{{listener=\"main\"}} 1.5004\n\
         tidegate_request_duration_seconds_count{{listener=\"main\"}} 2\n\
         # HELP process_cpu_seconds_total {}\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 0.25\n",
        REQUESTS.help, REQUEST_DURATION.help, PROCESS_CPU.help
    );
    assert_eq!(all(Format::Prometheus), prometheus);
    let open = prometheus
        .replace("HELP tidegate_requests_total", "HELP tidegate_requests")
        .replace("TYPE tidegate_requests_total", "TYPE tidegate_requests")
        .replace("HELP process_cpu_seconds_total", "HELP process_cpu_seconds")
        .replace("TYPE process_cpu_seconds_total", "TYPE process_cpu_seconds")
        .replace("le=\"1\"", "le=\"1.0\"")
        .replace(
            "le=\"+Inf\"} 2",
            "le=\"+Inf\"} 2 # {trace_id=\"000000000000000000000000000000ab\"} 1.5 1700000000.123",
        );
    assert_eq!(all(Format::OpenMetrics), open + "# EOF\n");
}

#[test]
fn a_client_gets_the_format_that_it_likes_best() {
    for (accept, format) in [
        ("", Format::Prometheus),
        ("*/*", Format::Prometheus),
        ("text/html", Format::Prometheus),
        ("application/openmetrics-text", Format::OpenMetrics),
        ("application/openmetrics-text; version=1.0.0; q=0", Format::Prometheus),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Prometheus),
        ("Application/OpenMetrics-Text;q=0.4,text/plain;q=0.5", Format::Prometheus),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            Format::OpenMetrics,
        ),
        ("application/openmetrics-text;q=much, text/plain", Format::Prometheus),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept}");
        assert!(format.content_type().contains("charset=utf-8"));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        labels in prop::collection::btree_set(("\\PC{0,12}|[\"\\\\\n{}#, =]{0,6}", "\\PC{0,8}"), 0..5),
        values in prop::collection::vec(any::<f64>(), 5),
        counts in prop::collection::vec(any::<u32>(), 3),
        open in any::<bool>(),
    ) {
        // No two samples of a family have the same labels.
        let labels: Vec<_> = labels.into_iter().collect();
        let format = if open { Format::OpenMetrics } else { Format::Prometheus };
        let text = written(format, |text| {
            let mut samples = text.family(&EXTENSION_VALUE);
            for ((extension, name), value) in labels.iter().zip(&values) {
                samples.value(&[extension, name], *value);
            }
            let buckets: Vec<u64> = counts.iter().map(|count| u64::from(*count)).collect();
            text.family(&REQUEST_DURATION).histogram(&["x"], &[0.1, 2.0], &buckets, &[], 3.5);
        });
        let Read { families, samples } = read(&text, format).unwrap_or_else(|error| panic!("{error}\n{text}"));
        prop_assert_eq!(&families[0].0, EXTENSION_VALUE.name);
        prop_assert_eq!(families.len(), 2);
        for ((extension, name), (sample, value)) in labels.iter().zip(samples.iter().zip(&values)) {
            let expected = [("extension".to_owned(), extension.clone()), ("name".to_owned(), name.clone())];
            prop_assert_eq!(&sample.labels, &expected);
            prop_assert!(sample.value.to_bits() == value.to_bits() || sample.value.is_nan() && value.is_nan()
                || sample.value == *value, "{} {}", sample.value, value);
        }
        let rest: Vec<f64> = samples[labels.len()..].iter().map(|sample| sample.value).collect();
        let sum = |to: usize| counts[..to].iter().map(|count| f64::from(*count)).sum::<f64>();
        prop_assert_eq!(rest, [sum(1), sum(2), sum(3), 3.5, sum(3)]);
    }
}
