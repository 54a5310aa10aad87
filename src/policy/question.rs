//! What the policies are asked: scopes, people and resources as Cedar sees them.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use cedar_policy::{Entity, RestrictedExpression as Expr};

use super::{
    Action, Allowance, GrantFact, PersonFacts, Resource, TrustScope,
    cedar::{Question, action_entity, allowance_record, entity, refs, resource_entity, texts, uid},
};
use crate::base::{EnvironmentRef, Name, Timestamp};

/// How old group memberships may be where a scope does not say.
const FACTS_NO_OLDER_THAN: Duration = Duration::from_hours(12);
/// The same where a protected environment is opened.
const FACTS_NO_OLDER_THAN_PROTECTED: Duration = Duration::from_hours(1);

/// Scopes with an allowance that names the action. For `request`, any that can be asked for.
pub(super) fn candidates(
    facts: &PersonFacts,
    action: Action,
) -> impl Iterator<Item = (&TrustScope, &Allowance)> {
    facts.scopes.iter().filter(|scope| scope.members.has_people()).flat_map(move |scope| {
        scope
            .allows
            .iter()
            .filter(move |allowance| {
                if action == Action::Request {
                    scope.by_request.is_some()
                } else {
                    allowance.actions.contains(&action)
                }
            })
            .map(move |allowance| (scope, allowance))
    })
}

/// Whether an allowance is about this resource, conditions aside: only used to choose which denial to
/// explain, never to allow.
pub(super) fn covers(
    allowance: &Allowance,
    action: Action,
    resource: &Resource,
    facts: &PersonFacts,
) -> bool {
    use super::scope::{Applications as Apps, ApplicationsWord as Word};
    let Some(at) = resource.environment() else { return allowance.actions.contains(&action) };
    let of_application = match &allowance.applications {
        Some(Apps::Word(Word::All)) => true,
        Some(Apps::Named(names)) => names.contains(&at.at.application),
        Some(Apps::Word(Word::OwnTeams)) => at.at.team.as_ref().or(at.owner.as_ref()).is_some_and(|owner| {
            facts.teams.iter().any(|(team, groups)| {
                team == owner && facts.memberships.iter().any(|m| groups.contains(&m.group))
            })
        }),
        None => false,
    };
    in_environment(allowance, &at.at) && of_application
}

/// Whether an allowance is about this resource for the team whose it is: only used as [`covers`] is.
pub(super) fn covers_its_team(allowance: &Allowance, resource: &Resource) -> bool {
    resource.environment().is_some_and(|at| {
        let has_team = at.at.team.is_some() || at.owner.is_some();
        allowance.covers(&at.at, has_team)
    })
}

fn in_environment(allowance: &Allowance, at: &EnvironmentRef) -> bool {
    use super::scope::Environments as Envs;
    match &allowance.environments {
        Some(Envs::Word(_)) => true,
        Some(Envs::Named(names)) => names.contains(&at.environment),
        None => false,
    }
}

/// How old memberships may be for this scope and resource.
pub(super) fn limit(scope: &TrustScope, resource: &Resource) -> Duration {
    if let Some(facts) = &scope.facts {
        return facts.no_older_than;
    }
    match resource.environment() {
        Some(at) if at.protected => FACTS_NO_OLDER_THAN_PROTECTED,
        _ => FACTS_NO_OLDER_THAN,
    }
}

/// How long ago a provider may have confirmed a sign-in, for scopes that ask for that.
pub(super) const CONFIRMED_WITHIN: Duration = Duration::from_mins(5);

pub(super) fn person_uid(facts: &PersonFacts) -> cedar_policy::EntityUid {
    uid("Person", &facts.person.to_string())
}

/// The person with her groups split into those known recently enough and those not.
pub(super) fn person_entity(facts: &PersonFacts, oldest: Duration) -> Entity {
    let fresh: HashSet<&str> = facts
        .memberships
        .iter()
        .filter(|m| facts.now.since(m.asserted_at) <= oldest)
        .map(|m| m.group.as_str())
        .collect();
    let stale = || facts.memberships.iter().map(|m| m.group.as_str()).filter(|group| !fresh.contains(group));
    let teams = |groups: &HashSet<&str>| -> Vec<&str> {
        let within = |members: &[Name]| members.iter().any(|group| groups.contains(group.as_str()));
        facts.teams.iter().filter(|(_, members)| within(members)).map(|(team, _)| team.as_str()).collect()
    };
    let fresh_teams = teams(&fresh);
    let stale_teams: Vec<&str> =
        teams(&stale().collect()).into_iter().filter(|team| !fresh_teams.contains(team)).collect();
    let age = |since: Timestamp| i64::try_from(facts.now.since(since).as_millis()).unwrap_or(i64::MAX);
    entity(
        "Person",
        &facts.person.to_string(),
        vec![
            ("status", Expr::new_string(facts.status.as_str().to_owned())),
            ("groups", refs("Group", fresh.iter().copied())),
            ("staleGroups", refs("Group", stale())),
            ("teams", refs("Team", fresh_teams)),
            ("staleTeams", refs("Team", stale_teams)),
            ("acr", Expr::new_string(facts.authentication.acr.clone().unwrap_or_default())),
            ("signInAge", Expr::new_long(age(facts.authentication.at))),
            ("confirmationAge", Expr::new_long(age(facts.authentication.confirmed_at))),
        ],
    )
}

