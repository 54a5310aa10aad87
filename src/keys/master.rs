//! Where everything sealed begins: a key in a file, or a passphrase.

use std::{
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::base::{Ambient, Problem, ProblemKind, Result, SecretValue};

/// Cost of deriving a key from a passphrase (RFC 7914): N = 2^17, r = 8, p = 1, which takes 128 MiB.
const SCRYPT_LOG_N: u8 = 17;

/// The master key, before it has met the database.
pub enum MasterKey {
    /// 32 random bytes.
    Raw(Zeroizing<[u8; 32]>),
    /// Text that a key is derived from; the salt lies in the database.
    Passphrase(SecretValue),
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// Reads a key file: 32 bytes as they are, or in base64. Nobody but its owner may read or write it.
    ///
    /// # Errors
    /// `invalid-configuration` naming the file: it cannot be read, is open to others, or holds no key.
    pub fn from_file(path: &Path) -> Result<Self> {
        let open = fs::metadata(path).map_err(|error| unusable(path, &error))?.permissions().mode() & 0o077;
        if open != 0 {
            return Err(unusable(path, &"others than its owner may use it")
                .remedy(format!("`chmod 600 {}`", path.display())));
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(|error| unusable(path, &error))?);
        let key = if bytes.len() == 32 { bytes } else { Zeroizing::new(decode(&bytes).unwrap_or_default()) };
        let key = <[u8; 32]>::try_from(key.as_slice())
            .map_err(|_| unusable(path, &"it is neither 32 bytes nor 32 bytes in base64"))?;
        Ok(Self::Raw(Zeroizing::new(key)))
    }

    /// A key that is derived from a passphrase.
    #[must_use]
    pub fn from_passphrase(passphrase: SecretValue) -> Self {
        Self::Passphrase(passphrase)
    }

    /// Makes a key file that only its owner can read. A file that is there stays as it is.
    ///
    /// # Errors
    /// `invalid-configuration` where there is one already, or none can be made.
    pub fn create_file(path: &Path, ambient: &Ambient) -> Result<()> {
        let key = Zeroizing::new(ambient.bytes::<32>());
        let text = Zeroizing::new(BASE64.encode(key.as_slice()) + "\n");
        let create = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        create().map_err(|error| unusable(path, &error))
    }

    /// The 32 bytes that the root key is sealed under. Slow for a passphrase, on purpose.
    pub(super) fn derive(&self, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        match self {
            Self::Raw(key) => Ok(key.clone()),
            Self::Passphrase(passphrase) => {
                let mut key = Zeroizing::new([0; 32]);
                let cost = scrypt::Params::new(SCRYPT_LOG_N, 8, 1, 32);
                cost.ok()
                    .and_then(|cost| {
                        scrypt::scrypt(passphrase.expose(), salt, &cost, key.as_mut_slice()).ok()
                    })
                    .ok_or_else(|| Problem::internal("no key can be derived from the passphrase"))?;
                Ok(key)
            }
        }
    }
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text.trim_ascii()).ok()
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> Problem {
    Problem::new(
        ProblemKind::InvalidConfiguration,
        format!("the master key file {} cannot be used: {why}", path.display()),
    )
    .remedy("It holds 32 random bytes in base64: `head -c 32 /dev/urandom | base64`.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master-key");
        MasterKey::create_file(&path, &Ambient::system(Timestamp::EPOCH)).unwrap();
        assert!(MasterKey::from_file(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = MasterKey::from_file(&path).unwrap_err();
        assert!(refusal.is(ProblemKind::InvalidConfiguration), "{refusal}");
        assert!(refusal.remedy.unwrap().starts_with("`chmod 600"));
    }

    #[test]
    fn a_file_is_never_made_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master-key");
        let ambient = Ambient::system(Timestamp::EPOCH);
        MasterKey::create_file(&path, &ambient).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(MasterKey::create_file(&path, &ambient).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn raw_bytes_and_base64_are_keys_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master-key");
        let write = |bytes: &[u8]| {
            let _ = fs::remove_file(&path);
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
            file.write_all(bytes).unwrap();
            MasterKey::from_file(&path)
        };
        assert!(write(&[9; 32]).is_ok());
        assert!(write(BASE64.encode(&[9; 32]).as_bytes()).is_ok());
        for bad in [&b"too short"[..], &[9; 31], BASE64.encode(&[9; 31]).as_bytes(), b""] {
            assert!(write(bad).is_err());
        }
    }
}
