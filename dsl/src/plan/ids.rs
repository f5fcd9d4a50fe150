//! References between the parts of a plan: indices into its lists.

use serde::Serialize;

/// The position of a list in the `lists` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ListId(pub usize);

/// The position of a certificate in the `certificates` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct CertificateId(pub usize);

/// The position of an authority in the `authorities` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct CaId(pub usize);

/// The position of a TLS policy in the `tls_policies` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct TlsPolicyId(pub usize);

/// The position of an extension in the `extensions` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ExtensionId(pub usize);

/// The position of a server group in the `groups` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct GroupId(pub usize);

/// The position of rules in the `rule_sets` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RuleSetId(pub usize);

/// The position of a listener in the `listeners` of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ListenerId(pub usize);
