//! What a decision ends in.

use std::net::IpAddr;

use super::{Action, AuthenticationNeed, Principal, Resource};
use crate::base::{
    Name, Problem, ProblemKind, Timestamp,
    ids::{GrantId, PersonId, SessionId, WorkloadTokenId},
};

/// The versions of the facts that a decision rests on. A unit of work reads them again; where one
/// has moved, the act is decided anew. By default it rests on nothing that moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactVersions {
    /// The person, and the version of her facts (status, groups, sessions, grants).
    pub person: Option<(PersonId, i64)>,
    /// The session that must still be there.
    pub session: Option<SessionId>,
    /// The workload's token that must still be good.
    pub workload: Option<WorkloadTokenId>,
    /// The version of what files declare.
    pub catalog: i64,
    /// The connection, and the version of what was set for it.
    pub connection: Option<(Name, i64)>,
}

/// The proof that policy allowed this principal this action on this resource.
///
/// A value that code must hold to act: it cannot be copied, stored, or made anywhere but in `policy`.
#[derive(Debug)]
pub struct Permit {
    pub(super) principal: Principal,
    pub(super) action: Action,
    pub(super) resource: Resource,
    pub(super) scope: Option<Name>,
    pub(super) grant: Option<GrantId>,
    pub(super) because: String,
    pub(super) network: Option<IpAddr>,
    pub(super) rests_on: FactVersions,
    pub(super) decided_at: Timestamp,
    pub(super) good_until: Timestamp,
}

impl Permit {
    /// Who may act.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The person who may act, where it is one.
    #[must_use]
    pub fn person(&self) -> Option<PersonId> {
        match self.principal {
            Principal::Person(id) => Some(id),
            Principal::Workload(_) | Principal::Service(_) | Principal::Connection(_) => None,
        }
    }

    /// What may be done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// To what.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The trust scope that allowed it; nothing for what everybody may do with her own.
    #[must_use]
    pub fn scope(&self) -> Option<&Name> {
        self.scope.as_ref()
    }

    /// The grant that it took.
    #[must_use]
    pub fn grant(&self) -> Option<GrantId> {
        self.grant
    }

    /// In one sentence, why it is allowed.
    #[must_use]
    pub fn because(&self) -> &str {
        &self.because
    }

    /// From where the act is asked for.
    #[must_use]
    pub fn network(&self) -> Option<IpAddr> {
        self.network
    }

    /// What has to be unchanged when the act is done.
    #[must_use]
    pub fn rests_on(&self) -> &FactVersions {
        &self.rests_on
    }

    /// When it was decided.
    #[must_use]
    pub fn decided_at(&self) -> Timestamp {
        self.decided_at
    }

    /// The last instant at which it may be acted on: the earliest end of what it rests on.
    #[must_use]
    pub fn good_until(&self) -> Timestamp {
        self.good_until
    }

    /// Refuses a permit that is for something else.
    ///
    /// # Errors
    /// `internal`: holding the wrong permit is a fault in our code.
    pub fn expect(&self, action: Action) -> Result<(), Problem> {
        if self.action == action {
            return Ok(());
        }
        Err(Problem::internal(format!("a permit to {} was used to {action}", self.action)))
    }
}

#[cfg(test)]
impl Permit {
    /// A permit that nobody decided on, for the tests of rooms that take one.
    pub(crate) fn for_tests(
        principal: Principal,
        action: Action,
        resource: Resource,
        rests_on: FactVersions,
        now: Timestamp,
    ) -> Self {
        Self {
            principal,
            action,
            resource,
            scope: None,
            grant: None,
            because: "a test".to_owned(),
            network: None,
            rests_on,
            decided_at: now,
            good_until: now.after(std::time::Duration::from_mins(1)),
        }
    }
}

/// Why policy said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// The person is suspended.
    Suspended,
    /// The person is deactivated.
    Deactivated,
    /// No trust scope covers this.
    NotCovered,
    /// A scope covers it, but its groups are not hers.
    NotAMember,
    /// Her groups are, but what we know of them is too old.
    FactsTooOld,
    /// The scope has ended.
    ScopeEnded,
    /// It has to be asked for.
    NeedsGrant,
    /// The sign-in is too weak.
    AuthenticationTooWeak,
    /// The sign-in is too old.
    AuthenticationTooOld,
    /// Her provider has not confirmed lately that the sign-in stands.
    NotConfirmed,
    /// Not from this network.
    OutsideNetwork,
    /// Nobody decides on her own request.
    OwnRequest,
    /// Nobody agrees with herself, or about herself, that a rotation may wait.
    OwnWaiver,
    /// She is not among the approvers.
    NotAnApprover,
    /// The connection is disabled.
    ConnectionDisabled,
    /// What files declare of the workload has moved since its token was issued.
    DeclarationMoved,
    /// The workload's token was asked for another trust scope.
    OtherScope,
    /// The scope wants what only people can do: ask, or sign in.
    ForPeople,
    /// A policy could not be evaluated.
    EvaluationFailed,
}

