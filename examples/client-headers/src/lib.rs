//! client-headers.
