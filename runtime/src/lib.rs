//! Tidegate's runtime: the one crate with sockets, clocks and tasks.
//!
//! [`gateway`] runs the process and reloads policies; [`worker`] is a thread that serves; [`downstream`] and
//! [`upstream`] are its two sides, [`proxy`] what lies between; [`quic`] carries HTTP/3; [`policy`] turns files into
//! what is served; [`tls`] reads certificates; [`telemetry`] says what happened.

pub mod cli;
pub mod demo;
pub mod downstream;
pub mod gateway;
pub mod health;
pub mod lsp;
pub mod policy;
pub mod proxy;
pub mod quic;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod worker;
