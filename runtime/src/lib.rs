//! Tidegate's runtime: the one crate with sockets, clocks and tasks.
//!
//! [`gateway`] runs the process and reloads policies; [`worker`] is a thread that serves; [`downstream`] speaks to clients, and
//! [`request`] is the life of a request, whatever its client speaks; [`tidegate_upstream`] reaches servers; [`quic`] carries HTTP/3;
//! [`policy`] turns files into what is served; [`tls`] reads certificates; [`telemetry`] says what happened.

#![allow(unreachable_pub, reason = "`pub` is for the crate: outside of it, nothing but the commands is needed")]
#![allow(rustdoc::private_intra_doc_links, reason = "the documentation is built with what is private")]

mod admin;
pub mod cli;
mod downstream;
mod gateway;
mod lsp;
mod policy;
mod quic;
mod request;
mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod worker;
