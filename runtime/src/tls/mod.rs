//! TLS: certificates and authorities, as files and in use.

pub mod files;
