//! Verifying an ID token (OpenID Connect Core 1.0, section 3.1.3.7, and section 3.1.3.8 for `at_hash`).
//!
//! The crate checks the signature, `iss`, `aud`, `exp` and `nonce`; what it leaves to its user is here:
//! the list of algorithms, skew, `iat`, `azp`, `at_hash`, and the proofs of a step-up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use openidconnect::{
    ClaimsVerificationError, ClientId, IssuerUrl, Nonce, NonceVerifier as _, SignatureVerificationError,
    core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use ring::digest::{SHA256, SHA512, digest};
use serde_json::{Map, Value};

use crate::base::Timestamp;

/// How far the provider's clock may be from ours.
pub(in crate::identity) const SKEW: Duration = Duration::from_mins(1);
/// How long ago an ID token may have been issued: it comes straight from the token endpoint.
pub(super) const FRESH: Duration = Duration::from_mins(10);

/// What is believed, whatever discovery says: never `none`, never an HMAC.
pub(super) const ALGORITHMS: [CoreJwsSigningAlgorithm; 4] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What an ID token has to fit.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// That of the sign-in; nothing where a provider was asked again and no browser was sent there.
    pub(super) nonce: Option<&'a str>,
    pub(super) access_token: &'a str,
    /// The oldest sign-in that will do, where one was asked for.
    pub(super) max_age: Option<Duration>,
    /// The classes of which one was asked for; empty where any will do.
    pub(super) acr_values: &'a [String],
    pub(super) now: Timestamp,
}

/// Why an ID token is not believed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::identity) enum Disbelief {
    /// It is signed by a key that we do not have: the provider may have new ones.
    UnknownKey,
    /// It is not what it should be.
    Wrong(&'static str),
    /// It is for another sign-in than this.
    OtherSignIn,
    /// It is right, but the sign-in is too old or too weak for what was asked.
    TooWeak(&'static str),
}

/// The claims of a token that fits.
pub(super) fn verify(
    token: &CoreIdToken,
    keys: &CoreJsonWebKeySet,
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, Disbelief> {
    let issuer = IssuerUrl::new(expected.issuer.to_owned()).map_err(|_| Disbelief::Wrong("bad issuer"))?;
    let now = expected.now;
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(expected.client_id.to_owned()),
        issuer,
        keys.clone(),
    )
    .set_allowed_algs(ALGORITHMS)
    // Other audiences are looked at below, together with `azp`.
    .set_other_audience_verifier_fn(|_| true)
    .set_time_fn(move || at(now.before(SKEW)))
    .set_issue_time_verifier_fn(move |issued| {
        let in_window = issued <= at(now.after(SKEW)) && issued >= at(now.before(FRESH + SKEW));
        if in_window { Ok(()) } else { Err(String::new()) }
    });
    let of_this_sign_in = |nonce: Option<&Nonce>| match expected.nonce {
        None => Ok(()),
        Some(wanted) => (&Nonce::new(wanted.to_owned())).verify(nonce),
    };
    token.claims(&verifier, of_this_sign_in).map_err(|error| disbelief(&error))?;
    let claims = payload(token).ok_or(Disbelief::Wrong("its claims cannot be read"))?;
    check_party(&claims, expected.client_id)?;
    check_access_token(token, &claims, expected.access_token)?;
    check_step_up(&claims, expected)?;
    Ok(claims)
}

fn at(time: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.as_millis()).unwrap_or_default()
}

fn disbelief(error: &ClaimsVerificationError) -> Disbelief {
    match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            Disbelief::UnknownKey
        }
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::DisallowedAlg(_)) => {
            Disbelief::Wrong("it is signed by an algorithm that is not believed")
        }
        ClaimsVerificationError::SignatureVerification(_) => Disbelief::Wrong("its signature does not fit"),
        ClaimsVerificationError::Expired(_) => {
            Disbelief::Wrong("it has expired, or was issued at another time than now")
        }
        ClaimsVerificationError::InvalidAudience(_) => Disbelief::Wrong("it is for another audience"),
        ClaimsVerificationError::InvalidIssuer(_) => Disbelief::Wrong("it is from another issuer"),
        ClaimsVerificationError::InvalidNonce(_) => Disbelief::OtherSignIn,
        _ => Disbelief::Wrong("it is no ID token that we understand"),
    }
}

/// The claims as they were signed. Only ever called after the signature was verified.
fn payload(token: &CoreIdToken) -> Option<Map<String, Value>> {
    let text = token.to_string();
    let payload = BASE64URL_NOPAD.decode(text.split('.').nth(1)?.as_bytes()).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// `azp` has to be there where there are several audiences, and to be us wherever it is.
fn check_party(claims: &Map<String, Value>, client_id: &str) -> Result<(), Disbelief> {
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|audiences| audiences.len() > 1);
    match claims.get("azp") {
        None if several => Err(Disbelief::Wrong("it is for several audiences and names no party")),
        None => Ok(()),
        Some(party) if party.as_str() == Some(client_id) => Ok(()),
        Some(_) => Err(Disbelief::Wrong("it is for another party")),
    }
}

fn check_access_token(
    token: &CoreIdToken,
    claims: &Map<String, Value>,
    access_token: &str,
) -> Result<(), Disbelief> {
    let Some(claimed) = claims.get("at_hash") else { return Ok(()) };
    let algorithm = match token.signing_alg() {
        Ok(CoreJwsSigningAlgorithm::EdDsa) => &SHA512,
        Ok(_) => &SHA256,
        Err(_) => return Err(Disbelief::Wrong("its signature does not fit")),
    };
    let hash = digest(algorithm, access_token.as_bytes());
    let half = &hash.as_ref()[..hash.as_ref().len() / 2];
    if claimed.as_str() == Some(BASE64URL_NOPAD.encode(half).as_str()) {
        return Ok(());
    }
    Err(Disbelief::Wrong("it does not belong to the access token"))
}

/// RFC 9470: what was asked for is verified here, not believed of the provider.
fn check_step_up(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Disbelief> {
    let authenticated = authenticated_at(claims);
    if authenticated.is_some_and(|time| time > expected.now.after(SKEW)) {
        return Err(Disbelief::Wrong("it says that the person will sign in later"));
    }
    if let Some(max_age) = expected.max_age {
        match authenticated {
            None => return Err(Disbelief::TooWeak("it does not say when the person signed in")),
            Some(time) if time.after(max_age + SKEW) < expected.now => {
                return Err(Disbelief::TooWeak("the person signed in too long ago"));
            }
            Some(_) => {}
        }
    }
    let acr = claims.get("acr").and_then(Value::as_str);
    let fits = acr.is_some_and(|acr| expected.acr_values.iter().any(|wanted| wanted == acr));
    if expected.acr_values.is_empty() || fits {
        return Ok(());
    }
    Err(Disbelief::TooWeak("the person signed in by weaker means"))
}

/// When the provider says that the person proved who she is.
pub(super) fn authenticated_at(claims: &Map<String, Value>) -> Option<Timestamp> {
    let seconds = claims.get("auth_time")?.as_i64()?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}
