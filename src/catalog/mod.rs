//! What files declare: teams, applications, environments, clusters, trust scopes; plan and apply.
//!
//! Files are the user's own; a set of them has a source name and owns what it declared and nothing
//! else. What is declared lies in two tables and is read as a [`Snapshot`] of one version.

mod builtin;
mod declare;
mod reader;
mod snapshot;

pub use declare::{
    Application, Cluster, Delivery, Environment, ExternalLocation, ExternalSecret, Group, Kind, Namespace,
    Object, Share, Team,
};
pub use reader::Catalog;
pub use snapshot::Snapshot;
