//! Every bound on what a guest can make the host hold or do, and why it is what it is.

use std::time::Duration;

/// The bounds that the mock of the SDK holds extensions to, too.
pub use tidegate_engine::bounds::guests::*;

/// The time between two looks at the clock of running guests. A guest overruns its time by at most two of these; shorter
/// ticks would wake the ticker's thread more often for no gain that anybody sees in a request.
pub const TICK: Duration = Duration::from_millis(1);

/// Ticks without a call after which the ticker's thread goes to sleep, so that an idle gateway does not wake.
pub const IDLE_TICKS: u32 = 100;

/// A call may take this many times its CPU limit on the wall clock. The limit is CPU time, so that a busy machine
/// does not fail requests; this bounds what a call that never gets the CPU can hold up.
pub const WALL_CLOCK_FACTOR: u32 = 50;

/// The CPU limit of `init`, in hook limits: it reads the configuration, which a hook need not do again.
pub const INIT_TIME_FACTOR: u32 = 100;

/// The CPU time that `init` may use at most, however long a hook may take: a reload waits for it.
pub const INIT_TIME_MAX: Duration = Duration::from_secs(5);

/// The time on the wall clock that `init` may take: a machine may be busy, and a reload still ends.
pub const INIT_WALL: Duration = Duration::from_secs(15);

/// The time on the wall clock that the `init` of all workers may take together, before an extension is put in service.
pub const PREWARM_WALL: Duration = Duration::from_secs(60);

/// Calls that an instance serves before it is replaced. A guest that leaks loses its memory here at the latest; a new
/// instance costs some tens of microseconds, which is nothing over this many calls.
pub const CALLS_PER_INSTANCE: u32 = 100_000;

/// An instance is replaced when its memory has grown past this share of what it may still grow after `init`, in
/// percent, so that a leak ends in a fresh instance and not in a failed request.
pub const MEMORY_MARK_PERCENT: u64 = 75;

/// Native stack of a guest, in bytes. Workers have at least 2 MiB, and hooks need little.
pub const STACK_BYTES: usize = 512 * 1024;

/// The stack that a guest runs on which may wait for other servers, in bytes: its own, and room for the host's functions.
pub const FIBER_STACK_BYTES: usize = STACK_BYTES + 512 * 1024;

/// The time that a callout may take, unless the guest names one.
pub const OUTBOUND_TIME: Duration = Duration::from_secs(5);

/// The longest time that a callout may take: a request waits for it, and an instance.
pub const OUTBOUND_TIME_MAX: Duration = Duration::from_secs(30);

/// Calls of one extension that wait for other servers at once, on each worker, at most. Each holds an instance, and its memory;
/// where there are many extensions and workers, the share of the instances is less.
pub const WAITING_PER_POOL: usize = 128;

/// Elements of one table: indirect calls need one an address-taken function, and large guests have some thousands.
pub const TABLE_ELEMENTS: usize = 64 * 1024;

/// Live instances in the process that the pool makes room for, unless the options say otherwise: 16 workers with 64
/// extensions. It is address space and bookkeeping, not memory.
pub const POOLED_INSTANCES: u32 = 1024;

/// Core instances in one component: the module and what adapts it. A Rust guest has four; one of an interpreted language, with
/// its libraries and stubs for what its runtime wants of a system, up to forty.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Core instances that the pool has room for, for each instance that it makes room for: those of a Rust guest. One that brings more
/// takes the room of others.
pub const CORE_INSTANCES_PER_INSTANCE: u32 = CORE_INSTANCES_PER_COMPONENT / 16;

/// Memories in one component: the module's, and those of stubs. Together they have the limit of one instance.
pub const MEMORIES_PER_COMPONENT: u32 = 4;

/// Tables in one component: the module's, and the adapter's.
pub const TABLES_PER_COMPONENT: u32 = 8;

/// Tables that the pool has room for, for each instance that it makes room for: those of a Rust guest.
pub const TABLES_PER_INSTANCE: u32 = TABLES_PER_COMPONENT / 4;

