//! Understands Tidegate policies.

pub mod plan;
