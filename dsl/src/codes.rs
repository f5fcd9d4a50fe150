//! The table of diagnostic codes. A code never changes its meaning and is never used again.

use crate::diagnostic::Severity;
use crate::suggest;

/// A diagnostic code: `E` is an error, `W` a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The name of the code: `E0101`.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// Error or warning, by its first letter.
    pub fn severity(self) -> Severity {
        if self.0.starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// The row of a code in the table, by name, in capitals or not.
    pub fn find(name: &str) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.code.0.eq_ignore_ascii_case(name))
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The code.
    pub code: Code,
    /// The subject of the code, in a line.
    pub title: &'static str,
    /// The explanation of the code: why it is a mistake and how it is mended; most have an example behind `Wrong:` and
    /// one behind `Right:`.
    ///
    /// An example is a part of a policy: its first line, `tidegate 1`, and the server group `web` are taken as given.
    pub long: &'static str,
}

impl Row {
    /// The page that `tidegate help CODE` shows.
    pub fn page(&self) -> String {
        format!("{}: {}\n\n{}", self.code.name(), self.title, self.long)
    }
}

/// The code nearest to what was written, if one is near enough to be meant.
pub fn nearest(written: &str) -> Option<&'static str> {
    let names: Vec<String> = TABLE.iter().map(|row| row.code.name().to_ascii_lowercase()).collect();
    let meant = suggest::nearest(written, names.iter().map(String::as_str))?;
    Code::find(meant).map(|row| row.code.name())
}

