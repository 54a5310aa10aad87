//! What a signed token that is no ID token has to say (RFC 7519, RFC 8725): whose it is, for whom, and when.

use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::CoreJsonWebKeySet;
use serde_json::{Map, Value};

use super::oidc::{self, SKEW, Signed, signed};
use crate::base::Timestamp;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// What a token has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Whose it has to be.
    pub issuer: &'a str,
    /// Whom it has to be for, perhaps among others.
    pub audience: &'a str,
    /// The time of now.
    pub now: Timestamp,
}

/// A token that fits.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// When it was issued.
    pub issued: Timestamp,
    /// When it ends, where it says so.
    pub ends: Option<Timestamp>,
    /// Everything that it says.
    pub claims: Map<String, Value>,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disbelief {
    /// It is signed by a key that we do not have: the issuer may have new ones.
    UnknownKey,
    /// It is not what it should be.
    Wrong(&'static str),
}

/// What a token says that fits; its signature is looked at before anything else in it.
///
/// # Errors
/// Why it is not believed.
pub fn verify(token: &str, keys: &CoreJsonWebKeySet, expected: Expected<'_>) -> Result<Verified, Disbelief> {
    let Signed { typ, claims } = signed(token, keys).map_err(|why| match why {
        oidc::Disbelief::UnknownKey => Disbelief::UnknownKey,
        oidc::Disbelief::Wrong(what) => Disbelief::Wrong(what),
        _ => Disbelief::Wrong("its signature does not fit"),
    })?;
    if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt")) {
        return Err(Disbelief::Wrong("it is a token of another sort"));
    }
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Disbelief::Wrong("it is from another issuer"));
    }
    if !audiences(&claims).any(|it| it == expected.audience) {
        return Err(Disbelief::Wrong("it is for another audience"));
    }
    let (issued, ends) = check_times(&claims, expected.now)?;
    Ok(Verified { issued, ends, claims })
}

/// Whom a token says that it is for.
pub(super) fn audiences(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let said = match claims.get("aud") {
        Some(Value::Array(several)) => several.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    said.iter().filter_map(Value::as_str)
}

/// What a token says, whoever signed it: to find out whom to ask, or where somebody else has verified it.
pub(super) fn claims_of(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1).filter(|_| token.len() <= LONGEST)?;
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?).ok()
}

