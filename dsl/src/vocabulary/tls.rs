//! Words of certificates, authorities and TLS policies.

use super::place::Place;
use super::word::Word;

/// The policy of a listener that names none.
pub const DEFAULT_POLICY: &str = "tls_cipher_policy_1_2_strict_with_1_3";

pub(super) const CERTIFICATE: &[Word] = &[
    Word::new("chain", "\"FILE\"", "the certificate and its issuers, PEM")
        .more("Required. The certificate comes first, then each issuer behind what it issued.")
        .example("chain \"certs/shop.pem\""),
    Word::new("key", "\"FILE\"", "its private key, PEM")
        .more("Required. ECDSA, Ed25519 or RSA, without a passphrase.")
        .example("key \"certs/shop.key\""),
    Word::new("staple", "\"FILE\"", "an OCSP response for it, DER")
        .more("It goes to clients that ask for the certificate's status.")
        .example("staple \"certs/shop.ocsp\"")
        .default("none"),
];

pub(super) const CA: &[Word] = &[Word::new("bundle", "\"FILE\"", "trusted certificates, PEM")
    .more("Required.")
    .example("bundle \"certs/partners-ca.pem\"")];

pub(super) const TLS_POLICY: &[Word] = &[
    Word::new("base", "POLICY", "the policy that gives what this one leaves out")
        .more("One that is declared, or predefined.")
        .example("base tls_cipher_policy_1_2_strict"),
    Word::new("versions", "[VERSION, …]", "versions of TLS")
        .example("versions [tls1.2, tls1.3]")
        .one_of(Place::TlsVersion)
        .default("those of `base`, else those that `ciphers` can be used with"),
    Word::new("ciphers", "[\"SUITE\", …]", "suites by IANA or OpenSSL name, the preferred first")
        .more("Those of TLS 1.3 and those of TLS 1.2 stand in one list; each version takes its own.")
        .example("ciphers [\"TLS_AES_128_GCM_SHA256\", \"ECDHE-ECDSA-AES128-GCM-SHA256\"]")
        .default("those of `base`, else all"),
    Word::new("groups", "[GROUP, …]", "groups for the key exchange, the preferred first")
        .example("groups [x25519, secp256r1]")
        .one_of(Place::KeyExchangeGroup)
        .default("those of `base`, else all"),
];

pub(super) const VERSION: &[Word] = &[
    Word::new("tls1.2", "", "RFC 5246").example("versions [tls1.2, tls1.3]"),
    Word::new("tls1.3", "", "RFC 8446").example("versions [tls1.3]"),
];

pub(super) const GROUP: &[Word] = &[
    Word::new("x25519mlkem768", "", "post-quantum hybrid; TLS 1.3 alone").example("groups [x25519mlkem768, x25519]"),
    Word::new("x25519", "", "RFC 7748").example("groups [x25519]"),
    Word::new("secp256r1", "", "NIST P-256").example("groups [secp256r1]"),
    Word::new("secp384r1", "", "NIST P-384").example("groups [secp384r1]"),
];

/// The predefined policies. Each means what is carried of its suites, which `print` lists.
pub(super) const PREDEFINED: &[Word] = &[
    Word::new("tls_cipher_policy_1_0", "", "TLS 1.0 to 1.2, of which TLS 1.2 with forward secrecy is carried"),
    Word::new("tls_cipher_policy_1_1", "", "TLS 1.1 and 1.2, of which TLS 1.2 with forward secrecy is carried"),
    Word::new("tls_cipher_policy_1_2", "", "TLS 1.2, of which what has forward secrecy is carried"),
    Word::new("tls_cipher_policy_1_2_strict", "", "TLS 1.2 with forward secrecy"),
    Word::new("tls_cipher_policy_1_2_strict_with_1_3", "", "TLS 1.2 with forward secrecy, and TLS 1.3"),
    Word::new("tls_cipher_policy_1_0_to_1_3", "", "TLS 1.0 to 1.3, of which TLS 1.2 and 1.3 are carried"),
];
