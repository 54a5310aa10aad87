//! Decides. Plain facts go in, a [`Permit`] or a [`Denial`] with its reason and remedy comes out.
//!
//! Pure: no database, no clock, no network. Only here can a `Permit` be made (invariant 1).

mod action;
mod cedar;
mod decide;
mod facts;
mod permit;
mod principal;
mod resource;
mod scope;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use decide::{OwnServices, Policies, ServicePermits};
pub use facts::{Authentication, Facts, GrantFact, Membership, PersonFacts, ScopeStanding, ServiceFacts};
pub use permit::{Denial, DenialReason, FactVersions, Permit};
pub use principal::{PersonStatus, Principal, Service};
pub use resource::{EnvironmentFacts, Resource};
pub use scope::{
    ADMINISTRATORS, Allowance, Applications, ApplicationsWord, AuthenticationNeed, ByRequest, Environments,
    EnvironmentsWord, FactAge, Members, TrustScope,
};
