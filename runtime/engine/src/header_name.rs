//! Header names that come from a policy.

use http::HeaderName;

use crate::build_error::Invalid;

/// A header name of the policy.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Invalid(format!("`{name}` is no header name; letters, digits and `-` make one")))
}
