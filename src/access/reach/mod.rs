//! Who can reach what, for everybody at once: by the rows of now, or at a moment before by what the log
//! says. Both only gather facts; it is `policy` that decides on them, as it does for who asks.

mod history;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

pub use history::{ACTIONS, History};
pub use rows::world_of_now;

use super::facts::membership;
use crate::{
    base::{
        EnvironmentRef, Name, Problem, Result, Timestamp,
        ids::{GrantId, Id as _, PersonId, SessionId, WorkloadTokenId},
    },
    catalog::Snapshot,
    identity::GroupRow,
    policy::{
        Action, Authentication, Denial, FactVersions, Facts, GrantFact, Permit, PersonFacts, PersonStatus,
        Policies, Resource, WorkloadFacts,
    },
};

/// What can be done in an environment.
const IN_ENVIRONMENTS: &[Action] = &[
    Action::List,
    Action::Reveal,
    Action::Set,
    Action::Run,
    Action::Lease,
    Action::Destroy,
    Action::SeeDelivery,
    Action::PauseDelivery,
    Action::SeeExposure,
];

/// Somebody can do something somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Who: `per_…` or `workload/NAME`.
    pub principal: String,
    /// Where: `APPLICATION/ENVIRONMENT[@TEAM]`.
    pub at: String,
    /// By which trust scope.
    pub scope: Option<Name>,
    /// The grant that it takes.
    pub grant: Option<GrantId>,
    /// Whether a session of hers would do as it is; else she has to sign in again first.
    pub signed_in: bool,
    /// From this address and its like only.
    pub network: Option<IpAddr>,
    /// What.
    pub actions: Vec<Action>,
    /// In one sentence, why.
    pub because: String,
}

/// A live session, as far as decisions rest on it. Those of recovery reach no environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownSession {
    pub(super) id: SessionId,
    pub(super) authenticated_at: Timestamp,
    pub(super) confirmed_at: Timestamp,
    pub(super) acr: Option<String>,
    /// Nothing where it is not known, as of entries that did not say so yet.
    pub(super) ends_at: Option<Timestamp>,
}

/// What decides about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Somebody {
    pub(super) status: PersonStatus,
    pub(super) groups: Vec<GroupRow>,
    pub(super) sessions: Vec<KnownSession>,
    pub(super) grants: Vec<GrantFact>,
}

/// Everybody, and what is declared, at one moment.
#[derive(Clone, Debug)]
pub struct World {
    people: BTreeMap<PersonId, Somebody>,
    declared: Arc<Snapshot>,
    now: Timestamp,
}

/// How somebody could come: by a session that there is, or by a new one.
struct Way {
    facts: Facts,
    signed_in: bool,
    network: Option<IpAddr>,
}

impl World {
    /// Everybody's reach into environments, of one application where one is named: by person, place and
    /// scope; then that of workloads.
    ///
    /// # Errors
    /// `not-found` where that application was not declared.
    pub fn reaches(&self, policies: &Policies, application: Option<&Name>) -> Result<Vec<Reach>> {
        if let Some(name) = application.filter(|name| !self.declared.applications.contains_key(*name)) {
            return Err(Problem::not_found(format!("no application '{name}' was declared at {}", self.now)));
        }
        let wanted = |at: &EnvironmentRef| application.is_none_or(|name| at.application == *name);
        let mut places = Vec::new();
        for at in self.declared.environment_list().filter(wanted) {
            places.push(Resource::Environment(self.declared.environment(&at)?));
        }
        let mut all = Vec::new();
        for (person, somebody) in &self.people {
            let (who, ways) = (person.to_string(), self.ways(*person, somebody));
            all.extend(places.iter().flat_map(|place| reach(policies, &who, &ways, place)));
        }
        for name in self.declared.workloads.keys() {
            let (who, ways) = (format!("workload/{name}"), self.ways_of_workload(name));
            all.extend(places.iter().flat_map(|place| reach(policies, &who, &ways, place)));
        }
        Ok(all)
    }

    /// How many people it knows, whatever they can reach.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// What policy says of an act of hers by her newest session, wherever she calls from.
    ///
    /// # Errors
    /// The no, where she is known at all.
    pub fn decide(
        &self,
        policies: &Policies,
        person: PersonId,
        action: Action,
        at: &EnvironmentRef,
    ) -> Option<Result<Permit, Box<Denial>>> {
        let somebody = self.people.get(&person)?;
        let environment = Resource::Environment(self.declared.environment(at).ok()?);
        let facts = self.facts(person, somebody, somebody.sessions.last());
        Some(policies.decide(&Facts::Person(facts), action, environment))
    }

