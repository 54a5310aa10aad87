//! Keeps what files declare as deliveries in Kubernetes Secrets (invariants 6 and 7).
//!
//! Level-triggered: woken by the log, by the clusters and by a timer, it reads what should be and what
//! is, and takes no other input. Every write to a cluster has an intent before and an outcome after; an
//! intent without an outcome is compared with what is there. It owns whole Secrets and touches no other.

mod desired;
mod directory;
mod kubernetes;
mod manifest;
mod pin;
mod readers;
mod reconcile;
mod recover;
mod remove;
mod reviews;
mod run;
mod states;
mod target;
#[cfg(test)]
mod tests;
mod units;
mod values;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

pub use directory::Directory;
pub use kubernetes::Kubernetes;
pub use pin::PinConfigMap;
pub use readers::UnknownReaders;
pub use reconcile::Next;
pub use reviews::Reviewers;
pub use states::{DeliveryRow, LONGEST_PAUSE};
pub use target::{CheckFinding, CheckLevel, Found, Manifest, Mode, Reader, Seen, Spot, Target, TargetError};
pub use units::DeliveryState;

use crate::{
    audit::Log,
    base::{
        Ambient, EnvironmentRef, Name, Result, SecretName, SecretValue,
        config::Access,
        ids::{SecretId, VersionId},
    },
    catalog::Catalog,
    identity::ServicePermits,
    keys::Keys,
    policy::Permit,
    store::Database,
};

/// The current version of a secret, with its value.
#[derive(Clone, Debug)]
pub struct CurrentValue {
    /// What it is called in this environment: the key in the Kubernetes Secret.
    pub name: SecretName,
    /// Which secret.
    pub secret: SecretId,
    /// Which version of it.
    pub version: VersionId,
    /// Its value.
    pub value: SecretValue,
}

/// Where values come from.
#[async_trait]
pub trait Values: Send + Sync {
    /// The current values of an environment, with those that other applications share with it. `permit`
    /// is one to deliver it.
    ///
    /// # Errors
    /// `engine-unavailable` and others of the engine.
    async fn current(&self, at: &EnvironmentRef, permit: Permit) -> Result<Vec<CurrentValue>>;
}

/// Keyed digests, by which Secrets of ours are recognised.
pub trait Mac: Send + Sync {
    /// HMAC-SHA-256 over `parts` under a key for `purpose`; parts are told apart.
    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32];
}

impl Mac for Keys {
    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        Self::mac(self, purpose, parts)
    }
}

/// What the broker works with.
pub struct Surroundings {
    /// Where states are kept.
    pub database: Database,
    /// The one way to write.
    pub log: Log,
    /// Time and chance.
    pub ambient: Ambient,
    /// What should be.
    pub catalog: Catalog,
    /// With which values.
    pub values: Arc<dyn Values>,
    /// Recognises what is ours.
    pub mac: Arc<dyn Mac>,
    /// Gives the broker its permits.
    pub permits: Arc<dyn ServicePermits>,
    /// The clusters by name.
    pub targets: BTreeMap<Name, Arc<dyn Target>>,
}

/// The broker. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    it: Arc<Surroundings>,
}

impl Broker {
    /// A broker of these clusters. It does nothing until it is [run](Self::run).
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self { it: Arc::new(surroundings) }
    }

    /// What each cluster that is declared says of being reached, and of our rights in its allowed
    /// namespaces, missing and superfluous ones; by cluster.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn check(&self) -> Result<BTreeMap<Name, Vec<CheckFinding>>> {
        let declared = self.it.catalog.snapshot().await?;
        let mut findings = BTreeMap::new();
        for (name, target) in &self.it.targets {
            let cluster = declared.cluster(name);
            let namespaces = cluster.map(run::namespaces_of).unwrap_or_default();
            let mut found = target.check(&namespaces).await;
            if cluster.is_some_and(|it| it.people.is_some()) {
                found.extend(target.check_readers(&namespaces).await);
            }
            findings.insert(name.clone(), found);
        }
        for name in declared.clusters.keys().filter(|it| !self.it.targets.contains_key(*it)) {
            let unknown = CheckFinding {
                level: CheckLevel::Failure,
                message: format!("the server's configuration does not say how '{name}' is reached"),
                remedy: Some(format!("Add [clusters.{name}] to it.")),
            };
            findings.insert(name.clone(), vec![unknown]);
        }
        Ok(findings)
    }
}

/// The targets that a configuration names.
#[must_use]
pub fn targets(clusters: &BTreeMap<Name, Access>, ambient: &Ambient) -> BTreeMap<Name, Arc<dyn Target>> {
    let open = |access: &Access| -> Arc<dyn Target> {
        match access {
            Access::Directory(root) => Arc::new(Directory::new(root.clone(), ambient.clone())),
            access => Arc::new(Kubernetes::new(access.clone())),
        }
    };
    clusters.iter().map(|(name, access)| (name.clone(), open(access))).collect()
}
