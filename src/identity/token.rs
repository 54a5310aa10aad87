//! Opaque tokens: 256 bits of chance, of which only the SHA-256 is ever kept.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};

use crate::base::{Ambient, SecretValue};

/// What a session's token begins with, so that scanners for leaked credentials know it.
pub const TOKEN_PREFIX: &str = "pc_";

/// A new token: `prefix` and 43 characters of base64url.
pub(super) fn new_token(ambient: &Ambient, prefix: &str) -> SecretValue {
    SecretValue::from(format!("{prefix}{}", BASE64URL_NOPAD.encode(&ambient.bytes::<32>())))
}

/// The only form in which a token is stored or looked up.
pub(super) fn hash_of(token: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

/// The S256 code challenge of a PKCE verifier (RFC 7636, section 4.2).
pub(super) fn challenge_of(verifier: &str) -> String {
    BASE64URL_NOPAD.encode(&hash_of(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge_of(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
