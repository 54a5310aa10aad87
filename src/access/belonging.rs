//! In which teams and trust scopes a person is by her groups, and what of hers these justify.
//!
//! How long ago her groups were said does not matter here: what is known no longer is a reason to sign in
//! again, and none to take anything away. Only a membership that is not there is.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    approvers::environment_of,
    facts::{membership, teams_of},
    grants::Grant,
    request::Request,
    scope_choice::allowing,
};
use crate::{
    base::{
        EnvironmentRef, Name, Timestamp,
        ids::{Id as _, PersonId, SessionId},
    },
    catalog::Snapshot,
    identity::GroupRow,
    policy::{
        Authentication, DenialReason, FactVersions, PersonFacts, PersonStatus, Policies, Resource, TrustScope,
    },
};

/// Names of teams and of trust scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Belonging {
    pub(super) teams: BTreeSet<Name>,
    pub(super) scopes: BTreeSet<Name>,
}

/// A person with her groups as they are, as if they were said at this moment and nothing were granted.
pub(super) struct Hers<'d> {
    facts: PersonFacts,
    declared: &'d Snapshot,
}

impl<'d> Hers<'d> {
    pub(super) fn new(person: PersonId, groups: &[GroupRow], declared: &'d Snapshot, now: Timestamp) -> Self {
        let said_now = |row: &GroupRow| membership(&GroupRow { asserted_at: now, ..row.clone() }, declared);
        let facts = PersonFacts {
            person,
            // A suspension takes nothing away.
            status: PersonStatus::Active,
            memberships: groups.iter().filter_map(said_now).collect(),
            received_groups: Vec::new(),
            teams: declared.teams.clone(),
            authentication: Authentication {
                session: SessionId::from_uuid(uuid::Uuid::nil()),
                at: now,
                confirmed_at: now,
                acr: None,
                session_ends: now,
            },
            grants: Vec::new(),
            scopes: Arc::clone(&declared.scopes),
            now,
            network: None,
            versions: FactVersions { catalog: declared.version, ..FactVersions::default() },
        };
        Self { facts, declared }
    }

    pub(super) fn belonging(&self) -> Belonging {
        let is_in = |scope: &&TrustScope| {
            self.facts.memberships.iter().any(|it| scope.members.groups.contains(&it.group))
        };
        Belonging {
            teams: teams_of(&self.facts).into_iter().collect(),
            scopes: self.declared.scopes.iter().filter(is_in).map(|scope| scope.name.clone()).collect(),
        }
    }

    /// Whether she could ask for what was granted.
    pub(super) fn justify(&self, policies: &Policies, grant: &Grant) -> bool {
        let scope = self.declared.scope(&grant.scope);
        scope.is_some_and(|scope| self.could_ask(policies, scope, &grant.at))
    }

    /// Whether she could ask again for what she asks for.
    pub(super) fn justify_asking(&self, policies: &Policies, request: &Request) -> bool {
        let scope = self.declared.scope(&request.scope).and_then(|scope| allowing(scope, request.action));
        scope.is_some_and(|scope| self.could_ask(policies, &scope, &request.at))
    }

    /// Only where her groups or what files declare say no: what has run out, and what could not be
    /// evaluated, is no move of hers.
    fn could_ask(&self, policies: &Policies, scope: &TrustScope, at: &EnvironmentRef) -> bool {
        let at = Resource::Environment(environment_of(self.declared, at));
        !matches!(
            policies.eligible(&self.facts, scope, &at),
            Err(DenialReason::NotAMember | DenialReason::NotCovered)
        )
    }
}
