//! Variables of the current request: rules, templates, later hooks and the access log see them. They are the place for
//! state between the hooks of one request. Needs `vars` in `allow`.
#![forbid(unsafe_code)]

use crate::sys;

/// A variable's value.
///
/// ```
/// # use tidegate_guest::{TestHost, vars};
/// TestHost::new().var("tenant", "acme").in_request(|_| assert_eq!(vars::get("tenant").as_deref(), Some("acme")));
/// ```
pub fn get(name: &str) -> Option<String> {
    sys::var_get(name)
}

/// Sets a variable. The gateway bounds their number and size, and stops the call that goes over.
///
/// ```
/// # use tidegate_guest::{TestHost, vars};
/// let outcome = TestHost::new().in_request(|_| vars::set("tenant", "acme"));
/// assert_eq!(outcome.var("tenant"), Some("acme"));
/// ```
pub fn set(name: &str, value: &str) {
    sys::var_set(name, value);
}
