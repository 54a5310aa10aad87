//! Leases: credentials that end by themselves.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    Client,
    secrets::{Zeroized, decoded},
};
use crate::base::{LeaseRef, Result, SecretValue};

/// A lease, without its credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Its id.
    pub id: String,
    /// Who holds it.
    pub holder: String,
    /// Of which role.
    pub at: String,
    /// `opening`, `live`, `revoking` or `ended`.
    pub state: String,
    /// The trust scope that allowed it.
    #[serde(default)]
    pub scope: Option<String>,
    /// The grant with which it ends.
    #[serde(default)]
    pub grant: Option<String>,
    /// When the credentials were told.
    #[serde(default)]
    pub issued_at: Option<String>,
    /// When it ends unless it is renewed.
    pub ends_at: String,
    /// Until when it can be renewed.
    pub renewable_until: String,
    /// Why it is over, or about to be.
    #[serde(default)]
    pub because: Option<String>,
    /// Since when it is being taken back.
    #[serde(default)]
    pub revoking_since: Option<String>,
    /// When the engine had taken it back.
    #[serde(default)]
    pub ended_at: Option<String>,
    /// What stands in the way of that.
    #[serde(default)]
    pub waits_for: Option<String>,
}

/// A part of the credentials.
#[derive(Debug)]
pub struct Credential {
    /// As the engine calls it: `username`, `password`.
    pub name: String,
    /// The value.
    pub value: SecretValue,
}

#[derive(Deserialize)]
struct Wire {
    name: String,
    encoding: String,
    value: Zeroized,
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(from)?;
        Ok(Self { value: decoded(&wire.encoding, &wire.value).map_err(D::Error::custom)?, name: wire.name })
    }
}

/// A lease with its credentials.
#[derive(Debug, Deserialize)]
pub struct Lent {
    /// The lease.
    pub lease: Lease,
    /// The credentials.
    pub credentials: Vec<Credential>,
}

#[derive(Serialize)]
struct NewLease<'a> {
    at: &'a LeaseRef,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    length: Option<&'a str>,
}

impl Client {
    /// Has credentials of a role made; for an hour where no length is said.
    ///
    /// # Errors
    /// `needs-grant`, `denied`, `not-found`, `conflict`, `engine-unavailable`.
    pub async fn create_lease(&self, at: &LeaseRef, length: Option<&str>) -> Result<Lent> {
        self.post(&["leases"], &NewLease { at, length }).await
    }

    /// Leases that are open, or all: one's own, those of a person, or everybody's (`all`).
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous`.
    pub async fn leases(&self, person: Option<&str>, ended: bool) -> Result<Vec<Lease>> {
        let mut query: Vec<(&str, &str)> = person.map(|person| ("person", person)).into_iter().collect();
        if ended {
            query.push(("ended", "true"));
        }
        self.list(&["leases"], &query).await
    }

    /// One lease.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn lease(&self, id: &str) -> Result<Lease> {
        self.get(&["leases", id], &[]).await
    }

    /// Has a lease of one's own last for `length` from now.
    ///
    /// # Errors
    /// `needs-grant`, `denied`, `not-found`, `conflict`, `engine-unavailable`.
    pub async fn renew_lease(&self, id: &str, length: &str) -> Result<Lease> {
        self.post(&["leases", id, "renew"], &serde_json::json!({ "for": length })).await
    }

    /// Takes a lease back.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`.
    pub async fn revoke_lease(&self, id: &str) -> Result<Lease> {
        self.post(&["leases", id, "revoke"], &serde_json::json!({})).await
    }
}
