//! Every limit of the engine on something that a peer or a guest can make grow, and why it is what it is.

/// Addresses read from `X-Forwarded-For`. Real chains have fewer than ten; the bound keeps a header full of commas
/// from costing more than reading it did.
pub const MAX_FORWARDED_TOKENS: usize = 128;

/// The bounds that extensions are held to, in the gateway and in the mock of their SDK: the file is the SDK's, so that neither
/// has them of its own.
#[path = "../../../guest-sdk/src/bounds.rs"]
pub mod guests;

/// Variables of one request, whoever sets them.
pub const MAX_VARS: usize = guests::VARS_PER_REQUEST;

/// Names and values of one request's variables together, in bytes.
pub const MAX_VARS_BYTES: usize = guests::VAR_BYTES_PER_REQUEST;

/// The bytes that the inserts of one template may add to its own text. A header that is named ten times in a template
/// must not become ten times as large; a usual header section still fits.
pub const MAX_INSERTED_BYTES: usize = 16 * 1024;

/// Lines that `log` steps may write for one request. A policy's own steps are finite; this bounds what one request
/// holds until the runtime takes them.
pub const MAX_LOG_LINES: usize = 16;

/// Shards of a keyed limit, a power of two. Workers meet on a lock only when their keys fall into one shard.
pub const LIMIT_SHARDS: usize = 64;

/// Buckets in one shard of a keyed limit: 65,536 a limit, some 8 MB at worst. When a shard is full, buckets that
/// have filled up again are dropped first (they hold no information), then the one that is nearest to it.
pub const MAX_BUCKETS_PER_SHARD: usize = 1024;

/// A key shorter than this, in bytes, is stored in full. A longer one is stored as its beginning and a keyed hash
/// of the whole, so that a client cannot fill the memory with long keys.
pub const MAX_LIMIT_KEY_BYTES: usize = 128;

/// Values of one query parameter or cookie that a test looks at. Forms have a few of one name; where there are more, the request is
/// refused: a value could hide behind others, and a thousand rules look at each.
pub const MAX_VALUES: usize = 256;

/// A query, or the cookies, up to this length in bytes are searched where they are. Longer ones are taken apart once for all rules.
pub const FEW_PAIR_BYTES: usize = 128;

/// The memory that a regular expression with its copies may take when it is compiled, in bytes.
pub const MAX_REGEX_BYTES: usize = 10 * 1024 * 1024;

/// The memory that the states which a regular expression meets in texts may take, in bytes, for each thread that
/// searches. A text can make it meet as many as fit.
pub const MAX_REGEX_STATES_BYTES: usize = 512 * 1024;