pub(super) fn scope_entity(now: Timestamp, scope: &TrustScope) -> Entity {
    let approvers = scope.by_request.as_ref().map_or(&[][..], |by| by.approvers.as_slice());
    let need = scope.authentication.as_ref();
    let millis = |oldest: Option<Duration>| {
        oldest.map_or(-1, |oldest| i64::try_from(oldest.as_millis()).unwrap_or(i64::MAX))
    };
    let oldest = millis(need.and_then(|need| need.no_older_than));
    let confirmed = millis(scope.revalidate.then_some(CONFIRMED_WITHIN));
    entity(
        "TrustScope",
        scope.name.as_str(),
        vec![
            ("groups", refs("Group", scope.members.groups.iter().map(Name::as_str))),
            ("workloads", refs("Workload", scope.members.workloads.iter().map(Name::as_str))),
            ("approvers", refs("Group", approvers.iter().map(Name::as_str))),
            ("byRequest", Expr::new_bool(scope.by_request.is_some())),
            ("ended", Expr::new_bool(scope.ends.is_some_and(|end| now >= end))),
            ("acr", texts(need.map_or(&[][..], |need| need.acr.as_slice()).iter().map(String::as_str))),
            ("oldestSignIn", Expr::new_long(oldest)),
            ("oldestConfirmation", Expr::new_long(confirmed)),
        ],
    )
}

/// A live grant of this scope that covers the resource; any live one where there is no environment.
pub(super) fn grant_for<'a>(
    facts: &'a PersonFacts,
    scope: &TrustScope,
    at: Option<&EnvironmentRef>,
) -> Option<&'a GrantFact> {
    facts.grants.iter().find(|grant| {
        grant.scope == scope.name
            && grant.starts <= facts.now
            && facts.now < grant.ends
            && at.is_none_or(|at| grant.environment == *at)
    })
}

pub(super) fn scoped_question(
    facts: &PersonFacts,
    action: Action,
    resource: &Resource,
    scope: &TrustScope,
    allowance: Option<&Allowance>,
    stand: bool,
) -> Question {
    let at = resource.environment().map(|at| &at.at);
    let nothing = Allowance { actions: Vec::new(), applications: None, environments: None };
    let context = vec![
        ("action".to_owned(), Expr::new_string(action.as_str().to_owned())),
        ("scope".to_owned(), Expr::new_entity_uid(uid("TrustScope", scope.name.as_str()))),
        ("allowance".to_owned(), allowance_record(allowance.unwrap_or(&nothing))),
        ("granted".to_owned(), Expr::new_bool(grant_for(facts, scope, at).is_some())),
        ("inNetwork".to_owned(), Expr::new_bool(in_network(facts.network, scope))),
    ];
    let resource_entity = resource_entity(resource);
    Question {
        principal: person_uid(facts),
        action,
        resource: resource_entity.uid(),
        entities: vec![
            person_entity(facts, limit(scope, resource)),
            scope_entity(facts.now, scope),
            resource_entity,
            action_entity(action),
        ],
        context,
        stand,
    }
}

/// Whether the caller's address is in one of the scope's networks. One that cannot be read holds nobody.
pub(super) fn in_network(address: Option<IpAddr>, scope: &TrustScope) -> bool {
    if scope.networks.is_empty() {
        return true;
    }
    let Some(address) = address else { return false };
    scope.networks.iter().any(|network| network.parse::<ipnet::IpNet>().is_ok_and(|n| n.contains(&address)))
}

/// When the membership that keeps a person in these groups longest grows too old.
pub(super) fn membership_ends(facts: &PersonFacts, groups: &[Name], oldest: Duration) -> Vec<Timestamp> {
    facts
        .memberships
        .iter()
        .filter(|m| groups.contains(&m.group))
        .map(|m| m.asserted_at.after(oldest))
        .max()
        .into_iter()
        .collect()
}
