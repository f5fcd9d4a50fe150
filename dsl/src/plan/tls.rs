//! Certificates, authorities, and policies of TLS.

use serde::Serialize;

/// `certificate NAME { chain …; key …; staple … }`. Paths are already relative to the process, not to the policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Certificate {
    /// The name of the certificate.
    pub name: String,
    /// The file of the certificate and its issuers, PEM.
    pub chain: String,
    /// The file of the private key, PEM.
    pub key: String,
    /// The file of the OCSP response, DER.
    pub staple: Option<String>,
}

/// `ca NAME { bundle … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Ca {
    /// The name of the authority.
    pub name: String,
    /// The file of the trusted certificates, PEM; the path is already relative to the process.
    pub bundle: String,
}

/// `tls-policy NAME { … }`, or a predefined one: exactly what a listener offers, in the server's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TlsPolicy {
    /// The name of the policy.
    pub name: String,
    /// Whether the name is predefined, and not declared in the policy.
    pub predefined: bool,
    /// Versions, the lowest first; never empty.
    pub versions: Vec<TlsVersion>,
    /// Suites, the preferred first; each version has one of them at least.
    pub suites: Vec<CipherSuite>,
    /// Groups for the key exchange, the preferred first; never empty.
    pub groups: Vec<KeyExchangeGroup>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "tls1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "tls1.3")]
    Tls13,
}

impl TlsVersion {
    /// The word that stands for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tls12 => "tls1.2",
            Self::Tls13 => "tls1.3",
        }
    }
}

/// Makes an enum with the names that its entries have in policies.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $entry:ident $name:literal $($other:literal)?),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum $type {
            $($(#[$doc])* #[serde(rename = $name)] $entry),+
        }

        impl $type {
            /// Every one, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$entry),+];

            /// The name that IANA registers.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$entry => $name),+
                }
            }

            /// The other name: for suites, the one that OpenSSL has.
            pub const fn openssl_name(self) -> Option<&'static str> {
                match self {
                    $(Self::$entry => named!(@other $($other)?)),+
                }
            }

            /// The value of this name, in either spelling, without case.
            pub fn named(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name) $(|| name.eq_ignore_ascii_case($other))? {
                    return Some(Self::$entry);
                })+
                None
            }
        }
    };
    (@other $other:literal) => { Some($other) };
    (@other) => { None };
}

named! {
    /// A cipher suite that this gateway carries; each has forward secrecy and authenticated encryption.
    CipherSuite {
        /// TLS 1.3.
        Aes256GcmSha384 "TLS_AES_256_GCM_SHA384",
        /// TLS 1.3.
        Aes128GcmSha256 "TLS_AES_128_GCM_SHA256",
        /// TLS 1.3.
        Chacha20Poly1305Sha256 "TLS_CHACHA20_POLY1305_SHA256",
        /// TLS 1.2.
        EcdheEcdsaAes256GcmSha384 "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" "ECDHE-ECDSA-AES256-GCM-SHA384",
        /// TLS 1.2.
        EcdheEcdsaAes128GcmSha256 "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" "ECDHE-ECDSA-AES128-GCM-SHA256",
        /// TLS 1.2.
        EcdheEcdsaChacha20Poly1305 "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" "ECDHE-ECDSA-CHACHA20-POLY1305",
        /// TLS 1.2.
        EcdheRsaAes256GcmSha384 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" "ECDHE-RSA-AES256-GCM-SHA384",
        /// TLS 1.2.
        EcdheRsaAes128GcmSha256 "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" "ECDHE-RSA-AES128-GCM-SHA256",
        /// TLS 1.2.
        EcdheRsaChacha20Poly1305 "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" "ECDHE-RSA-CHACHA20-POLY1305",
    }
}

impl CipherSuite {
    /// The version that can use it: a suite of one version is of no use to another.
    pub const fn version(self) -> TlsVersion {
        match self {
            Self::Aes256GcmSha384 | Self::Aes128GcmSha256 | Self::Chacha20Poly1305Sha256 => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        }
    }
}

named! {
    /// A group for the key exchange.
    KeyExchangeGroup {
        /// Post-quantum hybrid, TLS 1.3 alone.
        X25519MlKem768 "x25519mlkem768",
        /// Curve25519 (RFC 7748).
        X25519 "x25519",
        /// NIST P-256.
        Secp256r1 "secp256r1" "p-256",
        /// NIST P-384.
        Secp384r1 "secp384r1" "p-384",
    }
}
