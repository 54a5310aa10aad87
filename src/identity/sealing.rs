//! Sealing what this room keeps: PKCE verifiers and ID tokens.

use zeroize::Zeroizing;

use crate::{base::Result, keys::Keys};

/// What this room needs of the keys.
pub trait Sealing: Send + Sync {
    /// Seals `plain` for `purpose`, bound to `aad`.
    fn seal(&self, purpose: &str, aad: &[u8], plain: &[u8]) -> Vec<u8>;
    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// `internal` where it was made by another key, for another purpose or is altered.
    fn unseal(&self, purpose: &str, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>>;
    /// A keyed digest.
    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32];
}

impl Sealing for Keys {
    fn seal(&self, purpose: &str, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        Self::seal(self, purpose, aad, plain)
    }

    fn unseal(&self, purpose: &str, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        Self::unseal(self, purpose, aad, sealed)
    }

    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        Self::mac(self, purpose, parts)
    }
}
