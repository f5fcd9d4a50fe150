//! The `tidegate` command.

use std::process::ExitCode;

/// A proxy allocates and frees small pieces at a high rate; this allocator is faster at it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
