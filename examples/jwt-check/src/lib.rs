//! Lets requests in that carry a JSON Web Token that holds (RFC 7519), and tells the server what it claims.

mod key;

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use serde_json::Value;
use tidegate_guest::config::Many;
use tidegate_guest::{Error, Filter, Reply, Request, Result, Verdict, clock, export};

use crate::key::{Jwk, Key};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The keys that may have signed, as JSON Web Keys (RFC 7517) write them.
    key: Many<Jwk>,
    /// The issuer that the token must have: its `iss`.
    #[serde(default)]
    issuer: Option<String>,
    /// The audience that the token must be for: one of its `aud`.
    #[serde(default)]
    audience: Option<String>,
    /// The seconds by which clocks may differ.
    #[serde(default = "leeway")]
    leeway: u32,
    /// Claims that the server gets, and the headers for them. What a client sends under these names is taken out.
    #[serde(default)]
    claims: BTreeMap<String, String>,
}

const fn leeway() -> u32 {
    30
}

/// The extension.
pub struct JwtCheck {
    keys: Vec<Key>,
    config: Config,
}

/// The head of a token (RFC 7515, 4.1).
#[derive(Deserialize)]
struct Head {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    #[serde(default)]
    crit: Option<Value>,
}

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES: usize = 16 * 1024;

type Wrong = &'static str;

impl Filter for JwtCheck {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        let keys = config.key.iter().map(Key::new).collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(Error::new("there is no key: write `key { kty \"oct\"; k \"…\" }`"));
        }
        Ok(Self { keys, config })
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        // Nobody but the token says who the user is.
        self.config.claims.values().for_each(|header| request.remove_header(header));
        let Some(token) = bearer(request) else {
            return Verdict::respond(Reply::new(401).header("www-authenticate", "Bearer").text("a token is needed\n"));
        };
        let now = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        match self.verify(&token, now) {
            Ok(claims) => {
                for (claim, header) in &self.config.claims {
                    match claims.get(claim) {
                        Some(Value::String(text)) => request.set_header(header, without_controls(text)),
                        Some(value) => request.set_header(header, value.to_string()),
                        None => {}
                    }
                }
                Verdict::next()
            }
            Err(why) => {
                // RFC 6750, 3.
                let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{why}\"");
                Verdict::respond(Reply::new(401).header("www-authenticate", challenge).text(format!("{why}\n")))
            }
        }
    }
}

export!(JwtCheck: request);

/// The token of `authorization: Bearer …` (RFC 6750, 2.1). Two of them are none.
fn bearer(request: &Request) -> Option<String> {
    let [value] = &request.header_all("authorization")[..] else { return None };
    let (scheme, token) = value.to_str()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

impl JwtCheck {
    /// The claims of a token that holds, now being so many seconds since 1970.
    fn verify(&self, token: &str, now: f64) -> std::result::Result<Value, Wrong> {
        const MALFORMED: Wrong = "the token is malformed";
        if token.len() > TOKEN_BYTES {
            return Err("the token is too long");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (head, claims) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |part: &str| Base64UrlUnpadded::decode_vec(part).map_err(|_| MALFORMED);
        let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| MALFORMED)?;
        if head.crit.is_some() {
            return Err("the token needs what is not known here");
        }
        let signature = decode(signature)?;
        // The algorithm is that of the key; the token may only name it. So `none` never holds, and a public key is never
        // taken for a secret.
        let mut keys = self.keys.iter().filter(|key| key.may_have_signed(&head.alg, head.kid.as_deref()));
        if !keys.any(|key| key.verifies(signed.as_bytes(), &signature)) {
            return Err("the signature of the token is wrong");
        }
        let claims: Value = serde_json::from_slice(&decode(claims)?).map_err(|_| MALFORMED)?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    /// Checks time, issuer and audience (RFC 7519, 4.1).
    fn check(&self, claims: &Value, now: f64) -> std::result::Result<(), Wrong> {
        let leeway = f64::from(self.config.leeway);
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or("a time of the token is no number"),
        };
        let expires = time("exp")?.ok_or("the token does not say when it expires")?;
        if now >= expires + leeway {
            return Err("the token has expired");
        }
        if time("nbf")?.is_some_and(|begins| now + leeway < begins) {
            return Err("the token is not valid yet");
        }
        if self.config.issuer.as_ref().is_some_and(|issuer| claims.get("iss") != Some(&Value::from(issuer.as_str()))) {
            return Err("the token is of another issuer");
        }
        let is_for = |audience: &String| match claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.contains(&Value::from(audience.as_str())),
            _ => false,
        };
        if !self.config.audience.as_ref().is_none_or(is_for) {
            return Err("the token is for somebody else");
        }
        Ok(())
    }
}

/// A header takes no line breaks, and a claim may have some.
fn without_controls(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests;
