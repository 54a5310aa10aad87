//! The keys that the log is signed with: the first is made with the database, others come and go.

use ring::signature::Ed25519KeyPair;
use zeroize::Zeroizing;

use super::{Keys, LogSigner};
use crate::{
    base::{Problem, Result, Timestamp},
    store::{Query, sql},
};

const LOG_SIGNER: &str = "log-signer";
/// The id of the first: two servers that start at once make the same one.
const FIRST: &str = "log_1";

/// One of the keys that the log is or was signed with.
#[derive(Debug)]
pub struct LogKey {
    /// Its id in the database.
    pub id: String,
    /// What its signatures are verified with.
    pub public: [u8; 32],
    /// Whether it still signs.
    pub state: LogKeyState,
}

/// Whether a key of the log still signs.
#[derive(Debug)]
pub enum LogKeyState {
    /// It signs every checkpoint.
    InUse(LogSigner),
    /// It signs no more, and its private part is destroyed.
    Retired,
}

/// A key of the log that is to come into use: the row that makes it so.
pub struct NewLogKey {
    id: String,
    /// What its signatures are verified with.
    pub public: [u8; 32],
    sealed: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct LogKeyRow {
    id: String,
    public: Option<Vec<u8>>,
    sealed: Option<Vec<u8>>,
}

impl Keys {
    /// All keys that the log is or was signed with, the oldest first, as they are now.
    ///
    /// # Errors
    /// A problem of the database; `internal` for a key that cannot be opened.
    pub async fn log_keys(&self) -> Result<Vec<LogKey>> {
        let query = sql("SELECT id, public, sealed FROM keys WHERE purpose = $1 ORDER BY created_at, id")
            .bind(LOG_SIGNER);
        let rows: Vec<LogKeyRow> = self.0.database.fetch_all(query).await?;
        rows.into_iter().map(|row| self.log_key(row)).collect()
    }

    /// Makes a key of the log. It comes into use once its row is written.
    ///
    /// # Errors
    /// `internal` where no key can be made.
    pub fn new_log_key(&self) -> Result<NewLogKey> {
        let seed = Zeroizing::new(self.0.ambient.bytes::<32>());
        self.sealed_log_key(format!("log_{}", self.0.ambient.uuid().as_simple()), &seed)
    }

    /// Makes the first key of the log, where there is none.
    pub(super) async fn begin_log_keys(&self) -> Result<()> {
        if !self.log_keys().await?.is_empty() {
            return Ok(());
        }
        let first = self.sealed_log_key(FIRST.to_owned(), &self.subkey(LOG_SIGNER, "1"))?;
        self.0.database.write_unrecorded("keys", first.row(self.0.ambient.now())).await?;
        Ok(())
    }

    fn sealed_log_key(&self, id: String, seed: &[u8; 32]) -> Result<NewLogKey> {
        let public = signer(seed)?.public_key();
        let sealed = self.seal(LOG_SIGNER, id.as_bytes(), seed);
        Ok(NewLogKey { id, public, sealed })
    }

    fn log_key(&self, row: LogKeyRow) -> Result<LogKey> {
        let wrong = || Problem::internal("a key of the log has the wrong length");
        let public = <[u8; 32]>::try_from(row.public.unwrap_or_default()).map_err(|_| wrong())?;
        let Some(sealed) = row.sealed else {
            return Ok(LogKey { id: row.id, public, state: LogKeyState::Retired });
        };
        let seed = self.unseal(LOG_SIGNER, row.id.as_bytes(), &sealed)?;
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_slice()).map_err(|_| wrong())?);
        Ok(LogKey { id: row.id, public, state: LogKeyState::InUse(signer(&seed)?) })
    }
}

impl NewLogKey {
    /// The statement that brings it into use. A key of the same id stays as it is.
    #[must_use]
    pub fn row(&self, now: Timestamp) -> Query {
        sql("INSERT INTO keys (id, purpose, public, sealed, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO NOTHING")
        .bind(&self.id)
        .bind(LOG_SIGNER)
        .bind(self.public.as_slice())
        .bind(self.sealed.as_slice())
        .bind(now)
    }
}

impl LogKey {
    /// The statement that destroys its private part: it signs no more.
    #[must_use]
    pub fn retirement(&self, now: Timestamp) -> Query {
        sql("UPDATE keys SET sealed = NULL, retired_at = $2 WHERE id = $1 AND sealed IS NOT NULL")
            .bind(&self.id)
            .bind(now)
    }

    /// Whether it still signs.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self.state, LogKeyState::InUse(_))
    }
}

fn signer(seed: &[u8; 32]) -> Result<LogSigner> {
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map(LogSigner)
        .map_err(|_| Problem::internal("a signing key of the log cannot be made"))
}
