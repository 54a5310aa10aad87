//! Leases: credentials that a dynamic engine makes for one holder and takes back.
//!
//! A lease is issued under a token of its own (design: "One way to write"):
//! 1. the intent, a row that is `opening`, with an entry;
//! 2. the token, and its accessor stored before anything is read with it;
//! 3. the credentials;
//! 4. the outcome: facts read again, the row `live`, an entry; only then do the credentials leave.
//!
//! Whatever fails after 2 is taken back by the accessor, at once or by [`Leases::run`], which looks again and
//! again at what is half done. So nothing is good for anything that nobody was given, wherever the process ends.
//!
//! Taking back is an intent and an outcome, too: [`end_lease`] makes a row `revoking` in the unit of whoever wants
//! it gone, and it stays so, in sight, until the engine has answered.

mod engine;
mod issue;
mod list;
mod renew;
mod revoke;
mod rows;
mod settle;

use std::sync::Arc;

pub use engine::{EngineRole, Handle, Issued, LeaseEngine, Life, Opened};
pub use issue::Lent;
pub use list::Whose;
pub use revoke::end_lease;
pub use rows::{Lease, LeaseState};

use crate::{
    audit::{Draft, Log},
    base::{Ambient, LeaseRef, Problem, ProblemKind, Result, ids::PersonId},
    catalog::Catalog,
    policy::{Action, EnvironmentFacts, Permit, Resource, Service, ServicePermits},
    store::Database,
};

/// This part of the room in the table of intents.
const ROOM: &str = "leases";

/// What leases are made from.
pub struct LeaseParts {
    /// Where leases lie.
    pub database: Database,
    /// The only way to write.
    pub log: Log,
    /// Which roles files declare.
    pub catalog: Catalog,
    /// Time and chance.
    pub ambient: Ambient,
    /// What makes credentials; nothing for the embedded engine.
    pub engine: Option<Arc<dyn LeaseEngine>>,
    /// Permits for what is noted by itself.
    pub permits: Arc<dyn ServicePermits>,
}

/// Leases. Cheap to clone.
#[derive(Clone)]
pub struct Leases {
    it: Arc<LeaseParts>,
}

impl Leases {
    /// Leases in these surroundings.
    #[must_use]
    pub fn new(parts: LeaseParts) -> Self {
        Self { it: Arc::new(parts) }
    }

    fn engine(&self) -> Result<Arc<dyn LeaseEngine>> {
        self.it.engine.clone().ok_or_else(|| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                "the embedded engine keeps values and makes none: it has no credentials to lease",
            )
            .remedy("Set `[engine] kind = \"vault\"` in the server's configuration; see docs/leases.md.")
        })
    }

    /// What came of something at the engine is noted by the room itself, whoever is gone meanwhile.
    fn permit_to_settle(&self, lease: &Lease) -> Result<Permit> {
        let at = EnvironmentFacts {
            at: lease.at.environment.clone(),
            owner: lease.owner.clone(),
            protected: lease.protected,
        };
        self.it.permits.permit(Service::Secrets, Action::Settle, Resource::Environment(at))
    }
}

/// The role that a permit is for.
fn role_of(permit: &Permit) -> Result<(EnvironmentFacts, LeaseRef)> {
    permit.expect(Action::Lease)?;
    match permit.resource() {
        Resource::Lease(at, role) => {
            Ok((at.clone(), LeaseRef { environment: at.at.clone(), role: role.clone() }))
        }
        _ => Err(Problem::internal("a permit to lease is for a role")),
    }
}

/// An entry about a lease: where, of whom, which.
fn draft(action: &str, lease: &Lease) -> Draft {
    let draft = Draft::act(action)
        .environment(&lease.at.environment)
        .resource(&lease.at)
        .with("lease", lease.id.to_string())
        .with("holder", lease.principal.as_str());
    match lease.principal.parse::<PersonId>() {
        Ok(person) => draft.subject(person),
        Err(_) => draft,
    }
}

fn no_such(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no lease {id}")).remedy("`portctl lease list` shows yours.")
}
