//! The verifier key of a witness (C2SP tlog-cosignature, "Format"; signed-note, "Verifier keys").

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{Context, SHA256};

use crate::audit::note::is_name;

/// The byte that says "cosignature with a timestamp, by Ed25519" in key ids and keys.
const COSIGNATURE_KIND: u8 = 4;

/// What cosignatures of one witness are verified with, as text `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    public: [u8; 32],
}

impl WitnessKey {
    /// The key of the witness of this name.
    ///
    /// # Errors
    /// Where the name could not stand in a note.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, String> {
        if !is_name(name) {
            return Err(format!("'{}' is no name of a witness: no spaces, no '+'", name.escape_debug()));
        }
        Ok(Self { name: name.to_owned(), public })
    }

    /// Its name: an address without scheme.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key itself.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key), its first four bytes.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut context = Context::new(&SHA256);
        context.update(self.name.as_bytes());
        context.update(&[b'\n', COSIGNATURE_KIND]);
        context.update(&self.public);
        let digest = context.finish();
        let mut id = [0; 4];
        id.copy_from_slice(&digest.as_ref()[..4]);
        id
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![COSIGNATURE_KIND];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for WitnessKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "this is no verifier key of a witness; one looks like NAME+0123abcd+BASE64".to_owned();
        // Base64 may hold a '+', names and ids may not.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let key = STANDARD.decode(key).map_err(|_| wrong())?;
        let public = match key.split_first() {
            Some((&COSIGNATURE_KIND, public)) => public.try_into().map_err(|_| wrong())?,
            Some((&1, _)) => {
                return Err("this is the key of a log, not of a witness: its kind is 1, not 4".to_owned());
            }
            Some((&6, _)) => {
                return Err("witnesses that sign by ML-DSA-44 are not known here, only Ed25519".to_owned());
            }
            _ => return Err(wrong()),
        };
        let key = Self::new(name, public)?;
        if format!("{:08x}", u32::from_be_bytes(key.id())) != id {
            return Err("this verifier key was mistyped: its id does not fit".to_owned());
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = WitnessKey::new("witness.example/w1", [9; 32]).unwrap();
        assert_eq!(key.to_string().parse::<WitnessKey>().unwrap(), key);
        assert!(WitnessKey::new("a b", [0; 32]).is_err());
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let text = WitnessKey::new("w", [9; 32]).unwrap().to_string();
        let log = crate::audit::VerifierKey::new("w", [9; 32]).unwrap().to_string();
        for bad in [text.replacen("w+", "v+", 1), log, "w".to_owned(), "w+00000000+AAAA".to_owned()] {
            assert!(bad.parse::<WitnessKey>().is_err(), "{bad}");
        }
    }
}
