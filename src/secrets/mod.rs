//! Secrets: engines, immutable versions, and who came to know which value.
//!
//! A version has a number and an id of our own, whichever the engine. The embedded engine's values are
//! rows, sealed and written in the unit that records them. A remote engine is written between an intent
//! and an outcome, and read before the unit that records the exposure; a value leaves only after that.

mod current;
mod embedded;
mod exposure;
mod exposures;
mod fetch;
mod generate;
pub mod leases;
mod list;
mod place;
mod remote;
mod remove;
mod reveal;
mod rotate;
mod rows;
mod settle;
mod static_role;
#[cfg(test)]
mod tests;
pub mod vault;
mod write;

use std::sync::Arc;

pub use current::Current;
pub use exposure::note_readable;
pub use exposures::{Exposure, Exposures, Whose};
pub use generate::Recipe;
pub use leases::{Lease, LeaseParts, LeaseState, Leases, end_lease};
pub use list::{Listed, VersionLine};
pub use remote::{Place, RemoteEngine, Stored, VersionState};
pub use remove::Removal;
pub use reveal::Revealed;
pub use static_role::{StaticCredentials, StaticRoles};
pub use vault::{ForeignPath, Vault, lease_addition, lease_policy, least_policy, static_role_addition};
pub use write::Made;

use crate::{
    audit::Log,
    base::{Ambient, Problem, Result, SecretRef},
    catalog::Catalog,
    keys::Keys,
    policy::{Action, EnvironmentFacts, Permit, Resource, ServicePermits},
    store::Database,
};

/// What this room is made from.
pub struct Parts {
    /// Where secrets and versions lie.
    pub database: Database,
    /// The only way to write.
    pub log: Log,
    /// What files declare: places of secrets, and which are shared.
    pub catalog: Catalog,
    /// Seals and fingerprints.
    pub keys: Keys,
    /// Time and chance.
    pub ambient: Ambient,
    /// Where values live; nothing for the embedded engine.
    pub remote: Option<Arc<dyn RemoteEngine>>,
    /// Permits for what this room notes by itself.
    pub permits: Arc<dyn ServicePermits>,
}

/// Secrets and their values. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    it: Arc<Parts>,
}

impl Secrets {
    /// Secrets in these surroundings.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { it: Arc::new(parts) }
    }
}

/// The secret that a permit is for; it has to be one for `action`.
fn secret_of(permit: &Permit, action: Action) -> Result<(EnvironmentFacts, SecretRef)> {
    permit.expect(action)?;
    match permit.resource() {
        Resource::Secret(at, name) => {
            Ok((at.clone(), SecretRef { environment: at.at.clone(), name: name.clone() }))
        }
        _ => Err(Problem::internal(format!("a permit to {action} a secret is for one"))),
    }
}

/// The environment that a permit is for; it has to be one for `action`.
fn environment_of(permit: &Permit, action: Action) -> Result<EnvironmentFacts> {
    permit.expect(action)?;
    match permit.resource() {
        Resource::Environment(at) => Ok(at.clone()),
        _ => Err(Problem::internal(format!("a permit to {action} in an environment is for one"))),
    }
}

fn no_such(at: &SecretRef) -> Problem {
    Problem::not_found(format!("there is no secret '{at}'"))
        .remedy(format!("`portctl secret list {}` shows those that there are.", at.environment))
}
