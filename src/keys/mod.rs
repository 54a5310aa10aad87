//! One master key, whichever the engine, and everything that hangs on it.
//!
//! The database holds a random *root key*, sealed under the master key; subkeys for each purpose are
//! derived from it (HKDF-SHA-256, RFC 5869). Values of the embedded engine have a key each, wrapped
//! under a *wrapping key* that is named by id: so a new one can come into use while the old one still
//! opens what it wrapped. Nothing here can be printed.

mod log_keys;
mod master;
mod sealed;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use ring::{
    aead::LessSafeKey,
    hkdf::{self, HKDF_SHA256, Prk, Salt},
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use zeroize::Zeroizing;

pub use log_keys::{LogKey, LogKeyState, NewLogKey};
pub use master::MasterKey;

use crate::{
    base::{Ambient, Problem, ProblemKind, Result, SecretValue, Timestamp},
    store::{Database, Query, sql},
};

const ROOT: &str = "root";
const WRAPPING: &str = "wrapping";

/// The keys of this server. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    database: Database,
    ambient: Ambient,
    /// What subkeys are derived from.
    prk: Prk,
    wrapping: RwLock<Wrapping>,
}

/// Keys that other keys are wrapped under, by id; the newest is the one in use.
#[derive(Default)]
struct Wrapping {
    by_id: HashMap<String, Arc<LessSafeKey>>,
    newest: String,
}

/// A key under its wrapping.
#[derive(Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The wrapped key.
    pub bytes: Vec<u8>,
    /// The id of the key that it is wrapped under.
    pub under: String,
}

/// A wrapping key that is to come into use: the row that makes it so.
pub struct NewWrapping {
    /// Its id.
    pub id: String,
    sealed: Vec<u8>,
}

/// Signs checkpoints of the log (Ed25519, RFC 8032).
pub struct LogSigner(Ed25519KeyPair);

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    public: Option<Vec<u8>>,
    sealed: Option<Vec<u8>>,
}

/// The length of a subkey, for `ring`.
struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSigner(…)")
    }
}

impl Keys {
    /// Opens the keys of a database; at the first start makes them.
    ///
    /// # Errors
    /// `invalid-configuration` where the master key is not the one that the database was begun with.
    pub async fn open(database: &Database, master: MasterKey, ambient: Ambient) -> Result<Self> {
        let root = open_root(database, &master, &ambient).await?;
        let prk = Salt::new(HKDF_SHA256, b"port-control/1").extract(root.as_slice());
        let inner = Inner { database: database.clone(), ambient, prk, wrapping: RwLock::default() };
        let keys = Self(Arc::new(inner));
        if !keys.reload().await? {
            let first = keys.new_wrapping();
            database.write_unrecorded("keys", first.row(keys.0.ambient.now())).await?;
            keys.reload().await?;
        }
        keys.begin_log_keys().await?;
        Ok(keys)
    }

    /// Seals `plain` for `purpose`, bound to `aad`.
    #[must_use]
    pub fn seal(&self, purpose: &str, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        sealed::seal(&sealed::key(&self.subkey("seal", purpose)), &self.0.ambient, aad, plain)
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// `internal` where it was made by another key, for another purpose or `aad`, or was altered.
    pub fn unseal(&self, purpose: &str, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        sealed::unseal(&sealed::key(&self.subkey("seal", purpose)), aad, sealed)
    }

    /// Seals `plain` under a key of its own, bound to `aad`.
    #[must_use]
    pub fn seal_under(&self, key: &[u8; 32], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        sealed::seal(&sealed::key(key), &self.0.ambient, aad, plain)
    }

    /// Opens what [`Self::seal_under`] made.
    ///
    /// # Errors
    /// As [`Self::unseal`].
    pub fn unseal_under(&self, key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        sealed::unseal(&sealed::key(key), aad, sealed)
    }

    /// Tells whether two values are equal, and nothing to anyone without the key.
    #[must_use]
    pub fn fingerprint(&self, value: &SecretValue) -> [u8; 32] {
        self.mac("fingerprint", &[value.expose()])
    }

    /// HMAC-SHA-256 over `parts` under a key for `purpose`. Each part is preceded by its length, so
    /// that they are told apart.
    #[must_use]
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.subkey("mac", purpose).as_slice());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Wraps the key of one version under the wrapping key in use.
    #[must_use]
    pub fn wrap(&self, aad: &[u8], key: &[u8; 32]) -> Wrapped {
        let wrapping = self.0.wrapping.read().unwrap_or_else(PoisonError::into_inner);
        let under = wrapping.newest.clone();
        let newest = Arc::clone(&wrapping.by_id[&under]);
        drop(wrapping);
        Wrapped { bytes: sealed::seal(&newest, &self.0.ambient, aad, key), under }
    }

    /// Opens what [`Self::wrap`] made, here or at another replica.
    ///
    /// # Errors
    /// `internal` where it was altered, or the key that it is wrapped under is gone.
    pub async fn unwrap(&self, aad: &[u8], wrapped: &Wrapped) -> Result<Zeroizing<[u8; 32]>> {
        if self.wrapping(&wrapped.under).is_none() {
            // Another replica may have made it a moment ago.
            self.reload().await?;
        }
        let under = self.wrapping(&wrapped.under).ok_or_else(|| {
            Problem::internal(format!("the key '{}' that a value hangs on is gone", wrapped.under))
        })?;
        let opened = sealed::unseal(&under, aad, &wrapped.bytes)?;
        let key = <[u8; 32]>::try_from(opened.as_slice());
        key.map(Zeroizing::new).map_err(|_| Problem::internal("a wrapped key has the wrong length"))
    }

