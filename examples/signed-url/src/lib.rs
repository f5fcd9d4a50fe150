//! Lets requests in whose URL is signed and has not expired.
//!
//! The signature is the last parameter: `signature=HEX`, the HMAC-SHA-256 of method, a blank, and the path and query before it, such
//! as `GET /files/a.pdf?expires=1767225660`.

use std::time::UNIX_EPOCH;

use hmac_sha256::HMAC;
use serde::Deserialize;
use tidegate_guest::config::Many;
use tidegate_guest::{Error, Filter, Reply, Request, Result, Verdict, clock, export};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The keys that may have signed; several while they are changed.
    key: Many<String>,
}

/// The extension.
pub struct SignedUrl(Vec<String>);

/// The least length of a key, in bytes: shorter ones can be guessed.
const KEY_BYTES: usize = 16;

impl Filter for SignedUrl {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        let keys = config.key.into_vec();
        if keys.is_empty() || keys.iter().any(|key| key.len() < KEY_BYTES) {
            return Err(Error::new(format!("a key is missing or short: write {KEY_BYTES} bytes or more")));
        }
        Ok(Self(keys))
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        match self.check(request) {
            // The server is not to see what is ours.
            Ok(rest) => {
                request.set_query(rest.as_deref());
                Verdict::next()
            }
            Err(why) => Verdict::respond(Reply::new(403).text(format!("{why}\n"))),
        }
    }
}

export!(SignedUrl: request);

impl SignedUrl {
    /// The query without `expires` and `signature`, if the URL is good.
    fn check(&self, request: &Request) -> std::result::Result<Option<String>, &'static str> {
        const UNSIGNED: &str = "the link is not signed";
        let query = request.query().ok_or(UNSIGNED)?;
        let (signed, signature) = query.rsplit_once("&signature=").ok_or(UNSIGNED)?;
        let signature = from_hex(signature).ok_or(UNSIGNED)?;
        // Whoever may get a file may ask for its head.
        let method = Some(request.method()).filter(|method| method != "HEAD").unwrap_or_else(|| "GET".to_owned());
        let message = format!("{method} {}?{signed}", request.path());
        if !self.0.iter().any(|key| HMAC::verify(&message, key, &signature)) {
            return Err("the signature of the link is wrong");
        }
        let expires = signed.split('&').find_map(|pair| pair.strip_prefix("expires="));
        let expires: u64 = expires.and_then(|text| text.parse().ok()).ok_or("the link does not say when it expires")?;
        let now = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if now >= expires {
            return Err("the link has expired");
        }
        let rest: Vec<&str> = signed.split('&').filter(|pair| !pair.starts_with("expires=")).collect();
        Ok(Some(rest.join("&")).filter(|rest| !rest.is_empty()))
    }
}

/// 32 bytes from 64 digits.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::{Duration, SystemTime};

    use tidegate_guest::{Outcome, TestHost};

    use super::*;

    const OLD: &str = "the old key of the shop";
    const NEW: &str = "the new key of the shop";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn sign(key: &str, method: &str, target: &str) -> String {
        let mac = HMAC::mac(format!("{method} {target}"), key);
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{target}&signature={hex}")
    }

    fn get(target: &str) -> Outcome {
        let host = TestHost::new().config(format!(r#"{{"key": ["{NEW}", "{OLD}"]}}"#)).now(at(1000));
        host.target(target).run::<SignedUrl>()
    }

    #[test]
    fn a_signed_link_is_good_until_it_expires() {
        for key in [NEW, OLD] {
            let outcome = get(&sign(key, "GET", "/files/a?page=2&expires=1001"));
            assert_eq!((outcome.status(), outcome.query()), (200, Some("page=2")));
        }
        assert_eq!(get(&sign(NEW, "GET", "/files/a?expires=1001")).query(), None);
        assert_eq!(get(&sign(NEW, "GET", "/files/a?expires=1000")).status(), 403);
    }

    #[test]
    fn what_was_changed_is_refused() {
        let good = sign(NEW, "GET", "/files/a?expires=1001");
        for bad in [
            "/files/a".to_owned(),
            "/files/a?expires=1001".to_owned(),
            good.replace("/a", "/b"),
            good.replace("1001", "1002"),
            good.replace("?", "?x=1&"),
            format!("{good}&x=1"),
            format!("{good}00"),
            sign("another key of a shop", "GET", "/files/a?expires=1001"),
            sign(NEW, "PUT", "/files/a?expires=1001"),
            sign(NEW, "GET", "/files/a?page=1"),
        ] {
            assert_eq!(get(&bad).status(), 403, "{bad}");
        }
    }

    #[test]
    fn a_head_is_as_good_as_a_get() {
        let host = TestHost::new().config(format!(r#"{{"key": "{NEW}"}}"#)).now(at(1000));
        let target = sign(NEW, "GET", "/files/a?expires=1001");
        assert_eq!(host.clone().method("HEAD").target(&target).run::<SignedUrl>().status(), 200);
        assert_eq!(host.method("DELETE").target(&target).run::<SignedUrl>().status(), 403);
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = TestHost::new().config(r#"{"key": "short"}"#).try_run::<SignedUrl>().unwrap_err().to_string();
        assert_eq!(refused, "a key is missing or short: write 16 bytes or more");
    }
}
