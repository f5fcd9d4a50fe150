//! Black-box tests of the gateway: they start its binary and speak to it over sockets.
//!
//! A test is a few lines: a [`Backend`] that behaves as the case wants, a [`Policy`], a [`Gateway`] that serves it, a
//! [`Client`]. Nothing here waits for a time, only for an event, up to [`PATIENCE`]. The clients are plain sockets, so
//! that a test can send what no well-behaved client sends.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot go on fails its test, and says where"
)]

pub mod admin;
pub mod arrows;
mod backend;
mod binary;
mod browser;
mod client;
pub mod collector;
mod command;
mod editor;
pub mod frames;
mod gateway;
pub mod http2;
mod http2_backend;
pub mod http3;
mod lines;
mod load;
mod message;
mod needs;
mod package;
pub mod pki;
mod policy;
mod ports;
mod process;
mod python;
mod raw_server;
pub mod secure;
mod waiting;
pub mod websocket;

pub use backend::{Backend, Behaviour};
pub use binary::{example, guest, shipped, target_folder, tidegate, workspace};
pub use browser::{Browser, axe};
pub use client::{Client, Wire};
pub use command::{Output, Tool};
pub use editor::Editor;
pub use gateway::Gateway;
pub use http2_backend::Http2Backend;
pub use lines::Lines;
pub use load::Load;
pub use message::{Fields, Request, Response};
pub use needs::{needed, program};
pub use package::{CleanRoot, Installed, build_package, package};
pub use policy::Policy;
pub use ports::{free_port, listen, listen_on};
pub use process::{Usage, reset_peak, ticks_of};
pub use python::python;
pub use raw_server::RawServer;
pub use waiting::{PATIENCE, eventually, settled, until};
