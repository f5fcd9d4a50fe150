//! The vocabulary: every word of the language, once.
//!
//! The checker takes ranges, defaults and repetition from it, the suggestions their candidates, the printer its
//! defaults. A word that this version does not have yet stands here too, so that it is never an unknown word.

mod file;
mod listener;
mod rules;
mod servers;
mod values;

use std::time::Duration;

/// Where a word may stand: a block, or an argument that takes one of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Top level of a file.
    File,
    /// `gateway { … }`
    Gateway,
    /// `access-log { … }`
    AccessLog,
    /// `access-log { to … }`
    LogTarget,
    /// `access-log { format … }`
    LogFormat,
    /// `certificate NAME { … }`
    Certificate,
    /// `ca NAME { … }`
    Ca,
    /// `tls-policy NAME { … }`
    TlsPolicy,
    /// `tracing otlp { … }`
    Tracing,
    /// `admin { … }`
    Admin,
    /// `test "…" { … }`
    Test,
    /// `test "…" { expect … }`
    Expect,
    /// `listener …`
    ListenerProtocol,
    /// `listener http NAME { … }`
    Listener,
    /// `limits { … }` of a listener
    ListenerLimits,
    /// `client-ip …`
    ClientIp,
    /// `client-ip x-forwarded-for trusted …`
    Trusted,
    /// `forwarded [ … ]`
    Forwarded,
    /// `forwarded-for …`
    ForwardedFor,
    /// `state …`
    State,
    /// `server-group NAME { … }`
    ServerGroup,
    /// Options of `server ADDRESS …`
    Server,
    /// `balance …`
    Balance,
    /// `protocol …` of a server group
    GroupProtocol,
    /// `health-check … { … }`
    HealthCheck,
    /// `extension NAME { … }`
    Extension,
    /// `limits { … }` of an extension
    ExtensionLimits,
    /// `instance …`
    Instance,
    /// `on-error …`
    OnError,
    /// `abi …`
    Abi,
    /// `allow [ … ]`
    Allow,
    /// `rules NAME { … }`
    Rules,
    /// `rule NAME { … }`
    Rule,
    /// `on-response { … }`
    OnResponse,
    /// What a test of a request looks at
    Subject,
    /// What a test of a response looks at
    ResponseSubject,
    /// How a test compares
    Predicate,
    /// `rewrite …`
    Rewrite,
    /// Options of `limit RATE …`
    Limit,
    /// `limit RATE per …`
    LimitKey,
    /// Options of a group in `forward`
    Target,
    /// Options of `respond`
    Respond,
    /// `cors { … }`
    Cors,
    /// `${…}` in a text
    Insert,
    /// `${…}` in a text of `on-response`
    ResponseInsert,
}

/// What a word is for, where a block has words of several kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A declaration, a setting or a value.
    Plain,
    /// `when`, `unless`
    Condition,
    /// Done to a request or a response.
    Step,
    /// Ends a rule.
    Outcome,
    /// Done on the way back.
    WayBack,
}

/// The value that a word takes, where one value is all it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Its own kind of arguments.
    Special,
    /// A time.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
        /// What holds if the word is left out.
        default: Option<Duration>,
    },
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
        /// What holds if the word is left out.
        default: Option<u64>,
        /// Whether `off` may stand for it; it is the default where there is no other.
        off: bool,
    },
    /// A number of bytes.
    Size {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
        /// What holds if the word is left out.
        default: Option<u64>,
        /// Whether `off` may stand for it; it is the default where there is no other.
        off: bool,
    },
    /// `on` or `off`.
    Switch {
        /// What holds if the word is left out.
        default: bool,
    },
    /// One of the words of a place.
    OneOf(Place),
}

