//! Settings of the whole process.

use std::time::Duration;

use serde::Serialize;

use super::template::Template;

/// `gateway { … }`: settings of the process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Gateway {
    /// Worker threads; `None` is one for each core.
    pub workers: Option<u32>,
    /// The time that requests in flight may take to finish when the gateway or a listener ends.
    pub drain: Duration,
    /// The secrets that keys are derived from: the first makes, all are accepted. Empty is chance.
    pub secrets: Vec<Secret>,
    /// The name of the gateway in `Via`.
    pub via: Via,
}

/// `via on|off|"NAME"`: how the gateway calls itself in `Via` (RFC 9110, 7.6.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// A name that each process makes for itself.
    #[default]
    On,
    /// No `Via` at all; circles go unnoticed then.
    Off,
    /// A name from the policy.
    Name(String),
}

/// The source of a secret. The secret itself stays outside of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// A variable of the environment.
    Env(String),
    /// A file; the path is already relative to the process, not to the policy.
    File(String),
}

/// `access-log { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct AccessLog {
    /// The target of the lines.
    pub to: LogTarget,
    /// The form of a line.
    pub format: LogFormat,
}

/// The target of access-log lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to; the path is already relative to the process, not to the policy.
    File(String),
}

/// The layout of an access-log line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// A JSON object for each line.
    Json,
    /// A line of words for people.
    Text,
    /// A line as the policy lays it out.
    Template(Template),
}
