//! Places: where a word may stand.

/// A place where a word may stand: a block, or an argument that takes one of a few words.
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
    /// `metrics { … }`
    Metrics,
    /// `test "…" { … }`
    Test,
    /// `test "…" { request METHOD "URL" … }`
    Request,
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
    /// `paths …`
    Paths,
    /// `state …`
    State,
    /// `client-ca NAME …`
    ClientCa,
    /// `compression …`
    Compression,
    /// Options of `quic-upgrade LISTENER`
    QuicUpgrade,
    /// Predefined names of `tls-policy NAME`
    PredefinedPolicy,
    /// `versions [ … ]` of a TLS policy
    TlsVersion,
    /// `groups [ … ]` of a TLS policy
    KeyExchangeGroup,
    /// `tracing …`
    TracingKind,
    /// `protocol …` of `tracing`
    OtlpProtocol,
    /// `propagate [ … ]` of `tracing`
    Propagate,
    /// `server-group NAME { … }`
    ServerGroup,
    /// Options of `server ADDRESS …`
    Server,
    /// `server ADDRESS state …`
    ServerState,
    /// `balance …`
    Balance,
    /// `balance hash …`
    HashKey,
    /// `protocol …` of a server group
    GroupProtocol,
    /// `sticky …` of a server group
    Sticky,
    /// `verify …`
    Verify,
    /// `retries N on [ … ]`
    RetryOn,
    /// `health-check …`
    Probe,
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
    /// `on-pause …`
    OnPause,
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
    /// The subject of a test of a request
    Subject,
    /// The subject of a test of a response
    ResponseSubject,
    /// `client-cert …`
    ClientCertField,
    /// The comparison of a test
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
    /// `${…}` in the template of the access log
    LogInsert,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 66] = [
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
        Self::Metrics,
        Self::Test,
        Self::Request,
        Self::Expect,
        Self::ListenerProtocol,
        Self::Listener,
        Self::ListenerLimits,
        Self::ClientIp,
        Self::Trusted,
        Self::Forwarded,
        Self::ForwardedFor,
        Self::Paths,
        Self::State,
        Self::ClientCa,
        Self::Compression,
        Self::QuicUpgrade,
        Self::PredefinedPolicy,
        Self::TlsVersion,
        Self::KeyExchangeGroup,
        Self::TracingKind,
        Self::OtlpProtocol,
        Self::Propagate,
        Self::ServerGroup,
        Self::Server,
        Self::ServerState,
        Self::Balance,
        Self::HashKey,
        Self::GroupProtocol,
        Self::Sticky,
        Self::Verify,
        Self::RetryOn,
        Self::Probe,
        Self::HealthCheck,
        Self::Extension,
        Self::ExtensionLimits,
        Self::Instance,
        Self::OnError,
        Self::OnPause,
        Self::Abi,
        Self::Allow,
        Self::Rules,
        Self::Rule,
        Self::OnResponse,
        Self::Subject,
        Self::ResponseSubject,
        Self::ClientCertField,
        Self::Predicate,
        Self::Rewrite,
        Self::Limit,
        Self::LimitKey,
        Self::Target,
        Self::Respond,
        Self::Cors,
        Self::Insert,
        Self::ResponseInsert,
        Self::LogInsert,
    ];

    /// The blocks of the language, outermost first: where a word may be meant to stand.
    pub const BLOCKS: [Self; 20] = [
        Self::File,
        Self::Listener,
        Self::ServerGroup,
        Self::Extension,
        Self::Rules,
        Self::Rule,
        Self::OnResponse,
        Self::HealthCheck,
        Self::Cors,
        Self::ListenerLimits,
        Self::ExtensionLimits,
        Self::Gateway,
        Self::AccessLog,
        Self::Certificate,
        Self::Ca,
        Self::TlsPolicy,
        Self::Tracing,
        Self::Admin,
        Self::Metrics,
        Self::Test,
    ];

    /// Whether each word of the place begins a line; else they stand behind another one on its line, or within a text.
    pub fn is_block(self) -> bool {
        matches!(
            self,
            Self::File
                | Self::Gateway
                | Self::AccessLog
                | Self::Certificate
                | Self::Ca
                | Self::TlsPolicy
                | Self::Tracing
                | Self::Admin
                | Self::Metrics
                | Self::Test
                | Self::Listener
                | Self::ListenerLimits
                | Self::ServerGroup
                | Self::HealthCheck
                | Self::Extension
                | Self::ExtensionLimits
                | Self::Rules
                | Self::Rule
                | Self::OnResponse
                | Self::Cors
        )
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
            Self::Metrics => "in `metrics`",
            Self::Test => "in a `test`",
            Self::Request => "after the URL of a `request`",
            Self::Expect => "after `expect`",
            Self::ListenerProtocol => "after `listener`",
            Self::Listener => "in a `listener`",
            Self::ListenerLimits => "in the `limits` of a listener",
            Self::ClientIp => "after `client-ip`",
            Self::Trusted => "after `x-forwarded-for`",
            Self::Forwarded => "in `forwarded`",
            Self::ForwardedFor => "after `forwarded-for`",
            Self::Paths => "after `paths`",
            Self::State => "after `state`",
            Self::ClientCa => "after the name of a `client-ca`",
            Self::Compression => "in `compression`",
            Self::QuicUpgrade => "behind the listener of `quic-upgrade`",
            Self::PredefinedPolicy => "after `tls-policy`",
            Self::TlsVersion => "in `versions`",
            Self::KeyExchangeGroup => "in `groups`",
            Self::TracingKind => "after `tracing`",
            Self::OtlpProtocol => "after `protocol`",
            Self::Propagate => "in `propagate`",
            Self::ServerGroup => "in a `server-group`",
            Self::Server => "after the address of a `server`",
            Self::ServerState => "after `state`",
            Self::Balance => "after `balance`",
            Self::HashKey => "after `hash`",
            Self::GroupProtocol => "after `protocol`",
            Self::Sticky => "after `sticky`",
            Self::Verify => "after `verify`",
            Self::RetryOn => "in `retries`",
            Self::Probe => "after `health-check`",
            Self::HealthCheck => "in a `health-check`",
            Self::Extension => "in an `extension`",
            Self::ExtensionLimits => "in the `limits` of an extension",
            Self::Instance => "after `instance`",
            Self::OnError => "after `on-error`",
            Self::OnPause => "after `on-pause`",
            Self::Abi => "after `abi`",
            Self::Allow => "in `allow`",
            Self::Rules => "in `rules`",
            Self::Rule => "in a rule",
            Self::OnResponse => "in `on-response`",
            Self::Subject | Self::ResponseSubject => "at the beginning of a test",
            Self::ClientCertField => "after `client-cert`",
            Self::Predicate => "in a test",
            Self::Rewrite => "after `rewrite`",
            Self::Limit => "after the rate of a `limit`",
            Self::LimitKey => "after `per`",
            Self::Target => "after a group of `forward`",
            Self::Respond => "after the body of `respond`",
            Self::Cors => "in `cors`",
            Self::Insert | Self::ResponseInsert | Self::LogInsert => "in `${…}`",
        }
    }
}
