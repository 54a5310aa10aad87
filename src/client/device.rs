//! Signing in a machine on which no browser comes back (RFC 8628).

use reqwest::Method;
use serde::Deserialize;

use super::{Client, login::secret};
use crate::base::{Result, SecretValue};

/// What to show, and what to ask again with.
#[derive(Debug, Deserialize)]
pub struct Device {
    /// To ask with.
    #[serde(deserialize_with = "secret")]
    pub device_code: SecretValue,
    /// To be typed.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// How many seconds to wait between two questions.
    pub interval: u64,
}

/// A session that began by a code.
#[derive(Debug, Deserialize)]
pub struct DeviceSignedIn {
    /// The token; shown nowhere.
    #[serde(deserialize_with = "secret")]
    pub access_token: SecretValue,
    /// When the session ends at the latest, where the server says so.
    #[serde(default)]
    pub expires_at: Option<String>,
}

impl Client {
    /// Asks for a code.
    ///
    /// # Errors
    /// `not-found` where the server has this way switched off; `rate-limited`, `server-unavailable`.
    pub async fn begin_device(&self, machine: &str) -> Result<Device> {
        let form = [("client_id", "portctl"), ("machine", machine)];
        let request = self.request(Method::POST, &["device", "authorization"], &[]).form(&form);
        self.read(self.send(request).await?).await
    }

    /// Asks whether the code was typed.
    ///
    /// # Errors
    /// `device-grant`, whose `error` says whether to ask again; `server-unavailable`.
    pub async fn ask_device(&self, device: &Device) -> Result<DeviceSignedIn> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device.device_code.expose_text().unwrap_or_default()),
            ("client_id", "portctl"),
        ];
        let request = self.request(Method::POST, &["device", "token"], &[]).form(&form);
        self.read(self.send(request).await?).await
    }
}
