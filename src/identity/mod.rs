//! People, their accounts and groups, and how they are signed in.
//!
//! A person is a human with an id of our own. An account is (issuer, subject); e-mail addresses are
//! shown and searched for, and never join anything. A token is kept as a hash and joined with the
//! person's status at every use, so that nothing outlives a suspension or deactivation.

mod caller;
mod cli_login;
mod csrf;
mod device;
mod display;
mod forget;
mod groups;
pub mod jwt;
mod limit;
mod oidc;
mod people;

mod published_keys;
mod recovery;
mod refusals;
mod removal;
mod revalidate;
pub mod scim;
mod sealing;
mod sessions;
mod sign_in;
mod status;
mod step_up;
#[cfg(test)]
mod tests;
mod token;
mod workloads;

use std::sync::Arc;

use limit::Limit;
use oidc::Providers;
use refusals::Refusals;
use url::Url;

pub use crate::policy::ServicePermits;
pub use caller::{Caller, GroupRow, PersonRow, SessionFacts};
pub(crate) use limit::whole;

pub use cli_login::{LoginWish, PendingLogin};
pub use device::{DeviceCodes, WaitingDevice};
pub use oidc::{BegunSignIn, Callback, ProviderFinding, ProviderSignOut, SignInWish, SignedIn};
pub use people::{Person, PersonAddress};
pub use recovery::RecoveryRight;
pub use removal::{
    Announcement, Cause, DecidedOn, Expected, Held, RemovalLimit, Removals, Removed, Source,
    Verdict as HeldVerdict,
};
pub use sealing::Sealing;
pub use sessions::{NewSession, Session, SessionKind};
pub use sign_in::{Arrival, Assertion};
pub use status::{StatusChange, StatusChanged, UNTIL_HER_PROVIDER_SPOKE};
pub use step_up::{Confirmation, StepUpWish};
pub use token::TOKEN_PREFIX;
use workloads::Issuers;
pub use workloads::{
    AnyCaller, Exchange, IssuedToken, Known, Pin, Reviewed, TokenReviews, WORKLOAD_TOKEN_PREFIX, Workload,
    WorkloadCaller, WorkloadRow,
};

use crate::{
    audit::Log,
    base::{
        Ambient, Result,
        config::{AdministratorGroup, ProviderConfig, SessionConfig, WorkloadIssuerConfig},
    },
    notify::Outbox,
    store::Database,
};

/// What this room is made from.
pub struct Parts {
    /// Where people lie.
    pub database: Database,
    /// The only way to write.
    pub log: Log,
    /// Seals what is kept.
    pub keys: Arc<dyn Sealing>,
    /// Time and chance.
    pub ambient: Ambient,
    /// Permits for what this room does by itself.
    pub permits: Arc<dyn ServicePermits>,
    /// The address that people reach the server at.
    pub public_url: Url,
    /// The groups of the built-in scope: the last person in them cannot be taken away.
    pub administrators: Vec<AdministratorGroup>,
    /// Who signs people in.
    pub providers: Vec<ProviderConfig>,
    /// Who issues workloads' tokens, and who asks clusters about them.
    pub workloads: WorkloadParts,
    /// How long sessions last.
    pub sessions: SessionConfig,
    /// Where what is held is told.
    pub outbox: Outbox,
}

/// Who issues workloads' tokens, and who asks clusters about them.
pub struct WorkloadParts {
    /// The issuers.
    pub issuers: Vec<WorkloadIssuerConfig>,
    /// Asks clusters.
    pub reviews: Arc<dyn TokenReviews>,
}

impl Default for WorkloadParts {
    /// No workload is let in.
    fn default() -> Self {
        Self { issuers: Vec::new(), reviews: Arc::new(workloads::NoClusters) }
    }
}

/// People and their sessions. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    database: Database,
    log: Log,
    keys: Arc<dyn Sealing>,
    ambient: Ambient,
    permits: Arc<dyn ServicePermits>,
    public_url: Arc<Url>,
    removals: Removals,
    providers: Arc<Providers>,
    issuers: Arc<Issuers>,
    sessions: SessionConfig,
    limit: Arc<Limit>,
    failures: Arc<Limit>,
    refusals: Arc<Refusals>,
}

impl Identity {
    /// People as the database has them. Talks to no provider yet.
    ///
    /// # Errors
    /// `invalid-configuration` for a provider that cannot be used as it is written down.
    pub fn new(parts: Parts) -> Result<Self> {
        let providers = Providers::new(parts.providers, &parts.public_url, &parts.ambient)?;
        let issuers = Issuers::new(parts.workloads.issuers, &parts.workloads.reviews, &parts.ambient)?;
        Ok(Self {
            database: parts.database,
            log: parts.log,
            keys: parts.keys,
            ambient: parts.ambient,
            permits: parts.permits,
            public_url: Arc::new(parts.public_url),
            removals: Removals::new(parts.administrators.into(), parts.outbox),
            providers: Arc::new(providers),
            issuers: Arc::new(issuers),
            sessions: parts.sessions,
            limit: Arc::new(Limit::of_begun()),
            failures: Arc::new(Limit::of_failed()),
            refusals: Arc::default(),
        })
    }

    /// What takes people away, inside other rooms' units of work.
    #[must_use]
    pub const fn removals(&self) -> &Removals {
        &self.removals
    }
}
