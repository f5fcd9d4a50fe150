//! A module before it is compiled: its contents, counted and read.

pub(crate) mod census;
pub(crate) mod report;
pub(crate) mod surface;
