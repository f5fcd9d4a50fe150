//! Tokens that hold, and those that do not.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use tidegate_guest::{Outcome, TestHost};

use super::*;

/// The secret of the tests, in base64url.
const SECRET: &str = "YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyAuLi4";
const MODULUS: &str = "uUkXHhMdhUVdCAYlAX6psE8XVPedOuEkD-MLeZa8nYkei1oDNQ1ZsQYVhiRMqFaEiow6s7pLPur9bxwTarUocRwCgEFilMAzrCmAWyx6_tNMXpSfoIX_yLwfUD2anFMGxVsXc_qwkyuSlTrx4E3V5jwyacIiumUvOqvOgszEruPoEkngW3jCyB9jiLwW_ciWx7fV6yGIipTK25ugpTSiguO7vXQ8xipJv3T8asWRzOUMkRiNmnYQ_i_MoGFWPwYJuCmBE9VgsnTaxiapqYwkq1aD0odQC_uEyHY-mAXBSmtYjAooIvmJRE7mwzwneHBdDGonhgyRO1OhjGAvxHseNw";
const POINT: (&str, &str) =
    ("WjhEik2ojWiytNrU1yxRKuXGssKVjxb6cngYp8K3Zls", "JsFyQB0Gh6yAO6q4pSUW3PUk5SGDsJMF4vycUchUYoY");

// Signed by other tools: issuer https://id.example, audience shop and api, subject ada, until 2100.
const HS256: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImgiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOlsic2hvcCIsImFwaSJdLCJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDB9._dzIr3iBO9gKJPr1_UbC6V1zCHCRGh_SaexGVzWi5sA";
const RS256: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOlsic2hvcCIsImFwaSJdLCJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDB9.XGJIgsux-SbrIm4KVqU7jdctLdoZFMC5QP6C8B-t3DZsw_cuZV4oi1rE5wjpOiKD-FqucjtWqJyGcuSlCCvxpLeFdwSwka4Hru5rjOChoo8kMmnrPI1YNMprlHGnOYr42Y22LHfjQn4dMO_h0DAZhTWEjQPgSRCFlRt7vWJr2tUiz9cZS1yr7pwk2tWluhLfJUpCYlWHlGZRmbmx3pNZqdNABCELLbhJu4xdO_Y0J2UawhxmRlI67COVfnXPJcl8MHq4mFzDK55Z3AQ5_lb142eQdsPei2Xg6abO6-WASXLHhyTL3PSw02_Qp4rogYEupZoa0rxWJQYftVuOGfthcg";
const ES256: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOlsic2hvcCIsImFwaSJdLCJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDB9.I3JG4OyctP-nuMFFZNMd4PnzX4GL-hBnrgrEeoGPq3aeXWineBIQJi871onZyWuQ_goshMyjJgFBeijOf7nZ2w";

fn host() -> TestHost {
    TestHost::new().config(json!({
        "key": [
            {"kty": "oct", "kid": "h", "k": SECRET},
            {"kty": "RSA", "kid": "r", "alg": "RS256", "n": MODULUS, "e": "AQAB", "use": "sig"},
            {"kty": "EC", "kid": "e", "crv": "P-256", "x": POINT.0, "y": POINT.1},
        ],
        "issuer": "https://id.example",
        "audience": "api",
        "claims": {"sub": "x-user", "level": "x-level"},
    }))
}

fn send(token: &str) -> Outcome {
    host().header("authorization", format!("Bearer {token}")).header("x-user", "admin").run::<JwtCheck>()
}

/// A token of these parts, signed with the secret.
fn signed(head: &Value, claims: &Value) -> String {
    let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let message = format!("{}.{}", part(head), part(claims));
    let secret = Base64UrlUnpadded::decode_vec(SECRET).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap().chain_update(&message).finalize();
    format!("{message}.{}", Base64UrlUnpadded::encode_string(&mac.into_bytes()))
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "api", "sub": "ada", "exp": 1_767_225_700})
}

/// The answer to a token with these claims.
fn told(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    let outcome = send(&signed(&json!({"alg": "HS256"}), &claims));
    String::from_utf8_lossy(outcome.response_body()).trim().to_owned()
}

#[test]
fn tokens_of_all_three_algorithms_hold() {
    for token in [HS256, RS256, ES256] {
        let outcome = send(token);
        assert_eq!(outcome.status(), 200, "{token}");
        assert_eq!(outcome.request_header_all("x-user"), ["ada"]);
    }
}

#[test]
fn a_changed_token_does_not() {
    for token in [HS256, RS256, ES256] {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (head, _) = message.split_once('.').unwrap();
        let other =
            Base64UrlUnpadded::encode_string(json!({"sub": "eve", "exp": 4_102_444_800_u64}).to_string().as_bytes());
        let mut bytes = Base64UrlUnpadded::decode_vec(signature).unwrap();
        bytes[10] ^= 1;
        let flipped = Base64UrlUnpadded::encode_string(&bytes);
        for bad in [
            format!("{head}.{other}.{signature}"),
            format!("{message}.{flipped}"),
            format!("{message}."),
            message.to_owned(),
            format!("{token}.x"),
            format!("{token}="),
            String::new(),
        ] {
            let outcome = send(&bad);
            assert_eq!((outcome.status(), outcome.request_header("x-user")), (401, None), "{bad}");
            assert!(outcome.response_header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""));
        }
    }
}

