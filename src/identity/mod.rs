//! People, their accounts and groups, and how they are signed in.
//!
//! A person is a human with an id of our own. An account is (issuer, subject); e-mail addresses are
//! shown and searched for, and never join anything. A token is kept as a hash and joined with the
//! person's status at every use, so that nothing outlives a suspension or deactivation.

mod caller;
mod people;
mod permits;
mod sessions;
mod sign_in;
mod status;
mod token;

use std::sync::Arc;

pub use caller::{Caller, GroupRow, PersonRow, SessionFacts};
pub use people::{Person, PersonAddress};
pub use permits::ServicePermits;
pub use sessions::{NewSession, Session, SessionKind};
pub use sign_in::{Arrival, Assertion};
pub use status::{StatusChange, StatusChanged};
pub use token::TOKEN_PREFIX;

use crate::{
    audit::Log,
    base::{
        Ambient,
        config::{AdministratorGroup, SessionConfig},
    },
    store::Database,
};

/// People and their sessions. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    database: Database,
    log: Log,
    ambient: Ambient,
    permits: Arc<dyn ServicePermits>,
    administrators: Arc<[AdministratorGroup]>,
    sessions: SessionConfig,
}

impl Identity {
    /// People as `database` has them. `administrators` are the groups of the built-in scope: the last
    /// person in them cannot be taken away.
    #[must_use]
    pub fn new(
        database: Database,
        log: Log,
        ambient: Ambient,
        permits: Arc<dyn ServicePermits>,
        administrators: &[AdministratorGroup],
        sessions: SessionConfig,
    ) -> Self {
        Self { database, log, ambient, permits, administrators: administrators.into(), sessions }
    }
}
