//! Tidegate's runtime: the one crate with sockets, clocks and tasks.
//!
//! [`gateway`] runs the process and reloads policies; [`worker`] is a thread that serves; [`downstream`] and
//! [`upstream`] are its two sides, [`proxy`] what lies between; [`quic`] carries HTTP/3; [`policy`] turns files into
//! what is served; [`tls`] reads certificates; [`telemetry`] says what happened.

pub mod cli;
pub mod demo;
pub mod descriptors;
pub mod downstream;
pub mod failure;
pub mod flight;
pub mod gateway;
pub mod health;
pub mod http2;
pub mod limits;
pub mod lsp;
pub mod plain;
pub mod policy;
pub mod proxy;
pub mod quic;
pub mod seal;
pub mod secret;
pub mod standstill;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod via;
pub mod worker;
