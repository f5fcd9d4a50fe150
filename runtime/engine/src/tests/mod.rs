//! Walks over whole plans.
