//! Tokens of a provider that are no ID tokens, signed by the same keys (RFC 7515).

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
pub(super) struct Signed {
    /// What sort of token it says that it is.
    pub(super) typ: Option<String>,
    /// Its claims.
    pub(super) claims: Map<String, Value>,
}

/// The claims of a token that one of these keys has signed, by an algorithm that is believed.
pub(super) fn signed(token: &str, keys: &CoreJsonWebKeySet) -> Result<Signed, Disbelief> {
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
