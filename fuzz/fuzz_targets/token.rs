//! A token that nobody signed is never believed, whatever it says.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openidconnect::core::CoreJsonWebKeySet;
use port_control::{
    base::Timestamp,
    identity::jwt::{Expected, verify},
};

/// A key whose other half is nobody's: any point of the curve is one.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","alg":"ES256","use":"sig",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
static READ: LazyLock<CoreJsonWebKeySet> =
    LazyLock::new(|| serde_json::from_str(KEYS).expect("the keys are well-formed"));

fuzz_target!(|text: &str| {
    let expected =
        Expected { issuer: "https://issuer.invalid", audience: "https://us.invalid", now: Timestamp::EPOCH };
    assert!(verify(text, &READ, expected).is_err());
});
