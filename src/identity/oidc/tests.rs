//! An ID token that lies in one way each is not believed.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::{CoreIdToken, CoreJsonWebKeySet};
use ring::{
    digest::{SHA512, digest},
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Map, Value, json};

use super::{
    claims,
    verify::{Disbelief, Expected, verify},
};
use crate::base::{ProblemKind, Timestamp, config::ProviderConfig};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example.com";
const NONCE: &str = "n-0S6_WzA2Mj";
const ACCESS_TOKEN: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn keys() -> CoreJsonWebKeySet {
    let x = BASE64URL_NOPAD.encode(key().public_key().as_ref());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1", "x": x });
    serde_json::from_value(json!({ "keys": [jwk] })).unwrap()
}

fn honest() -> Map<String, Value> {
    let half = digest(&SHA512, ACCESS_TOKEN.as_bytes());
    let claims = json!({
        "iss": ISSUER, "sub": "dana", "aud": "port-control", "nonce": NONCE,
        "iat": NOW, "exp": NOW + 300, "auth_time": NOW - 10, "acr": "urn:two-factors",
        "at_hash": BASE64URL_NOPAD.encode(&half.as_ref()[..32]),
    });
    claims.as_object().unwrap().clone()
}

fn with(claim: &str, value: impl Into<Value>) -> Map<String, Value> {
    let mut claims = honest();
    claims.insert(claim.to_owned(), value.into());
    claims
}

