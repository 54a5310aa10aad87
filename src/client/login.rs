//! Signing a command line in.

use serde::{Deserialize, Deserializer, Serialize};

use super::Client;
use crate::base::{Problem, Result, SecretValue};

/// The beginning of a sign-in.
#[derive(Clone, Debug, Serialize)]
pub struct NewLogin {
    /// PKCE challenge: SHA-256 of the verifier, base64url (RFC 7636, S256).
    pub challenge: String,
    /// The loopback port that listens for the answer.
    pub port: u16,
    /// Comes back with the answer.
    pub state: String,
    /// Which machine asks; shown on the page.
    pub machine: String,
}

/// A sign-in that waits for a click in the browser.
#[derive(Clone, Debug, Deserialize)]
pub struct Login {
    /// Its id.
    pub login: String,
    /// The page to open.
    pub url: String,
    /// Until when it waits.
    pub expires_at: String,
}

/// A session that began, with its token.
#[derive(Debug, Deserialize)]
pub struct SignedIn {
    /// The token; shown nowhere.
    #[serde(deserialize_with = "secret")]
    pub token: SecretValue,
    /// Whose, where the server says so.
    #[serde(default)]
    pub person: serde_json::Value,
    /// When the session ends at the latest.
    #[serde(default)]
    pub expires_at: Option<String>,
}

pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretValue, D::Error> {
    String::deserialize(from).map(SecretValue::from)
}

fn text(value: &SecretValue, what: &str) -> Result<String> {
    value.expose_text().map(str::to_owned).ok_or_else(|| Problem::invalid(format!("{what} is not text")))
}

/// What proves that the code came to whoever began.
pub(super) fn proof(code: &SecretValue, verifier: &SecretValue) -> Result<serde_json::Value> {
    Ok(serde_json::json!({
        "code": text(code, "the code")?,
        "verifier": text(verifier, "the verifier")?,
    }))
}

impl Client {
    /// Begins a sign-in.
    ///
    /// # Errors
    /// `rate-limited`, `server-unavailable`.
    pub async fn begin_login(&self, login: &NewLogin) -> Result<Login> {
        self.post(&["logins"], login).await
    }

    /// Exchanges the one-time code for a token.
    ///
    /// # Errors
    /// `sign-in-refused`, `server-unavailable`.
    pub async fn finish_login(
        &self,
        login: &str,
        code: &SecretValue,
        verifier: &SecretValue,
    ) -> Result<SignedIn> {
        let body = proof(code, verifier)?;
        self.post(&["logins", login, "token"], &body).await
    }

    /// Signs in by the single-use token that `port-control recover-access` printed.
    ///
    /// # Errors
    /// `sign-in-refused`, `server-unavailable`.
    pub async fn recover(&self, token: &SecretValue, person: Option<&str>) -> Result<SignedIn> {
        let mut body = serde_json::json!({ "token": text(token, "the recovery token")? });
        if let Some(person) = person {
            body["person"] = person.into();
        }
        self.post(&["recovery"], &body).await
    }

    /// A random text of 256 bits, for states and verifiers.
    #[must_use]
    pub fn unguessable(&self) -> SecretValue {
        data_encoding::BASE64URL_NOPAD.encode(&self.ambient().bytes::<32>()).into()
    }
}
