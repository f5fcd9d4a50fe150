//! Keys, and what they verify: HS256, RS256 and ES256 (RFC 7518, 3.1).

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::Signature as EcSignature;
use p256::ecdsa::VerifyingKey as EcKey;
use p256::ecdsa::signature::Verifier;
use rsa::pkcs1v15::{Signature as RsaSignature, VerifyingKey as RsaKey};
use rsa::{BoxedUint, RsaPublicKey};
use serde::Deserialize;
use sha2::Sha256;
use tidegate_guest::{Error, Result};

/// A JSON Web Key (RFC 7517); words that say nothing about verifying are passed over.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    /// `oct`, `RSA` or `EC`.
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    /// The secret of `oct`.
    k: Option<String>,
    /// Modulus and exponent of `RSA`.
    n: Option<String>,
    e: Option<String>,
    /// Curve and point of `EC`.
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key that is ready.
pub(crate) struct Key {
    id: Option<String>,
    material: Material,
}

enum Material {
    Secret(Box<Hmac<Sha256>>),
    Rsa(Box<RsaKey<Sha256>>),
    Ec(Box<EcKey>),
}

/// A secret is as long as what it makes (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

/// The least length of an RSA key, in bytes (RFC 7518, 3.3).
const RSA_BYTES: usize = 256;

impl Key {
    pub(crate) fn new(jwk: &Jwk) -> Result<Self> {
        let name = jwk.kid.as_deref().unwrap_or("without kid");
        let wrong = |what: &str| Error::new(format!("the key `{name}`: {what}"));
        let material = match jwk.kty.as_str() {
            "oct" => {
                let secret = bytes(&jwk.k).ok_or_else(|| wrong("`k` is missing, or no base64url"))?;
                if secret.len() < SECRET_BYTES {
                    return Err(wrong("the secret is short: take 32 bytes or more"));
                }
                Material::Secret(Box::new(Hmac::new_from_slice(&secret).map_err(|_| wrong("the secret is unfit"))?))
            }
            "RSA" => {
                let (Some(n), Some(e)) = (bytes(&jwk.n), bytes(&jwk.e)) else {
                    return Err(wrong("`n` or `e` is missing, or no base64url"));
                };
                if n.len() < RSA_BYTES {
                    return Err(wrong("the modulus is short: take 2048 bits or more"));
                }
                let (n, e) = (BoxedUint::from_be_slice_vartime(&n), BoxedUint::from_be_slice_vartime(&e));
                let key = RsaPublicKey::new(n, e).map_err(|_| wrong("it is no RSA key"))?;
                Material::Rsa(Box::new(RsaKey::new(key)))
            }
            "EC" if jwk.crv.as_deref() == Some("P-256") => {
                let (Some(x), Some(y)) = (bytes(&jwk.x), bytes(&jwk.y)) else {
                    return Err(wrong("`x` or `y` is missing, or no base64url"));
                };
                // An uncompressed point (SEC 1, 2.3.3).
                let point = [&[4][..], &x, &y].concat();
                Material::Ec(Box::new(EcKey::from_sec1_bytes(&point).map_err(|_| wrong("it is no point of P-256"))?))
            }
            "EC" => return Err(wrong("only the curve P-256 is known here")),
            other => return Err(wrong(&format!("`kty` is `{other}`: write oct, RSA or EC"))),
        };
        let key = Self { id: jwk.kid.clone(), material };
        match &jwk.alg {
            Some(alg) if alg != key.algorithm() => {
                Err(wrong(&format!("`alg` is `{alg}`, and such a key is for {}", key.algorithm())))
            }
            _ => Ok(key),
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self.material {
            Material::Secret(_) => "HS256",
            Material::Rsa(_) => "RS256",
            Material::Ec(_) => "ES256",
        }
    }

    /// Whether a token with this algorithm and key id in its header can be of this key.
    pub(crate) fn may_have_signed(&self, algorithm: &str, id: Option<&str>) -> bool {
        let other = matches!((id, &self.id), (Some(said), Some(own)) if said != own);
        algorithm == self.algorithm() && !other
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(mac) => Hmac::clone(mac).chain_update(message).verify_slice(signature).is_ok(),
            Material::Rsa(key) => {
                RsaSignature::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Material::Ec(key) => {
                EcSignature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
        }
    }
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text.as_deref()?).ok()
}
