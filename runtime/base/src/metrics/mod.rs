//! Numbers for operators, as whoever counts sees them: cells with one writing thread, kept by name.
//!
//! A [`Counter`], a [`Gauge`] and a [`Histogram`] are written by one thread, so that counting is a load and a store, without a
//! lock and without an atomic addition; any thread may read them. [`PerWorker`] holds such cells of each worker, and whoever
//! reads adds them up. [`Names`] keeps them by name: whoever counts asks for its cells once, under a lock, and keeps them.

mod cells;
mod exemplar;
mod histogram;
mod names;
mod per_worker;

pub use cells::{Counter, Gauge};
pub use exemplar::Exemplar;
pub use histogram::{Histogram, HistogramRead, REQUEST_TIMES, Scale, WORK_TIMES};
pub use names::{Held, Names};
pub use per_worker::PerWorker;