/// A word of the language at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// What follows it, for people: `RATE [per KEY]`.
    pub arguments: &'static str,
    /// What it is for, in a line.
    pub short: &'static str,
    /// What kind of word it is.
    pub role: Role,
    /// Its value, where one value is all it takes.
    pub value: Value,
    /// The default in words, where `value` does not hold it.
    pub default: Option<&'static str>,
    /// Whether it may stand more than once in its block.
    pub repeats: bool,
    /// Whether this version has it.
    pub built: bool,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 45] = [
        Self::File,
        Self::Gateway,
        Self::AccessLog,
        Self::LogTarget,
        Self::LogFormat,
        Self::Certificate,
        Self::Ca,
        Self::TlsPolicy,
        Self::Tracing,
        Self::Admin,
        Self::Test,
        Self::Expect,
        Self::ListenerProtocol,
        Self::Listener,
        Self::ListenerLimits,
        Self::ClientIp,
        Self::Trusted,
        Self::Forwarded,
        Self::ForwardedFor,
        Self::State,
        Self::ServerGroup,
        Self::Server,
        Self::Balance,
        Self::GroupProtocol,
        Self::HealthCheck,
        Self::Extension,
        Self::ExtensionLimits,
        Self::Instance,
        Self::OnError,
        Self::Abi,
        Self::Allow,
        Self::Rules,
        Self::Rule,
        Self::OnResponse,
        Self::Subject,
        Self::ResponseSubject,
        Self::Predicate,
        Self::Rewrite,
        Self::Limit,
        Self::LimitKey,
        Self::Target,
        Self::Respond,
        Self::Cors,
        Self::Insert,
        Self::ResponseInsert,
    ];

    /// The blocks of the language, outermost first: where a word may be meant to stand.
    pub const BLOCKS: [Self; 11] = [
        Self::File,
        Self::Listener,
        Self::ServerGroup,
        Self::Extension,
        Self::Rules,
        Self::Rule,
        Self::OnResponse,
        Self::ListenerLimits,
        Self::ExtensionLimits,
        Self::Gateway,
        Self::AccessLog,
    ];

    /// The words of the place.
    pub fn words(self) -> &'static [Word] {
        match self {
            Self::File => file::FILE,
            Self::Gateway => file::GATEWAY,
            Self::AccessLog => file::ACCESS_LOG,
            Self::LogTarget => file::LOG_TARGET,
            Self::LogFormat => file::LOG_FORMAT,
            Self::Certificate => file::CERTIFICATE,
            Self::Ca => file::CA,
            Self::TlsPolicy => file::TLS_POLICY,
            Self::Tracing => file::TRACING,
            Self::Admin => file::ADMIN,
            Self::Test => file::TEST,
            Self::Expect => file::EXPECT,
            Self::ListenerProtocol => listener::PROTOCOL,
            Self::Listener => listener::LISTENER,
            Self::ListenerLimits => listener::LIMITS,
            Self::ClientIp => listener::CLIENT_IP,
            Self::Trusted => listener::TRUSTED,
            Self::Forwarded => listener::FORWARDED,
            Self::ForwardedFor => listener::FORWARDED_FOR,
            Self::State => listener::STATE,
            Self::ServerGroup => servers::SERVER_GROUP,
            Self::Server => servers::SERVER,
            Self::Balance => servers::BALANCE,
            Self::GroupProtocol => servers::PROTOCOL,
            Self::HealthCheck => servers::HEALTH_CHECK,
            Self::Extension => servers::EXTENSION,
            Self::ExtensionLimits => servers::EXTENSION_LIMITS,
            Self::Instance => servers::INSTANCE,
            Self::OnError => servers::ON_ERROR,
            Self::Abi => servers::ABI,
            Self::Allow => servers::ALLOW,
            Self::Rules => rules::RULES,
            Self::Rule => rules::RULE,
            Self::OnResponse => rules::ON_RESPONSE,
            Self::Subject => values::SUBJECT,
            Self::ResponseSubject => values::RESPONSE_SUBJECT,
            Self::Predicate => values::PREDICATE,
            Self::Rewrite => rules::REWRITE,
            Self::Limit => rules::LIMIT,
            Self::LimitKey => rules::LIMIT_KEY,
            Self::Target => rules::TARGET,
            Self::Respond => rules::RESPOND,
            Self::Cors => rules::CORS,
            Self::Insert => values::INSERT,
            Self::ResponseInsert => values::RESPONSE_INSERT,
        }
    }

    /// The word of this name.
    pub fn find(self, name: &str) -> Option<&'static Word> {
        self.words().iter().find(|word| word.name == name)
    }

    /// The place in words: "a word of `listener`".
    pub fn title(self) -> &'static str {
        match self {
            Self::File => "at the top of a file",
            Self::Gateway => "in `gateway`",
            Self::AccessLog => "in `access-log`",
            Self::LogTarget => "after `to`",
            Self::LogFormat => "after `format`",
            Self::Certificate => "in a `certificate`",
            Self::Ca => "in a `ca`",
            Self::TlsPolicy => "in a `tls-policy`",
            Self::Tracing => "in `tracing`",
            Self::Admin => "in `admin`",
            Self::Test => "in a `test`",
            Self::Expect => "after `expect`",
            Self::ListenerProtocol => "after `listener`",
            Self::Listener => "in a `listener`",
            Self::ListenerLimits => "in the `limits` of a listener",
            Self::ClientIp => "after `client-ip`",
            Self::Trusted => "after `x-forwarded-for`",
            Self::Forwarded => "in `forwarded`",
            Self::ForwardedFor => "after `forwarded-for`",
            Self::State => "after `state`",
            Self::ServerGroup => "in a `server-group`",
            Self::Server => "after the address of a `server`",
            Self::Balance => "after `balance`",
            Self::GroupProtocol => "after `protocol`",
            Self::HealthCheck => "in a `health-check`",
            Self::Extension => "in an `extension`",
            Self::ExtensionLimits => "in the `limits` of an extension",
            Self::Instance => "after `instance`",
            Self::OnError => "after `on-error`",
            Self::Abi => "after `abi`",
            Self::Allow => "in `allow`",
            Self::Rules => "in `rules`",
            Self::Rule => "in a rule",
            Self::OnResponse => "in `on-response`",
            Self::Subject | Self::ResponseSubject => "at the beginning of a test",
            Self::Predicate => "in a test",
            Self::Rewrite => "after `rewrite`",
            Self::Limit => "after the rate of a `limit`",
            Self::LimitKey => "after `per`",
            Self::Target => "after a group of `forward`",
            Self::Respond => "after the body of `respond`",
            Self::Cors => "in `cors`",
            Self::Insert | Self::ResponseInsert => "in `${…}`",
        }
    }

    /// The default of a time; zero where the table has none, which a test rules out for the words that ask.
    pub(crate) fn default_duration(self, name: &str) -> Duration {
        match self.find(name).map(|word| word.value) {
            Some(Value::Duration { default: Some(default), .. }) => default,
            _ => Duration::ZERO,
        }
    }

    /// The default of a number or a size; `None` is off.
    pub(crate) fn default_number(self, name: &str) -> Option<u64> {
        match self.find(name).map(|word| word.value) {
            Some(Value::Count { default, .. } | Value::Size { default, .. }) => default,
            _ => None,
        }
    }

    /// The default of a switch.
    pub(crate) fn default_switch(self, name: &str) -> bool {
        matches!(self.find(name).map(|word| word.value), Some(Value::Switch { default: true }))
    }
}

