//! Write Tidegate extensions in Rust.
//!
//! An extension is a type that implements [`Filter`], and one [`export!`] line:
//!
//! ```
//! use tidegate_guest::{Filter, Request, Result, Verdict, export};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     name: String,
//! }
//!
//! struct Greeter(Config);
//!
//! impl Filter for Greeter {
//!     type Config = Config;
//!
//!     fn init(config: Config) -> Result<Self> {
//!         Ok(Self(config))
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Verdict {
//!         request.set_header("x-greeting", format!("hello {}", self.0.name));
//!         Verdict::next()
//!     }
//! }
//!
//! export!(Greeter: request);
//!
//! let outcome = tidegate_guest::TestHost::new().config(r#"{"name": "tide"}"#).run::<Greeter>();
//! assert_eq!(outcome.request_header("x-greeting"), Some("hello tide"));
//! ```
//!
//! Build it as a `cdylib` for `wasm32-unknown-unknown`; the gateway takes the file as it is. On every other target the same
//! code runs against a mock of the gateway, [`TestHost`], so that plain `cargo test` tests an extension.
//!
//! A module imports only what its code calls, so the `allow` list of its policy is as short as its needs.
#![deny(missing_docs)]

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
pub mod bounds;
pub mod clock;
pub mod config;
mod connection;
mod error;
mod export;
mod filter;
pub mod groups;
mod interest;
pub mod log;
pub mod metrics;
pub mod outbound;
mod path;
pub mod random;
mod request;
mod response;
pub mod store;
mod sys;
#[cfg(not(target_arch = "wasm32"))]
mod test_host;
mod tls;
mod value;
pub mod vars;
mod verdict;

pub use connection::Connection;
pub use error::{Error, Result};
pub use filter::{Exported, Filter, Piece};
pub use interest::{BodyMode, Hooks, Interest};
pub use request::Request;
pub use response::Response;
#[cfg(not(target_arch = "wasm32"))]
pub use test_host::{Outcome, Started, TestHost};
pub use tls::Tls;
pub use value::Value;
pub use verdict::{BodyVerdict, Reply, Verdict};

/// Parts that [`export!`] expands to; they are no part of the interface.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::{init, into_body_verdict, into_interest, into_verdict, report_panics};
    pub use crate::filter::from_json;
}
