//! What a dynamic engine has to offer: credentials made for one holder, and taken back.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;

use crate::base::{Result, SecretValue};

/// A role where the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineRole {
    /// The mount.
    pub mount: String,
    /// The role's name there.
    pub role: String,
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// At first.
    pub seconds: u64,
    /// At the longest, however often it is renewed.
    pub limit: u64,
}

/// A token under which one lease is issued.
pub struct Opened {
    /// What takes it back.
    pub accessor: String,
    /// The token; it leaves this process for nobody but the engine.
    pub token: SecretValue,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

/// Credentials, as the engine made them.
#[derive(Debug)]
pub struct Issued {
    /// The engine's own name of the lease.
    pub lease: String,
    /// How long it lasts now.
    pub seconds: u64,
    /// The credentials, by the engine's names: `username`, `password`.
    pub values: BTreeMap<String, SecretValue>,
}

/// What a lease is renewed and taken back by. Where a part is not known, nothing was done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handle {
    /// Of the token under which it was issued.
    pub accessor: Option<String>,
    /// The engine's own name of the lease.
    pub lease: Option<String>,
}

impl Handle {
    /// Whether there is nothing to take back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accessor.is_none() && self.lease.is_none()
    }
}

/// An engine that makes credentials and takes them back. Every call is bounded in time.
///
/// Errors are `engine-unavailable` where it does not answer and `engine-fault` where it refuses or answers
/// nonsense; they name the engine and the path, never a credential, a token or an accessor.
#[async_trait]
pub trait LeaseEngine: Send + Sync {
    /// A token that can read the credentials of roles and nothing else. Nobody can use it before its accessor
    /// is stored.
    async fn open(&self, life: Life) -> Result<Opened>;

    /// Credentials of a role under that token, for so many seconds if the role allows as many.
    async fn read(&self, opened: &Opened, role: &EngineRole, seconds: u64) -> Result<Issued>;

    /// Has a lease last so many seconds from now, or as many as the engine allows: how many that are.
    async fn renew(&self, handle: &Handle, seconds: u64) -> Result<u64>;

    /// Takes a lease back, and the token under which it was issued. What is gone already is no error. Ends well
    /// only when the credentials work no more.
    async fn revoke(&self, handle: &Handle) -> Result<()>;
}
