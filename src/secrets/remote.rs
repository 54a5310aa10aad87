//! What an engine outside our database has to offer.
//!
//! The embedded engine is no such engine: its values are rows, written in the unit that records them.
//! A remote one is written between an intent and an outcome.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::{Result, SecretRef, SecretValue};

/// Where a secret lives in a remote engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// At our own path, `MOUNT/data/APPLICATION/ENVIRONMENT[@TEAM]/NAME`, field `value`.
    Ours(SecretRef),
    /// At a path that somebody else made; other fields beside ours are kept.
    Foreign {
        /// The KV v2 mount.
        mount: String,
        /// The path below it.
        path: String,
        /// The field.
        field: String,
    },
}

/// A value as the engine holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The value.
    pub value: SecretValue,
    /// The engine's own number of this version, from 1.
    pub version: u64,
}

/// What has become of a version in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// It can be read.
    Live,
    /// It is hidden, and can be had back.
    Deleted,
    /// Its value is gone for good.
    Destroyed,
    /// It never was, or the engine keeps it no longer.
    Absent,
}

/// An engine that is reached over the network. Every call is bounded in time.
///
/// Errors are `engine-unavailable` where it does not answer and `engine-fault` where it refuses or
/// answers nonsense; they name the engine and the path, never a value or a token.
#[async_trait]
pub trait RemoteEngine: Send + Sync {
    /// The mount that is ours alone.
    fn own_mount(&self) -> &str;

    /// Its name in entries and problems: `vault`.
    fn name(&self) -> &'static str;

    /// Reads a version, or the newest. Nothing where there is none, or where it is deleted or destroyed.
    async fn read(&self, place: &Place, version: Option<u64>) -> Result<Option<Stored>>;

    /// Writes a new version if the newest is still `expected` (0: none was ever written), and answers
    /// with its number.
    ///
    /// # Errors
    /// `precondition-failed` where the newest is another; then nothing was written.
    async fn write(&self, place: &Place, value: &SecretValue, expected: u64) -> Result<u64>;

    /// Number of the newest version, deleted ones included; 0 where none was ever written.
    async fn newest(&self, place: &Place) -> Result<u64>;

    /// What has become of a version.
    async fn state(&self, place: &Place, version: u64) -> Result<VersionState>;

    /// Marks versions deleted; they can be undeleted.
    async fn delete(&self, place: &Place, versions: &[u64]) -> Result<()>;

    /// Brings deleted versions back.
    async fn undelete(&self, place: &Place, versions: &[u64]) -> Result<()>;

    /// Destroys versions for good.
    async fn destroy(&self, place: &Place, versions: &[u64]) -> Result<()>;
}