#[test]
fn a_token_does_not_choose_its_algorithm() {
    let part = |value: Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    for alg in ["none", "None", "hs256", "HS384", ""] {
        let bare = format!("{}.{}.", part(json!({"alg": alg})), part(claims()));
        assert_eq!(send(&bare).status(), 401, "{alg}");
        assert_eq!(send(&signed(&json!({"alg": alg}), &claims())).status(), 401, "{alg}");
    }
    // The public key as a secret: what is signed with it is no HS256 token.
    let head = json!({"alg": "HS256", "kid": "r"});
    let message = format!("{}.{}", part(head), part(claims()));
    let modulus = Base64UrlUnpadded::decode_vec(MODULUS).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(&modulus).unwrap().chain_update(&message).finalize();
    let confused = format!("{message}.{}", Base64UrlUnpadded::encode_string(&mac.into_bytes()));
    assert_eq!(send(&confused).status(), 401);
    assert_eq!(send(&signed(&json!({"alg": "HS256", "kid": "r"}), &claims())).status(), 401, "another key's name");
    assert_eq!(send(&signed(&json!({"alg": "HS256", "crit": ["b64"]}), &claims())).status(), 401);
    assert_eq!(send(&signed(&json!({"alg": "HS256"}), &claims())).status(), 200);
}

#[test]
fn claims_are_checked() {
    assert_eq!(told(|_| ()), "");
    assert_eq!(told(|claims| claims["exp"] = 1_767_225_570.into()), "the token has expired");
    assert_eq!(told(|claims| claims["exp"] = 1_767_225_571.into()), "", "clocks may differ");
    assert_eq!(told(|claims| claims["exp"] = "never".into()), "a time of the token is no number");
    assert_eq!(told(|claims| claims["exp"] = Value::Null), "a time of the token is no number");
    assert_eq!(told(|claims| claims["nbf"] = 1_767_225_631.into()), "the token is not valid yet");
    assert_eq!(told(|claims| claims["nbf"] = 1_767_225_630.into()), "");
    assert_eq!(told(|claims| claims["iss"] = "https://other.example".into()), "the token is of another issuer");
    assert_eq!(told(|claims| claims["aud"] = json!(["shop"])), "the token is for somebody else");
    assert_eq!(told(|claims| claims["aud"] = 5.into()), "the token is for somebody else");
    let without_end = signed(&json!({"alg": "HS256"}), &json!({"iss": "https://id.example", "aud": "api"}));
    assert_eq!(send(&without_end).response_body(), b"the token does not say when it expires\n");
}

#[test]
fn time_passes() {
    let gateway = host().start::<JwtCheck>();
    let token = signed(&json!({"alg": "HS256"}), &claims());
    let status = || gateway.send(|host| host.header("authorization", format!("bearer {token}"))).status();
    assert_eq!(status(), 200);
    gateway.advance(Duration::from_secs(130));
    assert_eq!(status(), 401);
}

#[test]
fn without_a_token_one_is_asked_for() {
    for host in [
        host(),
        host().header("authorization", "Basic YTpi"),
        host().header("authorization", format!("Bearer {HS256}")).header("authorization", "Bearer x"),
    ] {
        let outcome = host.header("x-user", "admin").run::<JwtCheck>();
        assert_eq!(outcome.status(), 401);
        assert_eq!(outcome.response_header("www-authenticate"), Some("Bearer"));
        assert_eq!(outcome.request_header("x-user"), None);
    }
}

#[test]
fn claims_reach_the_server_as_they_are() {
    let with = |claim: Value| {
        let mut claims = claims();
        claims["level"] = claim;
        send(&signed(&json!({"alg": "HS256"}), &claims)).request_header("x-level").map(str::to_owned)
    };
    assert_eq!(with(json!(5)).as_deref(), Some("5"));
    assert_eq!(with(json!(["a", "b"])).as_deref(), Some(r#"["a","b"]"#));
    assert_eq!(with(json!("a\r\nx-admin: 1")).as_deref(), Some("ax-admin: 1"), "no line breaks");
}

#[test]
fn a_bad_key_says_what_to_change() {
    let refused = |key: Value| {
        let host = TestHost::new().config(json!({"key": key}));
        host.try_run::<JwtCheck>().unwrap_err().to_string()
    };
    assert_eq!(
        refused(json!({"kty": "oct", "k": "c2hvcnQ"})),
        "the key `without kid`: the secret is short: take 32 bytes or more"
    );
    assert_eq!(refused(json!({"kty": "oct", "kid": "a"})), "the key `a`: `k` is missing, or no base64url");
    assert_eq!(
        refused(json!({"kty": "oct", "kid": "a", "k": SECRET, "alg": "RS256"})),
        "the key `a`: `alg` is `RS256`, and such a key is for HS256"
    );
    assert_eq!(
        refused(json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})),
        "the key `without kid`: the modulus is short: take 2048 bits or more"
    );
    assert_eq!(
        refused(json!({"kty": "EC", "crv": "P-521"})),
        "the key `without kid`: only the curve P-256 is known here"
    );
    assert_eq!(
        refused(json!({"kty": "EC", "crv": "P-256", "x": POINT.0, "y": POINT.0})),
        "the key `without kid`: it is no point of P-256"
    );
    assert!(refused(json!([])).starts_with("there is no key"));
}
