//! The table of the language: the words of each place, and their defaults.

use std::time::Duration;

use super::place::Place;
use super::word::{Value, Word};
use super::{file, listener, rules, servers, tls, values};

impl Place {
    /// The words of the place.
    pub fn words(self) -> &'static [Word] {
        match self {
            Self::File => file::FILE,
            Self::Gateway => file::GATEWAY,
            Self::AccessLog => file::ACCESS_LOG,
            Self::LogTarget => file::LOG_TARGET,
            Self::LogFormat => file::LOG_FORMAT,
            Self::Certificate => tls::CERTIFICATE,
            Self::Ca => tls::CA,
            Self::TlsPolicy => tls::TLS_POLICY,
            Self::Tracing => file::TRACING,
            Self::Admin => file::ADMIN,
            Self::Metrics => file::METRICS,
            Self::Test => file::TEST,
            Self::Request => file::REQUEST,
            Self::Expect => file::EXPECT,
            Self::ListenerProtocol => listener::PROTOCOL,
            Self::Listener => listener::LISTENER,
            Self::ListenerLimits => listener::LIMITS,
            Self::ClientIp => listener::CLIENT_IP,
            Self::Trusted => listener::TRUSTED,
            Self::Forwarded => listener::FORWARDED,
            Self::ForwardedFor => listener::FORWARDED_FOR,
            Self::Paths => listener::PATHS,
            Self::State => listener::STATE,
            Self::ClientCa => listener::CLIENT_CA,
            Self::Compression => listener::COMPRESSION,
            Self::QuicUpgrade => listener::QUIC_UPGRADE,
            Self::PredefinedPolicy => tls::PREDEFINED,
            Self::TlsVersion => tls::VERSION,
            Self::KeyExchangeGroup => tls::GROUP,
            Self::TracingKind => file::TRACING_KIND,
            Self::OtlpProtocol => file::OTLP_PROTOCOL,
            Self::Propagate => file::PROPAGATE,
            Self::ServerGroup => servers::SERVER_GROUP,
            Self::Server => servers::SERVER,
            Self::ServerState => servers::SERVER_STATE,
            Self::Balance => servers::BALANCE,
            Self::HashKey => servers::HASH_KEY,
            Self::GroupProtocol => servers::PROTOCOL,
            Self::Sticky => servers::STICKY,
            Self::Verify => servers::VERIFY,
            Self::RetryOn => servers::RETRY_ON,
            Self::Probe => servers::PROBE,
            Self::HealthCheck => servers::HEALTH_CHECK,
            Self::Extension => servers::EXTENSION,
            Self::ExtensionLimits => servers::EXTENSION_LIMITS,
            Self::Instance => servers::INSTANCE,
            Self::OnError => servers::ON_ERROR,
            Self::OnPause => servers::ON_PAUSE,
            Self::Abi => servers::ABI,
            Self::Allow => servers::ALLOW,
            Self::Rules => rules::RULES,
            Self::Rule => rules::RULE,
            Self::OnResponse => rules::ON_RESPONSE,
            Self::Subject => values::SUBJECT,
            Self::ResponseSubject => values::RESPONSE_SUBJECT,
            Self::ClientCertField => values::CLIENT_CERT_FIELD,
            Self::Predicate => values::PREDICATE,
            Self::Rewrite => rules::REWRITE,
            Self::Limit => rules::LIMIT,
            Self::LimitKey => rules::LIMIT_KEY,
            Self::Target => rules::TARGET,
            Self::Respond => rules::RESPOND,
            Self::Cors => rules::CORS,
            Self::Insert => values::INSERT,
            Self::ResponseInsert => values::RESPONSE_INSERT,
            Self::LogInsert => values::LOG_INSERT,
        }
    }

    /// The word of this name.
    pub fn find(self, name: &str) -> Option<&'static Word> {
        self.words().iter().find(|word| word.name == name)
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
