//! AES-256-GCM with a random nonce (NIST SP 800-38D): one version byte, 12 bytes of nonce, ciphertext
//! with its tag of 16.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::base::{Ambient, Problem, Result};

const VERSION: u8 = 1;

/// A key that seals.
pub(super) fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key of AES-256"))
}

/// Seals `plain`, bound to `aad`.
pub(super) fn seal(key: &LessSafeKey, ambient: &Ambient, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce = ambient.bytes::<NONCE_LEN>();
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&nonce);
    // The plain text lies here only until it is sealed in place.
    let mut buffer = Zeroizing::new(plain.to_vec());
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer)
        .expect("what is sealed here is far shorter than 64 GiB");
    sealed.extend_from_slice(&buffer);
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

/// Opens what [`seal`] made under the same key and for the same `aad`.
pub(super) fn unseal(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let altered = || Problem::internal("something sealed cannot be opened: altered, or under another key");
    let rest = sealed.strip_prefix(&[VERSION]).ok_or_else(altered)?;
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(altered)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| altered())?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), &mut buffer).map_err(|_| altered())?.len();
    buffer.truncate(length);
    Ok(buffer)
}
