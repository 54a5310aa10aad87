//! Database users whose passwords an engine outside our database changes.

use async_trait::async_trait;

use crate::base::{Result, SecretValue};

/// A database user as the engine knows her now.
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    /// What the database calls her.
    pub username: String,
    /// Her password.
    pub password: SecretValue,
}

/// An engine that has static roles: each stands for one database user. Every call is bounded in time.
///
/// Errors are `engine-unavailable` where it does not answer and `engine-fault` where it refuses or
/// answers nonsense; they name the engine and the role, never a password.
#[async_trait]
pub trait StaticRoles: Send + Sync {
    /// The user of a role and her password now.
    async fn credentials(&self, mount: &str, role: &str) -> Result<StaticCredentials>;

    /// Gives the user of a role another password. The one before is worth nothing from then on.
    async fn rotate(&self, mount: &str, role: &str) -> Result<()>;
}
