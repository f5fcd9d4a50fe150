//! Certificates and authorities as the compiler needs them: the facts that a loader reads, and the problems that it
//! finds.

/// The facts about a certificate: what reading it, its key and its staple found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The DNS names that it is for, in lower case; a wildcard stands as `*.shop.example`.
    pub names: Vec<String>,
    /// The algorithm that the key signs with.
    pub key: KeyAlgorithm,
    /// Seconds until it expires; negative, if it has expired.
    pub seconds_left: i64,
    /// Seconds until it begins to be valid; negative or zero, if it has begun.
    pub seconds_to_begin: i64,
    /// The first certificate of the chain, counted from 1, that the next one did not issue.
    pub gap: Option<usize>,
    /// Seconds until the staple runs out; negative, if it has; `None` without one, or if it says nothing about its end.
    pub staple_seconds_left: Option<i64>,
}

/// The algorithm that a key signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on a curve of NIST.
    Ecdsa,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSA.
    Rsa,
    /// A key of another kind.
    Other,
}

/// The reason why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    /// A file cannot be read, or does not hold what it should; the reason is a sentence for the user, and never quotes
    /// the file.
    File(CertificateFile, String),
    /// The key does not belong to the first certificate of the chain. It may belong to another one, counted from 1.
    KeyMismatch {
        /// The certificate of the chain that it belongs to.
        belongs_to: Option<usize>,
    },
}

/// A file of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateFile {
    /// The certificate and its issuers.
    Chain,
    /// The private key.
    Key,
    /// The OCSP response.
    Staple,
}

/// The facts about an authority: what reading its bundle found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityFacts {
    /// The number of certificates in the bundle; at least one.
    pub count: usize,
    /// Seconds until the last of them expires; negative, if all have expired.
    pub seconds_left: i64,
}
