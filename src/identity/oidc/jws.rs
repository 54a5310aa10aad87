//! Tokens of a provider that are no ID tokens, and those of workloads, signed by keys that are published
//! (RFC 7515).

use data_encoding::BASE64URL_NOPAD;
use openidconnect::{
    JsonWebKey as _, JsonWebKeyAlgorithm, JsonWebKeyUse as _, JwsSigningAlgorithm as _,
    core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::verify::{ALGORITHMS, Disbelief};

/// Longest token that is looked at.
const LONGEST: usize = 16 * 1024;

#[derive(Deserialize)]
struct Header {
    alg: CoreJwsSigningAlgorithm,
    kid: Option<String>,
    typ: Option<String>,
    /// What has to be understood and is not, since nothing is.
    crit: Option<Value>,
}

/// A token whose signature fits.
pub(in crate::identity) struct Signed {
    /// What sort of token it says that it is.
    pub(in crate::identity) typ: Option<String>,
    /// Its claims.
    pub(in crate::identity) claims: Map<String, Value>,
}

/// The claims of a token that one of these keys has signed, by an algorithm that is believed.
pub(in crate::identity) fn signed(token: &str, keys: &CoreJsonWebKeySet) -> Result<Signed, Disbelief> {
    let unreadable = Disbelief::Wrong("it is no signed token that we understand");
    let parts: Vec<&str> = token.split('.').take(4).collect();
    let [header, claims, signature] = parts[..] else { return Err(unreadable) };
    let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
    let read = |part: &str| decoded(part).filter(|_| token.len() <= LONGEST);
    let header: Option<Header> = read(header).and_then(|it| serde_json::from_slice(&it).ok());
    let (Some(header), Some(signature)) = (header, decoded(signature)) else { return Err(unreadable) };
    if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
        return Err(Disbelief::Wrong("it is signed by an algorithm that is not believed"));
    }
    let message = &token.as_bytes()[..token.rfind('.').unwrap_or_default()];
    let candidates: Vec<_> = keys.keys().iter().filter(|key| is_meant(key, &header)).collect();
    if candidates.is_empty() {
        return Err(Disbelief::UnknownKey);
    }
    if !candidates.iter().any(|key| key.verify_signature(&header.alg, message, &signature).is_ok()) {
        return Err(Disbelief::Wrong("its signature does not fit"));
    }
    let claims = decoded(claims).and_then(|it| serde_json::from_slice(&it).ok());
    claims.map(|claims| Signed { typ: header.typ, claims }).ok_or(unreadable)
}

fn is_meant(key: &CoreJsonWebKey, header: &Header) -> bool {
    let by_id = header.kid.as_ref().is_none_or(|kid| key.key_id().is_some_and(|id| id.as_str() == kid));
    let signs = key.key_use().is_none_or(openidconnect::core::CoreJsonWebKeyUse::allows_signature);
    let of_type = header.alg.key_type().as_ref() == Some(key.key_type());
    let for_algorithm = match key.signing_alg() {
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Algorithm(own) => *own == header.alg,
        JsonWebKeyAlgorithm::Unsupported => false,
    };
    by_id && signs && of_type && for_algorithm
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn keys() -> CoreJsonWebKeySet {
        let x = BASE64URL_NOPAD.encode(key().public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "k1", "x": x });
        serde_json::from_value(json!({ "keys": [jwk] })).unwrap()
    }

    fn token() -> String {
        let encode = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let header = encode(json!({ "alg": "EdDSA", "kid": "k1", "typ": "logout+jwt" }));
        let signed = format!("{header}.{}", encode(json!({ "iss": "https://idp.example.com", "jti": "j" })));
        let signature = BASE64URL_NOPAD.encode(key().sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }

    #[test]
    fn what_was_signed_is_read() {
        let read = signed(&token(), &keys()).unwrap();
        assert_eq!((read.typ.as_deref(), &read.claims["jti"]), (Some("logout+jwt"), &json!("j")));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_believed_that_nobody_signed(text in "\\PC{0,200}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,60}", 0..5)) {
            prop_assert!(signed(&text, &keys()).is_err());
            prop_assert!(signed(&parts.join("."), &keys()).is_err());
        }

        #[test]
        fn abuse_21_no_change_of_a_token_is_believed(at in any::<prop::sample::Index>(), put in "[A-Za-z0-9_.-]?") {
            let honest = token();
            let at = at.index(honest.len());
            let mut changed = honest.clone();
            changed.replace_range(at..=at, &put);
            prop_assume!(changed != honest);
            prop_assert!(signed(&changed, &keys()).is_err());
        }
    }
}
