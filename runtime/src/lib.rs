//! Tidegate's runtime: the one crate with sockets, clocks and tasks.
//!
//! [`gateway`] runs the process and reloads policies; [`worker`] is a thread that serves; [`downstream`] speaks to clients, and
//! [`request`] is the life of a request, whatever its client speaks; [`tidegate_upstream`] reaches servers; [`quic`] carries HTTP/3;
//! [`policy`] turns files into what is served; [`tls`] reads certificates; [`telemetry`] says what happened.

pub mod cli;
pub mod downstream;
pub mod gateway;
pub mod lsp;
pub mod policy;
pub mod quic;
pub mod request;
pub mod telemetry;
pub mod tls;
pub mod worker;
