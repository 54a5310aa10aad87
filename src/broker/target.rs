//! Where Secrets go: a cluster, or a folder that keeps the same contract.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::base::{Name, SecretValue};

/// A Secret within one target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The namespace.
    pub namespace: Name,
    /// The Secret's name; an RFC 1123 subdomain.
    pub secret: String,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.secret)
    }
}

/// What is in a Secret. `Debug` shows no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Labels, everybody's.
    pub labels: BTreeMap<String, String>,
    /// Annotations, everybody's.
    pub annotations: BTreeMap<String, String>,
    /// Values by key.
    pub data: BTreeMap<String, SecretValue>,
    /// What else its metadata holds that is not ours to take away: `finalizers`, `ownerReferences`.
    pub kept: serde_json::Map<String, serde_json::Value>,
}

/// Which state of which Secret was read: what a change is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// A Secret as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which state of it.
    pub seen: Seen,
    /// What is in it.
    pub manifest: Manifest,
    /// Whether somebody marked it immutable: then it can be deleted, and not replaced.
    pub immutable: bool,
    /// Whether it is being deleted and a finalizer holds it.
    pub ending: bool,
}

/// Whether to do it, or to find out whether it could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    Do,
    /// Have everything checked, keep nothing.
    Try,
}

/// Somebody as a cluster knows her.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    /// Her user name there; empty where only her groups are known.
    pub user: String,
    /// Her groups there.
    pub groups: Vec<String>,
}

/// Why a target did not do it. No text in it comes from what a Secret holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Created by somebody else, or changed since it was read, or gone.
    #[error("it changed meanwhile")]
    Conflict,
    /// The rights are missing.
    #[error("no right to {verb} Secrets in the namespace '{namespace}'")]
    Forbidden {
        /// Of RBAC: get, create, update, delete, watch.
        verb: &'static str,
        /// Where.
        namespace: Name,
    },
    /// The target says that this cannot be.
    #[error("{0}")]
    Refused(String),
    /// No answer, or none in time. Whether it was done is not known.
    #[error("{0}")]
    Unreachable(String),
}

/// One thing that `check` says of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CheckFinding {
    /// Whether it is as it should be, too much, or too little.
    pub level: CheckLevel,
    /// In a sentence.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckLevel {
    /// As it should be.
    Fine,
    /// It works, and holds rights that it does not need.
    Warning,
    /// It cannot work.
    Failure,
}

/// A cluster, or what stands in for one. It knows nothing of whose Secrets are whose.
#[async_trait]
pub trait Target: Send + Sync {
    /// The Secret as it is now; nothing where there is none.
    async fn read(&self, spot: &Spot) -> Result<Option<Found>, TargetError>;

    /// Makes a Secret: [`TargetError::Conflict`] where there is one of that name.
    async fn create(&self, spot: &Spot, manifest: &Manifest, mode: Mode) -> Result<(), TargetError>;

    /// Replaces the whole Secret: [`TargetError::Conflict`] where it is no longer what was seen.
    async fn replace(
        &self,
        spot: &Spot,
        seen: &Seen,
        manifest: &Manifest,
        mode: Mode,
    ) -> Result<(), TargetError>;

    /// Deletes it: [`TargetError::Conflict`] where it is no longer what was seen. One that is gone
    /// already is no error.
    async fn delete(&self, spot: &Spot, seen: &Seen, mode: Mode) -> Result<(), TargetError>;

    /// Tells, in a namespace, which Secrets may have changed. May tell too much; what it misses, the
    /// timer finds. Never ends by itself.
    fn changes(&self, namespace: &Name) -> BoxStream<'static, Spot>;

    /// Whether it is reached, and with which rights in these namespaces.
    async fn check(&self, namespaces: &[Name]) -> Vec<CheckFinding>;

    /// Whether it is something that lets people in by itself and can be asked what they may read. A folder
    /// is not.
    fn knows_people(&self) -> bool {
        false
    }

    /// Whether somebody can read the Secret there, however she comes by the right.
    async fn may_read(&self, _spot: &Spot, _reader: &Reader) -> Result<bool, TargetError> {
        Ok(false)
    }

    /// What keeps us from asking that in these namespaces.
    async fn check_readers(&self, _namespaces: &[Name]) -> Vec<CheckFinding> {
        Vec::new()
    }
}
