//! Wasm extensions, and what they may do.

use std::time::Duration;

use serde::Serialize;

/// `extension NAME { … }`: a Wasm guest and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Extension {
    /// The name of the extension.
    pub name: String,
    /// The module's file; the path is already relative to the process, not to the policy.
    pub module: String,
    /// The interface that the module speaks.
    pub abi: Abi,
    /// The configuration as one JSON text, given to the guest's `init`.
    pub config: String,
    /// The resources that one instance may use.
    pub limits: ExtensionLimits,
    /// Whether an instance serves many requests or one.
    pub instance: InstanceMode,
    /// The fate of a request when the guest fails.
    pub on_error: OnError,
    /// The fate of a request while the guest is not called: it is paused, or there is no room for another call.
    pub on_pause: OnError,
    /// The capabilities of the guest; sorted, without repetition.
    pub allow: Vec<Capability>,
    /// The server groups that it may name, where `allow` has `route` or `outbound`.
    pub reach: Reach,
}

/// The server groups that an extension may name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Reach {
    /// `route [ … ]`: in the verdict `forward`.
    pub route: Reached,
    /// `outbound [ … ]`: in calls to servers.
    pub outbound: Reached,
}

/// Some server groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// All of the policy.
    #[default]
    Every,
    /// The groups of these names, in the order written. They stand by name, for that is how a guest names them.
    These(Vec<String>),
}

impl Reached {
    /// Whether the group of this name is among them.
    pub fn covers(&self, group: &str) -> bool {
        match self {
            Self::Every => true,
            Self::These(names) => names.iter().any(|name| name == group),
        }
    }
}

impl Extension {
    /// The groups that a word of `allow` covers; `None` for the words that name none.
    pub fn reached(&self, capability: Capability) -> Option<&Reached> {
        match capability {
            Capability::Route => Some(&self.reach.route),
            Capability::Outbound => Some(&self.reach.outbound),
            _ => None,
        }
    }
}

/// `limits { memory …; time …; instances … }` of an extension.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ExtensionLimits {
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// CPU time of one hook call.
    pub time: Duration,
    /// Instances a worker keeps.
    pub instances: u32,
}

/// `instance reused|fresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceMode {
    /// An instance serves one call after another.
    Reused,
    /// Each hook call gets an instance of its own.
    Fresh,
}

/// `on-error deny [STATUS]|skip`, and `on-pause` with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Answer with this status.
    Deny(u16),
    /// Go on as if the hook had said `next`.
    Skip,
}

/// A word of `allow [ … ]`: one thing that a guest may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Read the request and its connection.
    ReadRequest,
    /// Set, add and remove request headers.
    WriteRequestHeaders,
    /// Change path, authority and query.
    Rewrite,
    /// Read the response.
    ReadResponse,
    /// Set the status, set, add and remove response headers.
    WriteResponseHeaders,
    /// Choose the server group (verdict `forward`).
    Route,
    /// Answer in place of a backend (verdict `respond`), or close.
    Respond,
    /// Read and change bodies.
    Body,
    /// Read and write the request's variables.
    Vars,
    /// Write to the gateway's log.
    Log,
    /// Read clocks.
    Clock,
    /// Read random numbers.
    Random,
    /// Define and change metrics.
    Metrics,
    /// Use the store that workers share.
    Store,
    /// Call server groups.
    Outbound,
}

impl Capability {
    /// Every capability, in the order of the reference.
    pub const ALL: [Self; 15] = [
        Self::ReadRequest,
        Self::WriteRequestHeaders,
        Self::Rewrite,
        Self::ReadResponse,
        Self::WriteResponseHeaders,
        Self::Route,
        Self::Respond,
        Self::Body,
        Self::Vars,
        Self::Log,
        Self::Clock,
        Self::Random,
        Self::Metrics,
        Self::Store,
        Self::Outbound,
    ];

    /// The word that stands for it in `allow`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ReadRequest => "read-request",
            Self::WriteRequestHeaders => "write-request-headers",
            Self::Rewrite => "rewrite",
            Self::ReadResponse => "read-response",
            Self::WriteResponseHeaders => "write-response-headers",
            Self::Route => "route",
            Self::Respond => "respond",
            Self::Body => "body",
            Self::Vars => "vars",
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Metrics => "metrics",
            Self::Store => "store",
            Self::Outbound => "outbound",
        }
    }
}

/// `abi tidegate|proxy-wasm|http-wasm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Abi {
    /// The interface of this gateway: a component, or a core module with the component's type inside.
    Tidegate,
    /// Proxy-Wasm 0.2, the interface of Envoy's filters.
    ProxyWasm,
    /// The interface of http-wasm handlers.
    HttpWasm,
}

impl Abi {
    /// The word of a policy.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::ProxyWasm => "proxy-wasm",
            Self::HttpWasm => "http-wasm",
        }
    }
}