macro_rules! codes {
    ($($(#[doc = $title:literal])+ $name:ident = $code:literal;)+) => {
        $($(#[doc = $title])+ pub(crate) const $name: Code = Code($code);)+
        /// Every code there is, in order.
        pub const TABLE: &[Row] = &[$(Row {
            code: $name,
            title: concat!($($title),+).trim_ascii(),
            long: include_str!(concat!("help/", $code, ".txt")),
        }),+];
    };
}

codes! {
    /// a text has no closing quote
    UNCLOSED_TEXT = "E0101";
    /// a block has no closing brace
    UNCLOSED_BLOCK = "E0102";
    /// a closing brace closes nothing
    STRAY_BRACE = "E0103";
    /// a list has no closing bracket, or a bracket opens or closes nothing
    BRACKET = "E0104";
    /// a comma is missing, or stands where none may
    COMMA = "E0105";
    /// a node does not begin with a word
    NO_WORD = "E0106";
    /// blocks are nested too deeply
    TOO_DEEP = "E0107";
    /// a file is too large
    TOO_LARGE = "E0108";
    /// a file cannot be read
    UNREADABLE = "E0109";
    /// a backslash begins no escape
    ESCAPE = "E0110";

    /// a word is not one of the words of its place
    UNKNOWN_WORD = "E0201";
    /// a word stands twice where it may stand once
    REPEATED_WORD = "E0203";
    /// an argument is missing
    MISSING_ARGUMENT = "E0204";
    /// there is an argument too many
    EXTRA_ARGUMENT = "E0205";
    /// a value is of the wrong kind
    WRONG_KIND = "E0206";
    /// a number lacks its unit, or has one that is not known
    UNIT = "E0207";
    /// a value is out of range
    OUT_OF_RANGE = "E0208";
    /// a network or an address cannot be read
    NETWORK = "E0209";
    /// a block is missing
    MISSING_BLOCK = "E0210";
    /// a block stands where none may
    EXTRA_BLOCK = "E0211";
    /// the file does not begin with the version of the language
    VERSION = "E0212";
    /// a word that must be there is missing
    MISSING_WORD = "E0213";
    /// an environment variable is not set
    ENV = "E0214";
    /// a name has letters that names do not have
    BAD_NAME = "E0215";
    /// an insertion in a text cannot be read, or means nothing there
    INSERTION = "E0216";
    /// a header name or value is not one
    HEADER = "E0217";
    /// a header belongs to the gateway
    RESERVED_HEADER = "E0218";
    /// a text does not have the form that its place asks for
    BAD_TEXT = "E0219";

    /// a name is not declared
    UNKNOWN_NAME = "E0301";
    /// a name is declared twice
    DUPLICATE_NAME = "E0302";
    /// a file includes itself
    CYCLE = "E0303";

    /// a condition stands after a step
    LATE_CONDITION = "E0401";
    /// a rule has no outcome
    NO_OUTCOME = "E0402";
    /// something stands after the outcome
    AFTER_OUTCOME = "E0403";
    /// a rule list has no `otherwise`, or not at its end
    OTHERWISE = "E0404";
    /// no request can reach a rule
    UNREACHABLE = "E0405";
    /// every weight is zero
    ZERO_WEIGHTS = "E0406";
    /// a regular expression cannot be read, or is too large
    REGEX = "E0407";
    /// `match` refers to a group that is not there
    MATCH = "E0408";
    /// a test does not fit its subject
    WRONG_TEST = "E0409";
    /// a status is not one, or not one that fits
    STATUS = "E0410";
    /// a group stands twice in a `forward`
    REPEATED_TARGET = "E0411";

    /// an origin is not one
    ORIGIN = "E0420";
    /// credentials are allowed to every origin
    CORS_CREDENTIALS = "E0421";
    /// `sticky` stands where it may not
    STICKY_PLACE = "E0422";

    /// a listener has no port, or two
    PORT = "E0501";
    /// two listeners want the same port
    PORT_CLASH = "E0502";
    /// a listener has neither `rules` nor `forward`, or both
    LISTENER_ACTION = "E0503";
    /// there are too many listeners
    TOO_MANY_LISTENERS = "E0504";
    /// a server group has no server that takes requests
    NO_SERVERS = "E0505";
    /// the address of a server cannot be read
    SERVER_ADDRESS = "E0506";
    /// `forwarded-for` contradicts `forwarded`
    FORWARDED = "E0507";

    /// words of TLS stand in a server group that speaks none
    GROUP_TLS = "E0520";
    /// a health check contradicts itself
    HEALTH_CHECK = "E0521";
    /// a status is no failure to try again for
    RETRY_STATUS = "E0522";

    /// a word does not fit the protocol of its listener
    PROTOCOL = "E0530";
    /// `quic-upgrade` names a listener that it cannot name
    UPGRADE = "E0531";
    /// a group of gRPC is behind a listener without HTTP/2
    GRPC = "E0532";
    /// a listener is traced, and nothing says where spans go
    TRACING = "E0533";

    /// the name of the gateway cannot stand in `Via`
    VIA = "E0540";
    /// other machines may reach the admin API, and it asks for no token
    OPEN_ADMIN = "E0541";
    /// a location has a scheme and no host
    LOCATION = "E0545";
    /// `prefix` stands where nothing counts by address
    PREFIX = "E0546";
    /// a listener that asks for certificates can be gone round
    WAY_ROUND = "E0547";
    /// a certificate has no attribute of that name
    ATTRIBUTE = "E0548";

    /// a file holds certificates or keys where a policy belongs
    PEM = "E0555";
    /// the access log is no file
    LOG_TARGET = "E0556";
    /// a secret cannot be used
    SECRET = "E0567";
    /// a comment begins with another sign than `#`
    FOREIGN_COMMENT = "E0573";
    /// a sign stands between a word and its value
    SIGN = "E0574";
    /// a word joins two tests, or turns one round
    JOINED = "E0575";
    /// no request has what a test asks for
    NEVER_MET = "E0576";

    /// a module cannot be read
    MODULE = "E0601";
    /// a module imports what it is not allowed
    NOT_ALLOWED = "E0602";
    /// a module imports what the host does not have
    UNKNOWN_IMPORT = "E0603";
    /// an extension refuses its configuration
    CONFIG = "E0604";
    /// an extension has no hook to run
    NO_HOOK = "E0605";
    /// a module is more than the gateway compiles
    MODULE_BOUND = "E0606";
    /// an extension fails while it starts
    START = "E0607";
    /// a module takes too long to compile
    UNCOMPILED = "E0608";

    /// no listener takes the request of a test
    NO_LISTENER = "E0701";

    /// a file of a certificate or of an authority cannot be used
    CERTIFICATE = "E0801";
    /// a key does not belong to its certificate
    KEY_MISMATCH = "E0802";
    /// a TLS policy names what is not carried
    NOT_CARRIED = "E0803";
    /// versions, suites and groups of a TLS policy do not fit together
    USELESS_SUITE = "E0804";
    /// no suite can use the key of a certificate
    NO_HANDSHAKE = "E0805";
    /// a TLS policy is based on itself
    BASE_CYCLE = "E0806";

    /// a name is declared and never used
    UNUSED = "W0901";
    /// a timeout is very long
    LONG_TIMEOUT = "W0902";
    /// a client can choose its own address
    FORGEABLE = "W0903";
    /// there are many listeners
    MANY_LISTENERS = "W0904";
    /// a text looks like a template, and nothing is inserted there
    NOT_INSERTED = "W0905";
    /// a network has address bits behind its prefix
    HOST_BITS = "W0906";
    /// a block is empty
    EMPTY_BLOCK = "W0907";
    /// there are more mistakes than are shown
    TOO_MANY = "W0908";
    /// an `include` finds no file
    NO_FILES = "W0909";

    /// a server stands twice in its group
    DUPLICATE_SERVER = "W0920";
    /// a listener forwards to itself
    LOOP = "W0921";
    /// `sticky` is doubtful
    STICKY = "W0922";
    /// a copy goes where the request goes
    MIRROR = "W0923";
    /// a `*` in an origin fits other sites, too
    WIDE_ORIGIN = "W0924";
    /// preflight requests do not reach a `cors`
    PREFLIGHT = "W0925";
    /// a redirection leads back to where the request came in
    REDIRECT_LOOP = "W0926";
    /// a dot in an expression for hosts is any character
    LOOSE_DOT = "W0927";
    /// a glob fits more than a path and what is below it
    LOOSE_PREFIX = "W0928";
    /// servers drop headers with an underscore
    UNDERSCORE = "W0929";

    /// a certificate has expired, or soon will
    EXPIRY = "W0930";
    /// the certificates of a chain are not in order
    CHAIN_ORDER = "W0931";
    /// a certificate is never chosen
    NEVER_CHOSEN = "W0932";
    /// a test asks for what no listener has
    UNMET_TEST = "W0933";

    /// a client has a say in the host of a location
    OPEN_LOCATION = "W0945";
    /// clients without a certificate reach what a listener asks one for
    WAY_BESIDE = "W0946";
    /// `on-response` changes what clients are told of HTTP/3
    OWN_ALT_SVC = "W0947";
    /// a whole name is searched for one of its attributes
    WHOLE_NAME = "W0948";
    /// a listener lets nobody in
    NOBODY = "W0949";
    /// 0-RTT data where clients are asked for a certificate
    EARLY_CERTIFICATE = "W0950";
    /// a guest may name every server group
    EVERY_GROUP = "W0955";
    /// the access log cannot be written here
    LOG_LOCKED = "W0960";
    /// a regular expression makes so much work that texts can be too long for it
    COSTLY_REGEX = "W0965";
    /// a `*` stands in a text that is compared exactly
    EXACT_GLOB = "W0975";
    /// a value stands twice in a list
    REPEATED_VALUE = "W0976";
    /// a text has a variable of another gateway
    FOREIGN_VARIABLE = "W0977";
    /// a step changes a header that the gateway writes itself
    OWN_HEADER = "W0978";
    /// a header of responses is given to the server
    RESPONSE_FIELD = "W0979";
    /// a test of a header knows one version of HTTP only
    ONE_VERSION = "W0980";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_stand_once() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].code.name() < pair[1].code.name(), "{pair:?}");
        }
    }
}
