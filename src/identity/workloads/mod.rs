//! Workloads: CI jobs and ServiceAccounts. Each brings a token of its own issuer, and gets a short one of ours
//! for it (RFC 8693), as long as the token says what files pin. Nothing of a workload is kept but its tokens'
//! hashes; who it is stands in files.

mod caller;
mod declared;
mod exchange;
mod github;
mod issuer;
mod refusals;
mod review;

use std::sync::Arc;

pub use caller::{AnyCaller, WorkloadCaller, WorkloadRow};
pub use declared::{Pin, Workload};
pub use exchange::{Exchange, IssuedToken, Known};
use issuer::Issuer;
use refusals::Refused;
pub(super) use review::NoClusters;
pub use review::{Reviewed, TokenReviews};

use super::Identity;
use crate::base::{Ambient, Name, Result, config::WorkloadIssuerConfig};

/// What a workload's token begins with, so that scanners for leaked credentials know it.
pub const WORKLOAD_TOKEN_PREFIX: &str = "pcw_";

/// All issuers of the configuration.
pub(super) struct Issuers {
    all: Vec<Issuer>,
    refused: Refused,
}

impl Issuers {
    pub(super) fn new(
        configs: Vec<WorkloadIssuerConfig>,
        reviews: &Arc<dyn TokenReviews>,
        ambient: &Ambient,
    ) -> Result<Self> {
        let one = |config| Issuer::new(config, Arc::clone(reviews), ambient.clone());
        Ok(Self { all: configs.into_iter().map(one).collect::<Result<_>>()?, refused: Refused::default() })
    }

    /// The one whose tokens say `iss`.
    fn of(&self, iss: &str) -> Option<&Issuer> {
        self.all.iter().find(|it| it.config.issuer == iss)
    }
}

impl Identity {
    /// The names of the issuers whose tokens of workloads are believed.
    pub fn workload_issuers(&self) -> impl Iterator<Item = &Name> {
        self.issuers.all.iter().map(|it| &it.config.name)
    }

    /// Whether each issuer of workloads' tokens can be used, for `check`.
    pub async fn check_workload_issuers(&self) -> Vec<(Name, Result<()>)> {
        let mut found = Vec::new();
        for issuer in &self.issuers.all {
            found.push((issuer.config.name.clone(), issuer.check().await));
        }
        found
    }
}