impl Word {
    const fn new(name: &'static str, arguments: &'static str, short: &'static str) -> Self {
        Self {
            name,
            arguments,
            short,
            role: Role::Plain,
            value: Value::Special,
            default: None,
            repeats: false,
            built: true,
        }
    }

    const fn many(self) -> Self {
        Self { repeats: true, ..self }
    }

    const fn later(self) -> Self {
        Self { built: false, ..self }
    }

    const fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn duration(self, min: Duration, max: Duration, default: Option<Duration>) -> Self {
        Self { value: Value::Duration { min, max, default }, ..self }
    }

    const fn count(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Count { min, max, default, off: false }, ..self }
    }

    const fn count_or_off(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Count { min, max, default, off: true }, ..self }
    }

    const fn size(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Size { min, max, default, off: false }, ..self }
    }

    const fn size_or_off(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Size { min, max, default, off: true }, ..self }
    }

    const fn switch(self, default: bool) -> Self {
        Self { value: Value::Switch { default }, ..self }
    }

    const fn one_of(self, place: Place) -> Self {
        Self { value: Value::OneOf(place), ..self }
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_word_stands_once_at_its_place_and_says_what_it_is_for() {
        for place in Place::ALL {
            let mut seen = HashSet::new();
            assert!(!place.words().is_empty(), "{place:?} has no words");
            for word in place.words() {
                assert!(seen.insert(word.name), "`{}` stands twice in {place:?}", word.name);
                assert!(!word.short.is_empty(), "`{}` says nothing", word.name);
                assert!(!word.short.ends_with('.'), "`{}` ends with a full stop", word.name);
            }
        }
    }

    #[test]
    fn defaults_lie_within_their_ranges() {
        for word in Place::ALL.iter().flat_map(|place| place.words()) {
            match word.value {
                Value::Duration { min, max, default: Some(default) } => {
                    assert!(min <= default && default <= max, "{}", word.name);
                }
                Value::Count { min, max, default: Some(default), .. }
                | Value::Size { min, max, default: Some(default), .. } => {
                    assert!(min <= default && default <= max, "{}", word.name);
                }
                _ => {}
            }
        }
    }
}
