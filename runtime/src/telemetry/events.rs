//! The gateway's own log: a line for each thing that an operator should know, on standard error.

use tracing::level_filters::LevelFilter;

/// Starts it. `TIDEGATE_LOG` chooses the level: `error`, `warn`, `info` (the default), `debug`, `trace`.
pub fn start() {
    let level = std::env::var("TIDEGATE_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_target(false)
        .init();
}
