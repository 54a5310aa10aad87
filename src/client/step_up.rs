//! Going on after somebody has confirmed who she is.

use async_trait::async_trait;
use serde::Serialize;

use super::{Client, Login};
use crate::base::{Problem, Result, SecretValue};

/// How somebody confirms who she is when the server wants that before it does what was asked.
#[async_trait]
pub trait Confirming: Send + Sync {
    /// Has her confirm what `problem` asks for. After that the request is sent once more.
    ///
    /// # Errors
    /// Where she did not, or not in time.
    async fn confirm(&self, client: &Client, problem: &Problem) -> Result<()>;
}

/// The beginning of a confirmation.
#[derive(Clone, Debug, Serialize)]
pub struct NewStepUp {
    /// PKCE challenge: SHA-256 of the verifier, base64url (RFC 7636, S256).
    pub challenge: String,
    /// The loopback port that listens for the answer.
    pub port: u16,
    /// Comes back with the answer.
    pub state: String,
    /// The classes of which one is needed, separated by spaces, as the server said.
    pub acr_values: String,
    /// The oldest sign-in that will do, in seconds, as the server said.
    pub max_age: Option<u64>,
}

impl Client {
    /// Begins a confirmation of the session that this client calls by.
    ///
    /// # Errors
    /// `not-found` where it is no command line's; `rate-limited`, `server-unavailable`.
    pub async fn begin_step_up(&self, wish: &NewStepUp) -> Result<Login> {
        self.post(&["step-ups"], wish).await
    }

    /// Ends it with the one-time code.
    ///
    /// # Errors
    /// `sign-in-refused`, `server-unavailable`.
    pub async fn finish_step_up(
        &self,
        login: &str,
        code: &SecretValue,
        verifier: &SecretValue,
    ) -> Result<()> {
        let body = super::login::proof(code, verifier)?;
        self.post::<serde::de::IgnoredAny>(&["step-ups", login, "confirm"], &body).await?;
        Ok(())
    }
}
