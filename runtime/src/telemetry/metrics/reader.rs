//! A small reader of both formats, for tests: strict where the writer has to be.

use super::Format;

/// A scrape.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// The families, and their kinds, in their order.
    pub(crate) families: Vec<(String, String)>,
    pub(crate) samples: Vec<Sample>,
}

/// A line with a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
    /// What follows the value.
    pub(crate) exemplar: Option<String>,
}

impl Read {
    /// The value of the sample of this name whose labels, in their order, have these values.
    pub(crate) fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let same = |sample: &&Sample| {
            sample.name == name && sample.labels.iter().map(|(_, value)| value.as_str()).eq(labels.iter().copied())
        };
        self.samples.iter().find(same).map(|sample| sample.value)
    }
}

/// Reads a scrape. Each family begins once, with HELP and TYPE, and its samples follow.
pub(crate) fn read(text: &str, format: Format) -> Result<Read, String> {
    let body = match format {
        Format::OpenMetrics => text.strip_suffix("# EOF\n").ok_or("no end")?,
        Format::Prometheus => text,
    };
    let mut read = Read::default();
    let mut helped = None;
    for line in body.split_terminator('\n') {
        let fail = |why: &str| format!("{why}: {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split_once(' ').map(|(name, _)| name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| fail("no kind"))?;
            if helped.as_deref() != Some(name) || read.families.iter().any(|(known, _)| known == name) {
                return Err(fail("not helped, or twice"));
            }
            read.families.push((name.to_owned(), kind.to_owned()));
        } else {
            let sample = sample(line).ok_or_else(|| fail("no sample"))?;
            let (family, kind) = read.families.last().ok_or_else(|| fail("no family"))?;
            let suffix = sample.name.strip_prefix(family.as_str()).ok_or_else(|| fail("of another family"))?;
            let fits = match (kind.as_str(), format) {
                ("histogram", _) => ["_bucket", "_sum", "_count"].contains(&suffix),
                ("counter", Format::OpenMetrics) => suffix == "_total",
                _ => suffix.is_empty(),
            };
            let doubled = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
            if !fits || read.samples.iter().rev().take(100).any(doubled) {
                return Err(fail("a suffix that does not fit, or twice"));
            }
            read.samples.push(sample);
        }
    }
    Ok(read)
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after;
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    rest = rest.strip_prefix(' ')?;
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => (value, Some(exemplar.to_owned())),
        None => (rest, None),
    };
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => number.parse().ok().filter(|_| !number.contains("inf"))?,
    };
    Some(Sample { name: name.to_owned(), labels, value, exemplar })
}

/// A value to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}