/// When it was issued, which it has to say, and when it ends. Clocks may differ by a minute.
fn check_times(
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<(Timestamp, Option<Timestamp>), Disbelief> {
    let issued = time(claims, "iat")?.ok_or(Disbelief::Wrong("it does not say when it was issued"))?;
    let ends = time(claims, "exp")?;
    if issued > now.after(SKEW) {
        return Err(Disbelief::Wrong("it was issued at a time that has yet to come"));
    }
    if time(claims, "nbf")?.is_some_and(|begins| begins > now.after(SKEW)) {
        return Err(Disbelief::Wrong("it is not valid yet"));
    }
    if ends.is_some_and(|ends| ends <= now.before(SKEW)) {
        return Err(Disbelief::Wrong("it has expired"));
    }
    Ok((issued, ends))
}

/// A NumericDate; one that is no number is not passed over.
fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<Timestamp>, Disbelief> {
    let Some(said) = claims.get(claim) else { return Ok(None) };
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, and whole seconds are meant")]
    let seconds = said.as_i64().or_else(|| said.as_f64().map(|it| it as i64));
    let seconds = seconds.ok_or(Disbelief::Wrong("one of its times is no number"))?;
    Ok(Some(Timestamp::from_millis(seconds.saturating_mul(1000))))
}

#[cfg(test)]
mod tests {
    use ring::{
        hmac,
        signature::{Ed25519KeyPair, KeyPair as _},
    };
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://ci.example.com";

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
    }

    fn keys() -> CoreJsonWebKeySet {
        let x = BASE64URL_NOPAD.encode(key().public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "k1", "x": x });
        serde_json::from_value(json!({ "keys": [jwk] })).unwrap()
    }

    fn honest() -> Value {
        json!({ "iss": ISSUER, "aud": ["https://pc.example.com"], "sub": "job", "iat": NOW, "exp": NOW + 300 })
    }

    fn with(claim: &str, value: impl Into<Value>) -> Value {
        let mut claims = honest();
        claims[claim] = value.into();
        claims
    }

    fn text(header: &Value, claims: &Value) -> String {
        let [header, claims] =
            [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
        format!("{header}.{claims}")
    }

    fn signed(header: &Value, claims: &Value) -> String {
        let text = text(header, claims);
        let signature = BASE64URL_NOPAD.encode(key().sign(text.as_bytes()).as_ref());
        format!("{text}.{signature}")
    }

    fn usual(claims: &Value) -> String {
        signed(&json!({ "alg": "EdDSA", "kid": "k1", "typ": "JWT" }), claims)
    }

    fn outcome(token: &str) -> Result<Verified, Disbelief> {
        let now = Timestamp::from_millis(NOW * 1000);
        verify(token, &keys(), Expected { issuer: ISSUER, audience: "https://pc.example.com", now })
    }

    fn is_wrong(token: &str) -> bool {
        matches!(outcome(token), Err(Disbelief::Wrong(_)))
    }

    #[test]
    fn what_an_honest_token_says_is_told() {
        let verified = outcome(&usual(&honest())).unwrap();
        assert_eq!(verified.claims["sub"], "job");
        assert_eq!(verified.ends, Some(Timestamp::from_millis((NOW + 300) * 1000)));
        assert!(
            outcome(&signed(&json!({ "alg": "EdDSA" }), &honest())).is_ok(),
            "no kid: every key is tried"
        );
    }

    #[test]
    fn abuse_21_neither_none_nor_an_hmac_nor_an_unknown_extension_is_believed() {
        let none = text(&json!({ "alg": "none", "kid": "k1" }), &honest());
        assert!(is_wrong(&format!("{none}.")) && is_wrong(&format!("{none}.AA")));
        let hmacked = text(&json!({ "alg": "HS256", "kid": "k1" }), &honest());
        let public = hmac::Key::new(hmac::HMAC_SHA256, key().public_key().as_ref());
        let signature = BASE64URL_NOPAD.encode(hmac::sign(&public, hmacked.as_bytes()).as_ref());
        assert!(is_wrong(&format!("{hmacked}.{signature}")));
        assert!(is_wrong(&signed(&json!({ "alg": "EdDSA", "kid": "k1", "crit": ["b64"] }), &honest())));
    }

    #[test]
    fn abuse_21_an_unknown_key_is_told_apart_from_a_wrong_signature() {
        let other = signed(&json!({ "alg": "EdDSA", "kid": "k2" }), &honest());
        assert_eq!(outcome(&other), Err(Disbelief::UnknownKey));
        let [one, two] = [usual(&honest()), usual(&with("sub", "other"))];
        let (_, signature) = two.rsplit_once('.').unwrap();
        let (signed, _) = one.rsplit_once('.').unwrap();
        assert!(is_wrong(&format!("{signed}.{signature}")));
    }

    #[test]
    fn issuer_audience_and_times_have_to_fit() {
        for (claim, value) in [
            ("iss", json!("https://other.example.com")),
            ("aud", json!("https://other.example.com")),
            ("aud", json!([])),
            ("exp", json!(NOW - 61)),
            ("exp", json!("soon")),
            ("nbf", json!(NOW + 61)),
            ("iat", json!(NOW + 61)),
            ("iat", json!(null)),
        ] {
            assert!(is_wrong(&usual(&with(claim, value.clone()))), "{claim}: {value}");
        }
        assert!(outcome(&usual(&with("exp", NOW - 59))).is_ok(), "clocks may differ");
    }

    #[test]
    fn a_token_of_another_sort_is_none() {
        assert!(is_wrong(&signed(&json!({ "alg": "EdDSA", "kid": "k1", "typ": "logout+jwt" }), &honest())));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for nonsense in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &"a".repeat(LONGEST + 1)] {
            assert!(is_wrong(nonsense), "{nonsense}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_what_was_signed_is_believed(
            at in 0usize..400,
            with in "[A-Za-z0-9_.=+/-]{0,3}",
            noise in ".{0,200}",
        ) {
            let honest = usual(&honest());
            let at = at.min(honest.len());
            let (head, tail) = honest.split_at(at);
            let bent = format!("{head}{with}{}", tail.get(with.len()..).unwrap_or(""));
            if let Ok(verified) = outcome(&bent) {
                // As good as the same bytes: nothing that it says has changed.
                proptest::prop_assert_eq!(verified.claims, outcome(&honest).unwrap().claims);
            }
            proptest::prop_assert!(is_wrong(&noise) || outcome(&noise) == Err(Disbelief::UnknownKey));
            let _ = claims_of(&noise);
        }
    }
}