    fn ways(&self, person: PersonId, somebody: &Somebody) -> Vec<Way> {
        let mut ways = Vec::new();
        for network in self.networks() {
            for session in somebody.sessions.iter().rev() {
                let facts = PersonFacts { network, ..self.facts(person, somebody, Some(session)) };
                ways.push(Way { facts: Facts::Person(facts), signed_in: true, network });
            }
        }
        for network in self.networks() {
            for acr in self.classes() {
                let facts = PersonFacts { network, ..self.signed_in_again(person, somebody, acr) };
                ways.push(Way { facts: Facts::Person(facts), signed_in: false, network });
            }
        }
        ways
    }

    /// A workload comes with a new token whenever it wants to.
    fn ways_of_workload(&self, name: &Name) -> Vec<Way> {
        let token = WorkloadTokenId::from_uuid(uuid::Uuid::nil());
        let facts = |network| WorkloadFacts {
            workload: name.clone(),
            is_declared: true,
            token,
            token_ends: self.now.after(Duration::from_mins(1)),
            only: None,
            scopes: Arc::clone(&self.declared.scopes),
            now: self.now,
            network,
            versions: FactVersions { catalog: self.declared.version, ..FactVersions::default() },
        };
        let way = |network| Way { facts: Facts::Workload(facts(network)), signed_in: true, network };
        self.networks().into_iter().map(way).collect()
    }

    /// From anywhere, and from each network that a scope names.
    fn networks(&self) -> BTreeSet<Option<IpAddr>> {
        let named = self.declared.scopes.iter().flat_map(|scope| &scope.networks);
        let addresses =
            named.filter_map(|text| text.parse::<ipnet::IpNet>().ok()).map(|net| Some(net.addr()));
        std::iter::once(None).chain(addresses).collect()
    }

    /// Every authentication context class that a scope asks for, and none.
    fn classes(&self) -> BTreeSet<Option<String>> {
        let needs = self.declared.scopes.iter().filter_map(|scope| scope.authentication.as_ref());
        std::iter::once(None).chain(needs.flat_map(|need| need.acr.iter().cloned().map(Some))).collect()
    }

    fn facts(&self, person: PersonId, somebody: &Somebody, by: Option<&KnownSession>) -> PersonFacts {
        let live = |grant: &&GrantFact| grant.starts <= self.now && self.now < grant.ends;
        PersonFacts {
            person,
            status: somebody.status,
            memberships: somebody.groups.iter().filter_map(|it| membership(it, &self.declared)).collect(),
            received_groups: Vec::new(),
            teams: self.declared.teams.clone(),
            authentication: Authentication {
                session: by.map_or_else(|| SessionId::from_uuid(uuid::Uuid::nil()), |it| it.id),
                at: by.map_or(Timestamp::EPOCH, |it| it.authenticated_at),
                confirmed_at: by.map_or(Timestamp::EPOCH, |it| it.confirmed_at),
                acr: by.and_then(|it| it.acr.clone()),
                session_ends: by.and_then(|it| it.ends_at).unwrap_or(self.now),
            },
            grants: somebody.grants.iter().filter(live).cloned().collect(),
            scopes: Arc::clone(&self.declared.scopes),
            now: self.now,
            network: None,
            versions: FactVersions { catalog: self.declared.version, ..FactVersions::default() },
        }
    }

    /// As [`Self::facts`], if her identity provider said again at this moment what it said last.
    fn signed_in_again(&self, person: PersonId, somebody: &Somebody, acr: Option<String>) -> PersonFacts {
        let mut facts = self.facts(person, somebody, None);
        facts.memberships.iter_mut().for_each(|it| it.asserted_at = self.now);
        (facts.authentication.at, facts.authentication.acr) = (self.now, acr);
        facts.authentication.confirmed_at = self.now;
        facts
    }
}

/// What she can do there, put together where it is by the same scope in the same way.
fn reach(policies: &Policies, who: &str, ways: &[Way], place: &Resource) -> Vec<Reach> {
    let mut found: Vec<Reach> = Vec::new();
    for action in IN_ENVIRONMENTS {
        let first = ways.iter().find_map(|way| {
            let permit = policies.decide(&way.facts, *action, place.clone()).ok()?;
            Some(one(who, place, way, &permit))
        });
        let Some(mut new) = first else { continue };
        let same = |it: &&mut Reach| Reach { actions: Vec::new(), ..(*it).clone() } == new;
        if let Some(known) = found.iter_mut().find(same) {
            known.actions.push(*action);
        } else {
            new.actions.push(*action);
            found.push(new);
        }
    }
    found
}

fn one(who: &str, place: &Resource, way: &Way, permit: &Permit) -> Reach {
    let because = if way.signed_in {
        permit.because().to_owned()
    } else {
        "member by what was last said of her groups, once she signs in again".to_owned()
    };
    Reach {
        principal: who.to_owned(),
        at: place.to_string(),
        scope: permit.scope().cloned(),
        grant: permit.grant(),
        signed_in: way.signed_in,
        network: way.network,
        actions: Vec::new(),
        because,
    }
}
