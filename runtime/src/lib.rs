//! Tidegate's runtime: the one crate with sockets, clocks and tasks.
//!
//! [`gateway`] runs the process and reloads policies; [`worker`] is a thread that serves; [`downstream`] and
//! [`upstream`] are its two sides, [`proxy`] what lies between; [`policy`] turns files into what is served;
//! [`telemetry`] says what happened.

pub mod cli;
mod demo;
mod downstream;
mod failure;
mod gateway;
mod limits;
mod policy;
mod proxy;
mod telemetry;
mod upstream;
mod worker;
