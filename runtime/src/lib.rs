//! The gateway: listeners, workers, reloads.
