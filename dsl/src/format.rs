//! The one layout of a policy.

pub fn format(text: &str) -> Result<String, Vec<crate::Diagnostic>> { Ok(text.to_owned()) }
