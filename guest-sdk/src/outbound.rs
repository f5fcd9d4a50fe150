//! HTTP calls to the policy's server groups; the worker goes on with other requests meanwhile. Needs `outbound` in `allow`.
//!
//! Only [`Filter::on_request`](crate::Filter::on_request) and [`Filter::on_response`](crate::Filter::on_response) may call.
//!
//! ```
//! use tidegate_guest::outbound::{Answer, Call, fetch};
//! use tidegate_guest::{Filter, Reply, Request, Result, TestHost, Verdict};
//!
//! struct Ask;
//!
//! impl Filter for Ask {
//!     type Config = ();
//!
//!     fn init((): ()) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Verdict {
//!         match fetch(&Call::get("authz", "/check").timeout_ms(200)) {
//!             Ok(answer) if answer.status() == 200 => Verdict::next(),
//!             Ok(_) => Verdict::respond(Reply::new(403)),
//!             Err(_) => Verdict::respond(Reply::new(503)),
//!         }
//!     }
//! }
//! # tidegate_guest::export!(Ask: request);
//!
//! let outcome = TestHost::new().outbound("authz", Ok(Answer::new(401))).run::<Ask>();
//! assert_eq!(outcome.status(), 403);
//! assert_eq!(outcome.outbound()[0].target(), "/check");
//! ```
#![forbid(unsafe_code)]

pub(crate) mod answer;
pub(crate) mod call;
mod field;

use crate::sys;

pub use answer::{Answer, Failure};
pub use call::Call;

/// Calls a server group and waits for the whole answer. The time until then is not the extension's.
///
/// # Errors
///
/// What went wrong on the way. An answer with a status of 400 or more is an answer.
///
/// ```
/// # use tidegate_guest::{TestHost, outbound::{Answer, Call, fetch}};
/// TestHost::new().outbound("authz", Ok(Answer::new(403))).in_request(|_| {
///     let answer = fetch(&Call::get("authz", "/check")).unwrap();
///     assert_eq!(answer.status(), 403);
/// });
/// ```
pub fn fetch(call: &Call) -> Result<Answer, Failure> {
    sys::fetch(call)
}
