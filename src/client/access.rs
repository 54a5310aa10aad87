//! Who could reach what.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Client;
use crate::base::{Result, Timestamp};

/// Who could reach what at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// The moment.
    pub at: Timestamp,
    /// Whether it was recomputed from entries; else it is by the rows of now.
    pub recomputed: bool,
    /// How many entries the log had when it was asked.
    pub entries: u64,
    /// How many people were known.
    pub people: u64,
    /// Of how many entries parts were forgotten.
    pub forgotten: u64,
    /// Who can do what where.
    pub items: Vec<AccessLine>,
}

/// Somebody can do something somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLine {
    /// Who: `per_…` or `workload/NAME`.
    pub principal: String,
    /// Where: `APPLICATION/ENVIRONMENT[@TEAM]`.
    pub at: String,
    /// By which trust scope.
    pub scope: Option<String>,
    /// The grant that it takes.
    pub grant: Option<String>,
    /// Whether a session of hers would do as it is; else she has to sign in again first.
    pub signed_in: bool,
    /// From this address and its like only.
    pub network: Option<String>,
    /// What.
    pub actions: Vec<String>,
    /// In one sentence, why.
    pub because: String,
}

impl Client {
    /// Who could reach what; now where no moment is named.
    ///
    /// # Errors
    /// `denied`, `invalid-request`, `not-found`, `log-altered`.
    pub async fn access(&self, query: &[(&str, &str)]) -> Result<Access> {
        let url = self.server().audit(&["v1", "access"], query);
        self.read(self.send(self.request_to(Method::GET, url)).await?).await
    }
}