    /// The id of the wrapping key in use.
    #[must_use]
    pub fn wrapping_in_use(&self) -> String {
        self.0.wrapping.read().unwrap_or_else(PoisonError::into_inner).newest.clone()
    }

    /// Makes a wrapping key. It comes into use once its row is written and [`Self::reload`] was called.
    #[must_use]
    pub fn new_wrapping(&self) -> NewWrapping {
        let key = Zeroizing::new(self.0.ambient.bytes::<32>());
        let id = format!("key_{}", self.0.ambient.uuid().as_simple());
        let sealed = self.seal(WRAPPING, id.as_bytes(), key.as_slice());
        NewWrapping { id, sealed }
    }

    /// Reads the wrapping keys again; whether there is one.
    ///
    /// # Errors
    /// A problem of the database; `internal` for a key that cannot be opened.
    pub async fn reload(&self) -> Result<bool> {
        let rows: Vec<KeyRow> = self
            .0
            .database
            .fetch_all(
                sql("SELECT id, public, sealed FROM keys WHERE purpose = $1 ORDER BY created_at, id")
                    .bind(WRAPPING),
            )
            .await?;
        let mut found = Wrapping::default();
        for row in rows {
            let sealed = row.sealed.unwrap_or_default();
            let opened = self.unseal(WRAPPING, row.id.as_bytes(), &sealed)?;
            let key = <[u8; 32]>::try_from(opened.as_slice())
                .map_err(|_| Problem::internal("a wrapping key has the wrong length"))?;
            found.by_id.insert(row.id.clone(), Arc::new(sealed::key(&Zeroizing::new(key))));
            found.newest = row.id;
        }
        let any = !found.by_id.is_empty();
        *self.0.wrapping.write().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(any)
    }

    fn wrapping(&self, id: &str) -> Option<Arc<LessSafeKey>> {
        self.0.wrapping.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    fn subkey(&self, kind: &str, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        // A purpose never holds a zero byte, so two of them never run into each other.
        let info = [kind.as_bytes(), &[0], purpose.as_bytes()];
        self.0
            .prk
            .expand(&info, Length)
            .and_then(|material| material.fill(key.as_mut_slice()))
            .expect("32 bytes are no more than HKDF-SHA-256 gives");
        key
    }
}

impl NewWrapping {
    /// The statement that brings it into use.
    #[must_use]
    pub fn row(&self, now: Timestamp) -> Query {
        sql("INSERT INTO keys (id, purpose, sealed, created_at) VALUES ($1, $2, $3, $4)")
            .bind(&self.id)
            .bind(WRAPPING)
            .bind(self.sealed.as_slice())
            .bind(now)
    }
}

impl LogSigner {
    /// The signer that belongs to a seed.
    ///
    /// # Panics
    /// Never: any 32 bytes are a seed (RFC 8032, section 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed of Ed25519"))
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }

    /// The key that verifies it.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        key
    }
}

/// The root key, which is made at the first start. Where two servers start at once, one of them is
/// first, and both use what it made.
async fn open_root(
    database: &Database,
    master: &MasterKey,
    ambient: &Ambient,
) -> Result<Zeroizing<[u8; 32]>> {
    if stored_root(database).await?.is_none() {
        make_root(database, master, ambient).await?;
    }
    let stored =
        stored_root(database).await?.ok_or_else(|| Problem::internal("the root key was not kept"))?;
    let under = sealed::key(&*master.derive(&stored.public.unwrap_or_default())?);
    let opened =
        sealed::unseal(&under, ROOT.as_bytes(), &stored.sealed.unwrap_or_default()).map_err(|_| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                "the master key is not the one that this database was begun with",
            )
            .remedy("Configure that one: `[keys]`. Without it, nothing that was sealed can be opened.")
        })?;
    let key = <[u8; 32]>::try_from(opened.as_slice());
    key.map(Zeroizing::new).map_err(|_| Problem::internal("the root key has the wrong length"))
}

async fn stored_root(database: &Database) -> Result<Option<KeyRow>> {
    let query = sql("SELECT id, public, sealed FROM keys WHERE id = $1").bind(ROOT);
    Ok(database.fetch_optional(query).await?)
}

async fn make_root(database: &Database, master: &MasterKey, ambient: &Ambient) -> Result<()> {
    let root = Zeroizing::new(ambient.bytes::<32>());
    let (salt, sealed) = sealed_root(master, ambient, &root)?;
    let row = sql("INSERT INTO keys (id, purpose, public, sealed, created_at) VALUES ($1, $1, $2, $3, $4) \
                   ON CONFLICT (id) DO NOTHING")
    .bind(ROOT)
    .bind(salt)
    .bind(sealed)
    .bind(ambient.now());
    database.write_unrecorded("keys", row).await?;
    Ok(())
}

/// The root key under a master key, with the salt that a passphrase is stretched with.
fn sealed_root(master: &MasterKey, ambient: &Ambient, root: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>)> {
    let salt = ambient.bytes::<32>().to_vec();
    let under = sealed::key(&*master.derive(&salt)?);
    let sealed = sealed::seal(&under, ambient, ROOT.as_bytes(), root);
    Ok((salt, sealed))
}

/// The statement that has another master key take over from `old`, for a unit of work. Servers that run
/// go on; from their next start they need the new one. Nothing else changes: only the root key hangs on it.
///
/// # Errors
/// `invalid-configuration` where `old` is not the one in use.
pub async fn reseal(
    database: &Database,
    old: &MasterKey,
    new: &MasterKey,
    ambient: &Ambient,
) -> Result<Query> {
    let root = open_root(database, old, ambient).await?;
    let (salt, sealed) = sealed_root(new, ambient, &root)?;
    Ok(sql("UPDATE keys SET public = $2, sealed = $3 WHERE id = $1").bind(ROOT).bind(salt).bind(sealed))
}
