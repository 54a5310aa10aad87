//! The facts that a decision rests on: the newest held, never those of sign-in (invariant 4).

use std::net::IpAddr;

use super::{FactVersions, PersonStatus, Service, TrustScope};
use crate::base::{
    EnvironmentRef, Name, Timestamp,
    ids::{GrantId, PersonId, SessionId, WorkloadTokenId},
};

/// Everything that is known of whoever acts.
#[derive(Clone, Debug)]
pub enum Facts {
    /// A human.
    Person(PersonFacts),
    /// A CI job or a ServiceAccount.
    Workload(WorkloadFacts),
    /// One of our own services.
    Service(ServiceFacts),
    /// A connection.
    Connection(ConnectionFacts),
}

/// What is known of one of our own services.
#[derive(Clone, Debug)]
pub struct ServiceFacts {
    /// Which.
    pub service: Service,
    /// The time of the decision.
    pub now: Timestamp,
}

/// What is known of a connection that acts.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Which.
    pub connection: Name,
    /// Whether an administrator has taken it out of use.
    pub disabled: bool,
    /// The version of what was set for it.
    pub version: i64,
    /// From where.
    pub network: Option<IpAddr>,
    /// The time of the decision.
    pub now: Timestamp,
}

/// What is known of a workload that acts.
#[derive(Clone, Debug)]
pub struct WorkloadFacts {
    /// Which, as files declare it.
    pub workload: Name,
    /// Whether files still declare it as they did when its token was issued.
    pub is_declared: bool,
    /// The token.
    pub token: WorkloadTokenId,
    /// When the token ends.
    pub token_ends: Timestamp,
    /// The one trust scope that the token was asked for; nothing where it is good for all of the workload's.
    pub only: Option<Name>,
    /// All declared trust scopes, the built-in one first.
    pub scopes: std::sync::Arc<Vec<TrustScope>>,
    /// The time of the decision.
    pub now: Timestamp,
    /// From where.
    pub network: Option<IpAddr>,
    /// The versions of all this.
    pub versions: FactVersions,
}

/// What is known of a person who acts.
#[derive(Clone, Debug)]
pub struct PersonFacts {
    /// Who.
    pub person: PersonId,
    /// Whether anything works for her.
    pub status: PersonStatus,
    /// Her groups, by the aliases that files declare, with their sources and ages.
    pub memberships: Vec<Membership>,
    /// Groups as her sources name them, declared or not: for explaining, not for deciding.
    pub received_groups: Vec<String>,
    /// Teams, each with the groups whose people are in it.
    pub teams: Vec<(Name, Vec<Name>)>,
    /// How she signed in.
    pub authentication: Authentication,
    /// Grants that have not ended.
    pub grants: Vec<GrantFact>,
    /// All declared trust scopes, the built-in one first.
    pub scopes: std::sync::Arc<Vec<TrustScope>>,
    /// The time of the decision.
    pub now: Timestamp,
    /// From where.
    pub network: Option<IpAddr>,
    /// The versions of all this.
    pub versions: FactVersions,
}

/// A group that a person is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group's alias.
    pub group: Name,
    /// Who said so.
    pub source: String,
    /// When it was last said.
    pub asserted_at: Timestamp,
}

/// How a person signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The session.
    pub session: SessionId,
    /// When she proved who she is.
    pub at: Timestamp,
    /// When her identity provider last confirmed that the sign-in stands.
    pub confirmed_at: Timestamp,
    /// The authentication context class that the IdP asserted.
    pub acr: Option<String>,
    /// When the session ends whatever happens.
    pub session_ends: Timestamp,
}

/// A live grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFact {
    /// Which.
    pub id: GrantId,
    /// Of which trust scope.
    pub scope: Name,
    /// Where.
    pub environment: EnvironmentRef,
    /// When it begins.
    pub starts: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
}

/// How a person stands to a trust scope, for `whoami` and for those who ask why.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScopeStanding {
    /// The scope.
    pub scope: Name,
    /// Whether she is in it now.
    pub within: bool,
    /// In one sentence, why or why not.
    pub because: String,
    /// What would change that, where anything would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}
