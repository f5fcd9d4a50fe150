//! The two formats of a scrape: Prometheus's text format 0.0.4, and OpenMetrics 1.0.

use std::fmt::Write;

use tidegate_base::metrics::{Exemplar, HistogramRead};

use super::families::{Family, Kind};

/// A format of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format, which everybody reads.
    Prometheus,
    /// OpenMetrics, which has exemplars.
    OpenMetrics,
}

impl Format {
    /// The format that the `Accept` field of a request asks for (RFC 9110, 12.5.1): OpenMetrics only for those who name it and
    /// do not like the other better.
    pub fn accepted(accept: &str) -> Self {
        let mut best = (Self::Prometheus, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => Self::OpenMetrics,
                "text/plain" | "text/*" | "*/*" => Self::Prometheus,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f64>().ok());
            if let Some(weight) = weight
                && weight > best.1
            {
                best = (format, weight);
            }
        }
        best.0
    }

    /// The media type of the answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A scrape that is written, family by family.
pub struct Text {
    out: String,
    format: Format,
    /// The labels of the sample that is written, with their values.
    labels: String,
}

impl Text {
    /// An empty scrape.
    pub fn new(format: Format) -> Self {
        Self { out: String::with_capacity(64 * 1024), format, labels: String::new() }
    }

    /// Begins a family. Each is begun once.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let Family { name, kind, help, .. } = family;
        // In OpenMetrics `_total` belongs to the sample, and not to the family.
        let name = match self.format {
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Format::Prometheus => name,
        };
        self.out.push_str("# HELP ");
        self.out.push_str(name);
        self.out.push(' ');
        let quotes = self.format == Format::OpenMetrics;
        escape(help, quotes, &mut self.out);
        self.out.push_str("\n# TYPE ");
        self.out.push_str(name);
        self.out.push(' ');
        self.out.push_str(kind.name());
        self.out.push('\n');
        Samples { text: self, family }
    }

    /// The whole.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn set_labels(&mut self, names: &[&str], values: &[&str]) {
        debug_assert_eq!(names.len(), values.len(), "a value for each label");
        self.labels.clear();
        for (name, value) in names.iter().zip(values) {
            if !self.labels.is_empty() {
                self.labels.push(',');
            }
            self.labels.push_str(name);
            self.labels.push_str("=\"");
            escape(value, true, &mut self.labels);
            self.labels.push('"');
        }
    }

    /// The name of a sample, and its labels: those that are set, and one more.
    fn begin(&mut self, name: &str, suffix: &str, more: Option<(&str, &str)>) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        if !self.labels.is_empty() || more.is_some() {
            self.out.push('{');
            self.out.push_str(&self.labels);
            if let Some((name, value)) = more {
                if !self.labels.is_empty() {
                    self.out.push(',');
                }
                self.out.push_str(name);
                self.out.push_str("=\"");
                self.out.push_str(value);
                self.out.push('"');
            }
            self.out.push('}');
        }
        self.out.push(' ');
    }

    fn number(&mut self, value: f64) {
        float(value, &mut self.out);
    }

    fn integer(&mut self, value: u64) {
        // Writing into memory cannot fail.
        let _ = write!(self.out, "{value}");
    }

    /// An exemplar behind the value of a bucket, in the format that has them.
    fn exemplar(&mut self, exemplar: Option<Exemplar>) {
        if let (Format::OpenMetrics, Some(Exemplar { trace_id, value_ns, at_ms })) = (self.format, exemplar) {
            let _ = write!(self.out, " # {{trace_id=\"{trace_id:032x}\"}} ");
            self.number(seconds(value_ns));
            let _ = write!(self.out, " {}.{:03}", at_ms / 1000, at_ms % 1000);
        }
    }

    /// The upper end of a bucket: OpenMetrics wants it to look like a float.
    fn end(&self, value: f64) -> String {
        let mut end = String::new();
        float(value, &mut end);
        if self.format == Format::OpenMetrics && value.is_finite() && !end.contains('.') {
            end.push_str(".0");
        }
        end
    }
}

/// The samples of a family.
pub struct Samples<'t> {
    text: &'t mut Text,
    family: &'static Family,
}

impl Samples<'_> {
    /// A count with these values of the family's labels.
    pub fn count(&mut self, labels: &[&str], count: u64) {
        self.sample(labels, |text| text.integer(count));
    }

    /// A value with these values of the family's labels.
    pub fn value(&mut self, labels: &[&str], value: f64) {
        self.sample(labels, |text| text.number(value));
    }

    /// A whole value with these values of the family's labels.
    pub fn whole(&mut self, labels: &[&str], value: i64) {
        self.sample(labels, |text| {
            let _ = write!(text.out, "{value}");
        });
    }

    fn sample(&mut self, labels: &[&str], write: impl FnOnce(&mut Text)) {
        self.text.set_labels(self.family.labels, labels);
        self.text.begin(self.family.name, "", None);
        write(self.text);
        self.text.out.push('\n');
    }

    /// Durations with these values of the family's labels.
    pub fn durations(&mut self, labels: &[&str], read: &HistogramRead) {
        let ends = read.scale.iter().map(|end| seconds(*end)).collect::<Vec<_>>();
        self.histogram(labels, &ends, &read.buckets, &read.exemplars, seconds(read.sum_ns));
    }

    /// A histogram with these values of the family's labels. `ends` are the upper ends of the buckets, of which the last has none;
    /// buckets are not cumulative here.
    pub fn histogram(
        &mut self,
        labels: &[&str],
        ends: &[f64],
        buckets: &[u64],
        exemplars: &[Option<Exemplar>],
        sum: f64,
    ) {
        debug_assert_eq!(self.family.kind, Kind::Histogram, "{}", self.family.name);
        let Self { text, family } = self;
        text.set_labels(family.labels, labels);
        let mut count = 0_u64;
        let all = ends.iter().copied().chain([f64::INFINITY]);
        for (at, end) in all.enumerate() {
            count = count.wrapping_add(buckets.get(at).copied().unwrap_or(0));
            let end = text.end(end);
            text.begin(family.name, "_bucket", Some(("le", &end)));
            text.integer(count);
            text.exemplar(exemplars.get(at).copied().flatten());
            text.out.push('\n');
        }
        text.begin(family.name, "_sum", None);
        text.number(sum);
        text.out.push('\n');
        text.begin(family.name, "_count", None);
        text.integer(count);
        text.out.push('\n');
    }
}

/// Nanoseconds in seconds.
#[expect(clippy::cast_precision_loss, reason = "a float has 15 digits")]
pub fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// A number as both formats write it.
fn float(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let _ = write!(out, "{value}");
    }
}

/// A text in which nothing ends its line or its quotes.
fn escape(text: &str, quotes: bool, out: &mut String) {
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