impl DenialReason {
    /// As entries and problem documents name it; also the id of the Cedar policy that says no.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::NotCovered => "not-covered",
            Self::NotAMember => "not-a-member",
            Self::FactsTooOld => "facts-too-old",
            Self::ScopeEnded => "scope-ended",
            Self::NeedsGrant => "needs-grant",
            Self::AuthenticationTooWeak => "authentication-too-weak",
            Self::AuthenticationTooOld => "authentication-too-old",
            Self::NotConfirmed => "not-confirmed",
            Self::OutsideNetwork => "outside-network",
            Self::OwnRequest => "own-request",
            Self::OwnWaiver => "own-waiver",
            Self::NotAnApprover => "not-an-approver",
            Self::ConnectionDisabled => "connection-disabled",
            Self::DeclarationMoved => "declaration-moved",
            Self::OtherScope => "other-scope",
            Self::ForPeople => "for-people",
            Self::EvaluationFailed => "evaluation-failed",
        }
    }

    fn kind(&self) -> ProblemKind {
        match self {
            Self::Suspended => ProblemKind::PersonSuspended,
            Self::Deactivated => ProblemKind::PersonDeactivated,
            Self::NeedsGrant => ProblemKind::NeedsGrant,
            Self::FactsTooOld
            | Self::AuthenticationTooWeak
            | Self::AuthenticationTooOld
            | Self::NotConfirmed => ProblemKind::InsufficientAuthentication,
            _ => ProblemKind::Denied,
        }
    }
}

/// A no, with its reason and what would make it a yes. As much a proof as a [`Permit`]: an entry of a
/// denial needs one.
#[derive(Debug)]
pub struct Denial {
    pub(super) principal: Principal,
    pub(super) action: Action,
    pub(super) resource: Resource,
    pub(super) reason: DenialReason,
    pub(super) scope: Option<Name>,
    /// What that scope wants of the sign-in.
    pub(super) need: Option<AuthenticationNeed>,
    pub(super) detail: String,
    /// The part of the detail that is the reason.
    pub(super) because: String,
    pub(super) remedy: Option<String>,
    pub(super) network: Option<IpAddr>,
}

impl Denial {
    /// Why, in words that name neither the action nor what it was wanted for, and what helps.
    #[must_use]
    pub fn in_words(&self) -> String {
        let remedy = self.remedy.as_ref().map_or_else(String::new, |remedy| format!(". {remedy}"));
        format!("{}{remedy}", self.because)
    }

    /// Who was refused.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What was refused.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// To what.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &DenialReason {
        &self.reason
    }

    /// The trust scope that would allow it, where there is one.
    #[must_use]
    pub fn scope(&self) -> Option<&Name> {
        self.scope.as_ref()
    }

    /// From where it was asked for.
    #[must_use]
    pub fn network(&self) -> Option<IpAddr> {
        self.network
    }

    /// The no as callers get it.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        let mut problem = Problem::new(self.reason.kind(), self.detail.clone())
            .with("reason", self.reason.as_str())
            .with("action", self.action.as_str())
            .with("resource", self.resource.to_string());
        if let Some(scope) = &self.scope {
            problem = problem.with("scope", scope.as_str());
        }
        if let Some(remedy) = &self.remedy {
            problem = problem.remedy(remedy.clone());
        }
        if problem.is(ProblemKind::InsufficientAuthentication) { self.with_need(problem) } else { problem }
    }

    /// What a sign-in has to be like that would do, in the words of RFC 9470.
    fn with_need(&self, mut problem: Problem) -> Problem {
        let Some(need) = &self.need else { return problem };
        if !need.acr.is_empty() {
            problem = problem.with("acr_values", need.acr.join(" "));
        }
        if let Some(oldest) = need.no_older_than {
            problem = problem.with("max_age", oldest.as_secs());
        }
        problem
    }
}