fn unsigned(header: &Value, claims: &Map<String, Value>) -> String {
    let claims = Value::Object(claims.clone());
    let [header, claims] = [header, &claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
    format!("{header}.{claims}")
}

fn signed(claims: &Map<String, Value>) -> String {
    signed_as("k1", claims)
}

fn signed_as(kid: &str, claims: &Map<String, Value>) -> String {
    let text = unsigned(&json!({ "alg": "EdDSA", "kid": kid }), claims);
    let signature = BASE64URL_NOPAD.encode(key().sign(text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        client_id: "port-control",
        nonce: Some(NONCE),
        access_token: ACCESS_TOKEN,
        max_age: None,
        acr_values: &[],
        now: Timestamp::from_millis(NOW * 1000),
    }
}

/// What becomes of a token; one that cannot even be read counts as wrong.
fn outcome(token: &str, expected: &Expected<'_>) -> Result<Map<String, Value>, Disbelief> {
    let token: CoreIdToken = token.parse().map_err(|_| Disbelief::Wrong("unreadable"))?;
    verify(&token, &keys(), expected)
}

fn is_wrong(token: &str) -> bool {
    matches!(outcome(token, &expected()), Err(Disbelief::Wrong(_)))
}

#[test]
fn an_honest_token_is_believed_and_clocks_may_differ_by_a_minute() {
    assert_eq!(outcome(&signed(&honest()), &expected()).unwrap()["sub"], "dana");
    for seconds in [-55, 55, 355] {
        let mut expected = expected();
        expected.now = Timestamp::from_millis((NOW + seconds) * 1000);
        assert!(outcome(&signed(&honest()), &expected).is_ok(), "{seconds}");
    }
}

#[test]
fn abuse_21_alg_none_is_not_believed() {
    let text = unsigned(&json!({ "alg": "none" }), &honest());
    assert!(is_wrong(&format!("{text}.")));
    assert!(is_wrong(&format!("{text}.AA")));
    let kid = unsigned(&json!({ "alg": "none", "kid": "k1" }), &honest());
    assert!(is_wrong(&format!("{kid}.")));
}

#[test]
fn abuse_21_an_hmac_by_the_public_key_is_not_believed() {
    let text = unsigned(&json!({ "alg": "HS256", "kid": "k1" }), &honest());
    let public = hmac::Key::new(hmac::HMAC_SHA256, key().public_key().as_ref());
    let signature = BASE64URL_NOPAD.encode(hmac::sign(&public, text.as_bytes()).as_ref());
    assert!(is_wrong(&format!("{text}.{signature}")));
}

#[test]
fn abuse_21_an_unknown_key_is_told_apart_from_a_wrong_signature() {
    assert_eq!(outcome(&signed_as("other", &honest()), &expected()), Err(Disbelief::UnknownKey));
    let mut forged = signed(&honest());
    let last = if forged.ends_with('A') { 'Q' } else { 'A' };
    forged.replace_range(forged.len() - 5..forged.len() - 4, &last.to_string());
    assert!(is_wrong(&forged));
}

#[test]
fn abuse_22_a_token_of_another_sign_in_is_refused() {
    assert_eq!(outcome(&signed(&with("nonce", "another")), &expected()), Err(Disbelief::OtherSignIn));
    let mut without = honest();
    without.remove("nonce");
    assert_eq!(outcome(&signed(&without), &expected()), Err(Disbelief::OtherSignIn));
}

#[test]
fn abuse_22_a_token_of_another_issuer_audience_party_or_access_token_is_not_believed() {
    for (claim, value) in [
        ("iss", json!("https://evil.example.com")),
        ("iss", json!("https://idp.example.com/")),
        ("aud", json!("another-client")),
        ("aud", json!(["port-control", "another-client"])),
        ("azp", json!("another-client")),
        ("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        ("at_hash", json!(7)),
    ] {
        assert!(is_wrong(&signed(&with(claim, value.clone()))), "{claim} = {value}");
    }
    let mut several = with("aud", json!(["port-control", "another-client"]));
    several.insert("azp".to_owned(), json!("port-control"));
    assert!(outcome(&signed(&several), &expected()).is_ok());
}

#[test]
fn a_token_from_another_time_is_not_believed() {
    for (claim, seconds) in [("exp", -61), ("iat", 120), ("iat", -3600), ("auth_time", 3600)] {
        assert!(is_wrong(&signed(&with(claim, NOW + seconds))), "{claim} {seconds}");
    }
}

#[test]
fn abuse_23_step_up_answered_with_an_old_sign_in_is_too_weak() {
    let asks = Expected { max_age: Some(Duration::from_mins(5)), ..expected() };
    assert!(outcome(&signed(&honest()), &asks).is_ok());
    let old = signed(&with("auth_time", NOW - 3600));
    assert!(matches!(outcome(&old, &asks), Err(Disbelief::TooWeak(_))));
    let mut silent = honest();
    silent.remove("auth_time");
    assert!(matches!(outcome(&signed(&silent), &asks), Err(Disbelief::TooWeak(_))));
    assert!(outcome(&old, &expected()).is_ok());
}

#[test]
fn abuse_23_step_up_answered_with_a_weaker_class_is_too_weak() {
    let wanted = ["urn:two-factors".to_owned()];
    let asks = Expected { acr_values: &wanted, ..expected() };
    assert!(outcome(&signed(&honest()), &asks).is_ok());
    for weaker in [json!("urn:password"), json!(null)] {
        let token = signed(&with("acr", weaker));
        assert!(matches!(outcome(&token, &asks), Err(Disbelief::TooWeak(_))));
    }
}

fn provider(issuer: &str) -> ProviderConfig {
    ProviderConfig {
        name: "company".parse().unwrap(),
        issuer: issuer.to_owned(),
        client_id: "port-control".to_owned(),
        client_secret: None,
        groups_claim: "groups".to_owned(),
        name_claim: "name".to_owned(),
        scopes: vec!["openid".to_owned()],
        email_domains: vec!["example.com".to_owned()],
        acr: Vec::new(),
        required_acr: Vec::new(),
        revalidate: false,
    }
}

fn said(claims: &Value) -> crate::base::Result<claims::Said> {
    claims::read(claims.as_object().unwrap(), &provider(ISSUER))
}

#[test]
fn abuse_01_and_07_an_address_is_kept_only_verified_and_of_the_providers_own_domains() {
    let email = |email: &str, verified: Value| {
        said(&json!({ "sub": "x", "email": email, "email_verified": verified })).unwrap().email
    };
    assert_eq!(email("Dana@Example.com", json!(true)).as_deref(), Some("dana@example.com"));
    assert_eq!(email("dana@example.com", json!("true")).as_deref(), Some("dana@example.com"));
    for (address, verified) in [
        ("dana@example.com", json!(false)),
        ("dana@example.com", json!("false")),
        ("dana@example.com", json!(null)),
        ("dana@example.org", json!(true)),
        ("dana@evil.com@example.org", json!(true)),
        ("<b>@example.com", json!(true)),
    ] {
        assert_eq!(email(address, verified.clone()), None, "{address} {verified}");
    }
}

#[test]
fn abuse_02_entra_people_are_accounts_of_their_tenant_and_their_mail_claim_is_not_believed() {
    let config = provider("https://login.microsoftonline.com/tenant-1/v2.0");
    let claims = |tid: &str| {
        json!({ "sub": "pairwise", "oid": "object-1", "tid": tid, "email": "ada@example.com",
                "email_verified": true, "preferred_username": "dana@example.com" })
    };
    let read = |tid: &str| claims::read(claims(tid).as_object().unwrap(), &config);
    let own = read("tenant-1").unwrap();
    assert_eq!((own.subject.as_str(), own.email.as_deref()), ("oid:object-1", Some("dana@example.com")));
    assert!(read("tenant-2").unwrap_err().is(ProblemKind::ProviderFault));
}

#[test]
fn groups_that_were_left_out_are_neither_none_nor_as_before() {
    for marker in [
        json!({ "sub": "x", "_claim_names": { "groups": "src1" } }),
        json!({ "sub": "x", "hasgroups": true }),
        json!({ "sub": "x", "hasgroups": "true", "groups": ["some"] }),
    ] {
        let problem = said(&marker).unwrap_err();
        assert!(problem.is(ProblemKind::SignInRefused) && problem.remedy.is_some());
    }
    for nonsense in
        [json!({ "sub": "x", "groups": [1] }), json!({ "sub": "x", "groups": { "a": 1 } }), json!({})]
    {
        assert!(said(&nonsense).unwrap_err().is(ProblemKind::ProviderFault));
    }
    assert!(said(&json!({ "sub": "x" })).unwrap().groups.is_empty());
    assert_eq!(said(&json!({ "sub": "x", "groups": ["a", "b", "a"] })).unwrap().groups.len(), 2);
}

#[test]
fn abuse_39_a_name_cannot_disturb_a_terminal_or_turn_the_writing() {
    let name = said(&json!({ "sub": "x", "name": "D\u{1b}[31ma\u{202e}na\n" })).unwrap().display_name;
    assert_eq!(name, "D[31mana");
}

#[test]
fn abuse_22_only_paths_of_our_own_are_gone_back_to() {
    for path in ["/", "/whoami", "/requests/req_1?x=1"] {
        assert_eq!(super::local_path(path), path);
    }
    for elsewhere in
        ["", "https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "/a\nb", "evil"]
    {
        assert_eq!(super::local_path(elsewhere), "/", "{elsewhere}");
    }
}
