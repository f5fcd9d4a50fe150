//! canary-router.
