//! Spans, and their way to a collector (OpenTelemetry).
//!
//! A worker makes [`span`]s, small plain records, and puts them into its [`ring`]; one that is full drops them. One thread, `spans`,
//! looks there and sends what it finds in [batches](exporter): it [encodes](encode) them as [OTLP](otlp), and a
//! [collector] takes them over gRPC or HTTP. Whatever a collector does, it costs spans, which are counted, and nothing else.

pub mod collector;
mod delivery;
pub mod encode;
mod exporter;
pub mod otlp;
pub mod ring;
pub mod span;
mod wire;
