//! Variables of the current request: rules, templates, later hooks and the access log see them. They are the place for
//! state between the hooks of one request. Needs `vars` in `allow`.
#![forbid(unsafe_code)]

use crate::sys;

/// A variable's value.
pub fn get(name: &str) -> Option<String> {
    sys::var_get(name)
}

/// Sets a variable. The gateway bounds their number and size, and stops the call that goes over.
pub fn set(name: &str, value: &str) {
    sys::var_set(name, value);
}
