//! Decides. Plain facts go in, a [`Permit`] or a [`Denial`] with its reason and remedy comes out.
//!
//! Pure: no database, no clock, no network. Only here can a `Permit` be made (invariant 1).

mod action;
mod cedar;
mod connection;
mod decide;
mod explain;
mod facts;
mod permit;
mod principal;
mod question;
mod resource;
mod scope;
mod services;
#[cfg(test)]
mod tests;
mod workload;

pub use action::Action;
pub use decide::Policies;
pub use facts::{
    Authentication, ConnectionFacts, Facts, GrantFact, Membership, PersonFacts, ScopeStanding, ServiceFacts,
    WorkloadFacts,
};
pub use permit::{Denial, DenialReason, FactVersions, Permit};
pub use principal::{PersonStatus, Principal, Service};
pub use resource::{EnvironmentFacts, Resource};
pub use scope::{
    ADMINISTRATORS, AfterLeaving, Allowance, Applications, ApplicationsWord, AuthenticationNeed, ByRequest,
    Environments, EnvironmentsWord, FactAge, Members, ScopeRotation, TrustScope,
};
pub use services::{OwnServices, ServicePermits};
