//! Secrets and their versions.

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use zeroize::Zeroizing;

use super::Client;
use crate::base::{EnvironmentRef, Result, SecretRef, SecretValue};

/// A secret, without its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Secret {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The current version; nothing where all are deleted.
    #[serde(default)]
    pub version: Option<i64>,
    /// How many versions there are.
    #[serde(default)]
    pub versions: Option<i64>,
    /// When it changed last.
    #[serde(default)]
    pub changed_at: Option<String>,
    /// Who changed it.
    #[serde(default)]
    pub changed_by: Option<serde_json::Value>,
    /// What that person is called.
    #[serde(default)]
    pub changed_by_name: Option<String>,
}

/// A version, without its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Its number, from 1.
    pub version: i64,
    /// Its id.
    #[serde(default)]
    pub id: Option<String>,
    /// What else the server tells: state, when, by whom.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// A version that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionMade {
    /// The secret.
    pub name: String,
    /// Its number.
    pub version: i64,
    /// Its id.
    #[serde(default)]
    pub id: Option<String>,
    /// Whether the value is the one that was current.
    #[serde(default)]
    pub equal_to_previous: bool,
    /// That somebody who has left knows the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_to_leavers: Option<KnownToLeavers>,
}

/// That leavers know a value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownToLeavers {
    /// How many of them.
    pub leavers: i64,
    /// The rotation task that is open until another value is current and delivered.
    pub task: String,
}

/// A value that was revealed.
#[derive(Debug)]
pub struct Value {
    /// The secret.
    pub name: String,
    /// Which version.
    pub version: i64,
    /// The value.
    pub value: SecretValue,
}

#[derive(Deserialize)]
struct Wire {
    name: String,
    version: i64,
    encoding: String,
    value: Zeroized,
}

/// Text that is wiped when dropped.
pub(super) struct Zeroized(Zeroizing<String>);

/// The value that a text of this encoding means.
pub(super) fn decoded(encoding: &str, text: &Zeroized) -> Result<SecretValue, &'static str> {
    match encoding {
        "utf8" => Ok(SecretValue::new(text.0.as_bytes().to_vec())),
        "base64" => BASE64.decode(text.0.as_bytes()).map(SecretValue::new).map_err(|_| "not base64"),
        _ => Err("an unknown encoding"),
    }
}

impl<'de> Deserialize<'de> for Zeroized {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(from)?;
        let value = decoded(&wire.encoding, &wire.value).map_err(D::Error::custom)?;
        Ok(Self { name: wire.name, version: wire.version, value })
    }
}

#[derive(Deserialize)]
struct Values {
    values: Vec<Value>,
}

/// How a value is to be made that nobody has seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Generate {
    /// How many characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Of which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alphabet: Option<String>,
    /// The version that has to be current.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_version: Option<i64>,
}

/// What is done to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretChange {
    /// It is hidden, and can be had back.
    Delete,
    /// It is had back.
    Undelete,
    /// Its value is gone for good.
    Destroy,
}

impl SecretChange {
    /// As addresses and commands spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::Destroy => "destroy",
        }
    }
}

/// Borrowed on purpose: the value lives nowhere else than in its [`SecretValue`] and in the body.
#[derive(Serialize)]
struct NewVersion<'a> {
    encoding: &'static str,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect_version: Option<i64>,
}

#[derive(Serialize)]
struct Rollback {
    to: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect_version: Option<i64>,
}

#[derive(Serialize)]
struct Which {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
}

/// The address of an environment, then `rest`.
fn path(at: &EnvironmentRef, rest: &[&str]) -> Vec<String> {
    let environment = match &at.team {
        Some(team) => format!("{}@{team}", at.environment),
        None => at.environment.to_string(),
    };
    let start = ["applications", at.application.as_str(), "environments", &environment];
    start.iter().chain(rest).map(|&part| part.to_owned()).collect()
}

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

impl Client {
    /// The secrets of an environment, without their values.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn secrets(&self, at: &EnvironmentRef) -> Result<Vec<Secret>> {
        self.list(&parts(&path(at, &["secrets"])), &[]).await
    }

    /// The versions of a secret, without their values.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn secret_versions(&self, at: &SecretRef) -> Result<Vec<Version>> {
        self.list(&parts(&secret_path(at, "versions")), &[]).await
    }

    /// Reveals a value: the current one, or that of a version.
    ///
    /// # Errors
    /// `needs-grant`, `denied`, `not-found`, `not-recorded`.
    pub async fn reveal(&self, at: &SecretRef, version: Option<i64>) -> Result<Value> {
        let version = version.map(|n| n.to_string());
        let query: Vec<(&str, &str)> = version.as_deref().map(|n| ("version", n)).into_iter().collect();
        self.get(&parts(&secret_path(at, "value")), &query).await
    }

    /// Makes a new version with this value.
    ///
    /// # Errors
    /// `needs-grant`, `denied`, `precondition-failed`, `too-large`.
    pub async fn set_secret(
        &self,
        at: &SecretRef,
        value: &SecretValue,
        expect_version: Option<i64>,
    ) -> Result<VersionMade> {
        let (encoding, text) = match value.expose_text() {
            Some(text) => ("utf8", Zeroizing::new(text.to_owned())),
            None => ("base64", Zeroizing::new(BASE64.encode(value.expose()))),
        };
        let body = NewVersion { encoding, value: &text, expect_version };
        self.post(&parts(&secret_path(at, "versions")), &body).await
    }

    /// Makes a new version with a value that nobody has seen.
    ///
    /// # Errors
    /// As [`Self::set_secret`].
    pub async fn generate_secret(&self, at: &SecretRef, how: &Generate) -> Result<VersionMade> {
        self.post(&parts(&secret_path(at, "generate")), how).await
    }

    /// Makes a new version with the value of an old one.
    ///
    /// # Errors
    /// As [`Self::set_secret`].
    pub async fn roll_back_secret(
        &self,
        at: &SecretRef,
        to: i64,
        expect_version: Option<i64>,
    ) -> Result<VersionMade> {
        self.post(&parts(&secret_path(at, "rollback")), &Rollback { to, expect_version }).await
    }

    /// Deletes, undeletes or destroys a version; the current one where none is said.
    ///
    /// # Errors
    /// `needs-grant`, `denied`, `not-found`, `conflict`.
    pub async fn change_secret(
        &self,
        at: &SecretRef,
        change: SecretChange,
        version: Option<i64>,
    ) -> Result<()> {
        let path = secret_path(at, change.as_str());
        self.post::<serde::de::IgnoredAny>(&parts(&path), &Which { version }).await?;
        Ok(())
    }

    /// All values of an environment, to start a program with.
    ///
    /// # Errors
    /// `needs-grant`, `denied`, `not-recorded`.
    pub async fn run_values(&self, at: &EnvironmentRef) -> Result<Vec<Value>> {
        let values: Values = self.post(&parts(&path(at, &["run"])), &serde_json::json!({})).await?;
        Ok(values.values)
    }
}

fn secret_path(at: &SecretRef, what: &str) -> Vec<String> {
    path(&at.environment, &["secrets", at.name.as_str(), what])
}