/// Memory of a returned instance that stays mapped for the next one, in bytes. Measured: with the page-map scan a
/// fresh instance costs less than half; without the scan it costs more, so it is then off.
pub const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;

/// Table of a returned instance that stays mapped, in bytes: a page or two is cheaper to clear than to give back and fault in again.
pub const TABLE_KEEP_RESIDENT_BYTES: usize = 64 * 1024;

/// Pieces of one write, and waits of one poll, that a foreign guest may ask WASI for at once: runtimes use a few.
pub const WASI_VECTORS: u32 = 64;

/// Pieces in which a foreign guest sees a body that it does not hold back, in bytes.
pub const FOREIGN_PIECE_BYTES: usize = 64 * 1024;

/// Requests that an instance of a foreign guest may have under way: above what a worker serves at a time. Each costs the guest
/// memory of its own, which is limited, too.
pub const REQUESTS_PER_INSTANCE: usize = 16_384;

/// Instances of a foreign guest that a worker keeps only for requests they have under way, beside those that take new ones.
pub const RETIRED_INSTANCES: usize = 4;

/// Properties that a foreign guest names have paths of at most so many bytes.
pub const PROPERTY_BYTES: usize = 1024;

/// The largest module, in bytes. Guests of interpreted languages bring some ten megabytes.
pub const MODULE_BYTES: usize = 64 * 1024 * 1024;

/// Functions in a module, over all modules of a component: each costs the compiler some kilobytes until the whole is done.
/// Guests of interpreted languages have some ten thousand.
pub const MODULE_FUNCTIONS: u64 = 65_536;

/// Types, imports, exports, globals, tables and segments in a module, together.
pub const MODULE_ITEMS: u64 = 262_144;

/// Local variables of one function.
pub const FUNCTION_LOCALS: u64 = 10_000;

/// Loops and blocks in one function.
pub const FUNCTION_BRANCHES: u64 = 20_000;

/// The work of one function: its local variables, parameters among them, times its loops, each by how many it stands in, a quarter
/// of its other blocks and an eighth of the entries of its branch tables; and what blocks take and give. The compiler may keep
/// a value for each of both: a million takes it about a second, and a hundred MiB.
pub const FUNCTION_WORK: u64 = 1024 * 1024;

/// The work of all functions of a module, each as [`FUNCTION_WORK`] counts it.
pub const MODULE_WORK: u64 = 16 * 1024 * 1024;

/// The time on the wall clock that compiling a module may take. What is made of source code takes seconds; the most that the counts
/// above let through may take longer than this on a small machine, and a reload still ends.
pub const COMPILE_WALL: Duration = Duration::from_secs(60);

/// Modules that are still compiled after [`COMPILE_WALL`], at once: compiling cannot be interrupted, and each holds a thread, and
/// memory. Beyond it, no other module is compiled until one of them is done.
pub const LATE_COMPILATIONS: usize = 2;

/// Header names that an instance remembers as checked: more than a filter writes, few enough to search one by one.
pub const KNOWN_NAMES: usize = 16;

/// Faults of one hook within [`BREAKER_WINDOW`] below which a worker goes on calling an extension. A guest that always loops
/// would otherwise cost its whole time limit for every request.
pub const BREAKER_FAULTS: u32 = 20;

/// The networks of clients that these faults must come from, at least: what one client sends, or a few, turns the extension
/// off for nobody. IPv4 clients count by /24, IPv6 clients by /48, for one client may have many addresses.
pub const BREAKER_CLIENTS: u32 = 8;

/// The faults for each served call, and the failing clients for each served one, from which on it is the extension that
/// fails; where more are served, it works, and it is the requests that make it fail.
pub const BREAKER_SHARE: u32 = 16;

/// The time in which faults are counted together.
pub const BREAKER_WINDOW: Duration = Duration::from_secs(10);

/// The first pause; each further one is twice as long, while calls after it fail in the same way.
pub const BREAKER_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: whatever led to it, clients wait no longer for an extension that works again.
pub const BREAKER_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Compiled code that is kept for the next process, in bytes on disk; what was not used for longest goes first.
pub const CODE_CACHE_BYTES: u64 = 256 * 1024 * 1024;
