//! Checkpoints (C2SP tlog-checkpoint): the signed state of the log.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Hash,
    note::{self, VerifierKey},
};
use crate::{
    base::{Problem, ProblemKind, Result, Timestamp},
    keys::LogSigner,
    store::{Database, sql},
};

/// How large a log was, and the root of the tree over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name: host and path, no scheme.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: origin, size and root, a line each.
    #[must_use]
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads what [`Self::body`] writes, and nothing else.
    #[must_use]
    pub fn from_body(text: &str) -> Option<Self> {
        let [origin, size, root] =
            text.strip_suffix('\n')?.split('\n').collect::<Vec<_>>().try_into().ok()?;
        let found = Self {
            origin: origin.to_owned(),
            size: size.parse().ok()?,
            root: STANDARD.decode(root).ok()?.try_into().ok()?,
        };
        (!origin.is_empty() && found.body() == text).then_some(found)
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, signer: &LogSigner) -> String {
        self.sign_by(std::slice::from_ref(signer))
    }

    /// The note that each of these keys signed: while one takes over from another, both do.
    #[must_use]
    pub fn sign_by(&self, signers: &[LogSigner]) -> String {
        note::sign(&self.body(), &self.origin, signers)
    }

    /// Reads a note that `key` signed.
    ///
    /// # Errors
    /// `log-altered`, with what is wrong with it.
    pub fn open(text: &str, key: &VerifierKey) -> Result<Self> {
        Self::open_any(text, std::slice::from_ref(key))
    }

    /// Reads a note that at least one of `keys` signed, and none of them wrongly: the keys that a log has
    /// had, of which each was in use for a while. They are all of one name.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_any(text: &str, keys: &[VerifierKey]) -> Result<Self> {
        let wrong = |why: String| {
            Problem::new(ProblemKind::LogAltered, format!("the checkpoint cannot be believed: {why}"))
        };
        let body = note::open_any(text, keys).map_err(wrong)?;
        let found = Self::from_body(body).ok_or_else(|| wrong("it is malformed".to_owned()))?;
        if let Some(key) = keys.iter().find(|key| key.name() != found.origin) {
            let origin = found.origin.escape_debug();
            return Err(wrong(format!("it is of '{origin}', not of '{}'", key.name())));
        }
        Ok(found)
    }
}

/// The newest checkpoint that was signed, as its note; nothing where there is none yet.
///
/// # Errors
/// A problem of the database.
pub async fn newest(database: &Database) -> Result<Option<String>> {
    let found: Option<(String,)> =
        database.fetch_optional(sql("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")).await?;
    Ok(found.map(|(note,)| note))
}

/// How large the log was that was signed last.
///
/// # Errors
/// A problem of the database.
pub(super) async fn newest_size(database: &Database) -> Result<u64> {
    let found: Option<(i64,)> =
        database.fetch_optional(sql("SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1")).await?;
    Ok(found.map_or(0, |(size,)| size.unsigned_abs()))
}

/// The checkpoint of exactly this size, as its note; nothing where none was signed.
///
/// # Errors
/// A problem of the database.
pub async fn of_size(database: &Database, size: u64) -> Result<Option<String>> {
    let query = sql("SELECT note FROM checkpoints WHERE size = $1").bind(super::tile::as_i64(size));
    let found: Option<(String,)> = database.fetch_optional(query).await?;
    Ok(found.map(|(note,)| note))
}

/// Keeps a checkpoint. After its commit only: it is signed for everybody to see.
pub(super) async fn keep(database: &Database, size: u64, note: &str, now: Timestamp) -> Result<()> {
    let row =
        sql("INSERT INTO checkpoints (size, note, time) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING")
            .bind(super::tile::as_i64(size))
            .bind(note)
            .bind(now);
    database.write_unrecorded("checkpoints", row).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.com/log".to_owned(), size: 42, root: [7; 32] }
    }

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let body = checkpoint().body();
        assert_eq!(Checkpoint::from_body(&body), Some(checkpoint()));
        for bad in [
            body.replace("42", "042"),
            body.replace("42", "+42"),
            body.replace("42", "-1"),
            body.replace("42", "99999999999999999999"),
            format!("{body}extension\n"),
            body.replacen("example.com/log", "", 1),
            body.trim_end().to_owned(),
            body.replace('=', ""),
        ] {
            assert_eq!(Checkpoint::from_body(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_checkpoint_of_another_log_is_not_believed() {
        let signer = LogSigner::from_seed(&[1; 32]);
        let key = VerifierKey::new("example.com/log", signer.public_key()).unwrap();
        assert_eq!(Checkpoint::open(&checkpoint().sign(&signer), &key).unwrap(), checkpoint());
        let other = note::sign(&checkpoint().body().replace("/log", "/other"), "example.com/log", &[signer]);
        assert!(Checkpoint::open(&other, &key).unwrap_err().is(ProblemKind::LogAltered));
    }
}
