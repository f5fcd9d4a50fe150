//! Runs Wasm extensions.
