//! What files declare: teams, applications, environments, clusters, trust scopes; plan and apply.
//!
//! Files are the user's own; a set of them has a source name and owns what it declared and nothing
//! else. What is declared lies in two tables and is read as a [`Snapshot`] of one version.

mod apply;
mod builtin;
mod check;
mod declare;
mod documents;
mod plan;
mod reader;
mod rotation;
mod snapshot;
#[cfg(test)]
mod tests;
mod yaml;

pub use apply::{Applied, Conditions};
pub use declare::{
    Application, Cluster, ClusterGroup, ClusterPeople, Delivery, Environment, ExternalLocation,
    ExternalSecret, Group, Kind, LeaseRole, Namespace, Object, RoleLocation, Share, Team, UserClaim,
    Workload,
};
pub use documents::{Document, LONGEST_FILE, LONGEST_SOURCE, MOST_FILES};
pub use plan::{Change, ChangeKind, DocumentSet, Plan};
pub use reader::Catalog;
pub use rotation::{CiJob, Rotation, Rotator, StaticRole, Way};
pub use snapshot::Snapshot;
