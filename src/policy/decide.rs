//! The decision itself.
//!
//! Every trust scope that could fit is asked about once for each of its allowances; the first yes is
//! the permit. Where all say no, the denial is the one with the fewest steps missing, so that it can
//! name the step and the command that takes it.

use std::time::Duration;

use super::{
    ADMINISTRATORS, Action, Allowance, Denial, DenialReason, FactVersions, Facts, Permit, PersonFacts,
    PersonStatus, Principal, Resource, ScopeStanding, ServiceFacts, TrustScope,
    cedar::{
        Policies as CedarPolicies, Question, Verdict, action_entity, is_grantable, resource_entity, uid,
    },
    explain::{explain_reason, why_within},
    question::{
        CONFIRMED_WITHIN, candidates, covers, covers_its_team, grant_for, limit, membership_ends,
        person_entity, person_uid, scoped_question,
    },
};
use crate::base::{Name, Problem, ProblemKind, Timestamp};

/// How long a permit for what rests on nothing that ends may be acted on.
pub(super) const PERMIT_LIFE: Duration = Duration::from_mins(1);

/// The policies, parsed once.
pub struct Policies {
    people: CedarPolicies,
    pub(super) workloads: CedarPolicies,
    scopes: CedarPolicies,
    requests: CedarPolicies,
    services: CedarPolicies,
    pub(super) connections: CedarPolicies,
    /// Whom somebody without access can ask.
    contact: String,
}

impl Policies {
    /// The policies that this version was built with.
    ///
    /// # Errors
    /// Where they do not parse, which a test rules out.
    pub fn built_in() -> Result<Self, Problem> {
        let people = include_str!("../../policies/people.cedar");
        let parse = |texts: &[&str]| {
            CedarPolicies::parse(texts)
                .map_err(|e| Problem::new(ProblemKind::Internal, format!("policies: {e}")))
        };
        Ok(Self {
            people: parse(&[people])?,
            workloads: parse(&[include_str!("../../policies/workloads.cedar")])?,
            scopes: parse(&[people, include_str!("../../policies/scopes.cedar")])?,
            requests: parse(&[people, include_str!("../../policies/requests.cedar")])?,
            services: parse(&[include_str!("../../policies/services.cedar")])?,
            connections: parse(&[include_str!("../../policies/connections.cedar")])?,
            contact: "an administrator".to_owned(),
        })
    }

    /// The same, with whom somebody without access is told to ask.
    #[must_use]
    pub fn with_contact(self, contact: &str) -> Self {
        Self { contact: contact.to_owned(), ..self }
    }

    /// Whom somebody without access can ask.
    pub(super) fn contact(&self) -> &str {
        &self.contact
    }

    /// Decides whether whoever these facts are about may do `action` to `resource`.
    ///
    /// # Errors
    /// The no, with its reason and remedy.
    pub fn decide(&self, facts: &Facts, action: Action, resource: Resource) -> Result<Permit, Box<Denial>> {
        match facts {
            Facts::Service(facts) => self.decide_service(facts, action, resource),
            Facts::Workload(facts) => self.decide_workload(facts, action, resource),
            Facts::Person(facts) => self.decide_person(facts, action, resource),
            Facts::Connection(facts) => self.decide_connection(facts, action, resource),
        }
    }

    fn decide_service(
        &self,
        facts: &ServiceFacts,
        action: Action,
        resource: Resource,
    ) -> Result<Permit, Box<Denial>> {
        let principal = Principal::Service(facts.service);
        let question = Question {
            principal: uid("Service", facts.service.as_str()),
            action,
            resource: resource_entity(&resource).uid(),
            entities: vec![resource_entity(&resource), action_entity(action)],
            context: Vec::new(),
            stand: false,
        };
        match self.services.ask(&question) {
            Verdict::Allowed(id) => Ok(Permit {
                principal,
                action,
                resource,
                scope: None,
                grant: None,
                because: id,
                network: None,
                rests_on: FactVersions::default(),
                decided_at: facts.now,
                good_until: facts.now.after(PERMIT_LIFE),
            }),
            verdict => Err(Box::new(Denial {
                detail: format!("our service '{}' may not {action} {resource}", facts.service),
                because: "services do what their policies say".to_owned(),
                principal,
                action,
                resource,
                reason: match verdict {
                    Verdict::Broken => DenialReason::EvaluationFailed,
                    _ => DenialReason::NotCovered,
                },
                scope: None,
                need: None,
                remedy: None,
                network: None,
            })),
        }
    }

    fn decide_person(
        &self,
        facts: &PersonFacts,
        action: Action,
        resource: Resource,
    ) -> Result<Permit, Box<Denial>> {
        let outcome = match action {
            Action::SeeRequest | Action::Decide | Action::CancelRequest => {
                self.ask_request(facts, action, &resource)
            }
            Action::Request => self.ask_scopes(facts, action, &resource),
            _ if is_grantable(action) => self.ask_scopes(facts, action, &resource),
            _ => self.ask_own(facts, action, &resource),
        };
        match outcome {
            Ok(yes) => Ok(permit(facts, action, resource, yes)),
            Err(no) => Err(Box::new(denial(facts, action, resource, no, &self.contact))),
        }
    }

    fn ask_own(&self, facts: &PersonFacts, action: Action, resource: &Resource) -> Result<Yes, No> {
        let question = Question {
            principal: person_uid(facts),
            action,
            resource: resource_entity(resource).uid(),
            entities: vec![
                person_entity(facts, Duration::MAX),
                resource_entity(resource),
                action_entity(action),
            ],
            context: Vec::new(),
            stand: false,
        };
        match self.people.ask(&question) {
            Verdict::Allowed(id) => Ok(Yes { scope: None, grant: None, because: id, until: Vec::new() }),
            Verdict::Refused(ids) => Err(No::of(None, &ids)),
            Verdict::Broken => Err(No::broken()),
        }
    }

    fn ask_request(&self, facts: &PersonFacts, action: Action, resource: &Resource) -> Result<Yes, No> {
        let Resource::Request { scope, .. } = resource else { return Err(No::of(None, &[])) };
        let found = facts.scopes.iter().find(|s| s.name == *scope);
        // A scope that is no longer declared has no approvers left; its requester still sees and cancels.
        let gone = TrustScope {
            name: scope.clone(),
            members: super::Members::default(),
            by_request: None,
            ends: None,
            allows: Vec::new(),
            authentication: None,
            facts: None,
            revalidate: false,
            networks: Vec::new(),
            rotation: crate::policy::ScopeRotation::default(),
        };
        let declared = found.unwrap_or(&gone);
        let question = scoped_question(facts, action, resource, declared, None, false);
        let until = declared.by_request.as_ref().map_or(Vec::new(), |by| {
            if action == Action::Decide {
                membership_ends(facts, &by.approvers, limit(declared, resource))
            } else {
                Vec::new()
            }
        });
        match self.requests.ask(&question) {
            Verdict::Allowed(id) => {
                Ok(Yes { scope: found.map(|s| s.name.clone()), grant: None, because: id, until })
            }
            Verdict::Refused(ids) => Err(No::of(Some(scope.clone()), &ids)),
            Verdict::Broken => Err(No::broken()),
        }
    }

    /// Asks every scope that could fit; the first yes, or the no that lacks least.
    fn ask_scopes(&self, facts: &PersonFacts, action: Action, resource: &Resource) -> Result<Yes, No> {
        let (mut least, mut of_others): (Option<No>, Option<No>) = (None, None);
        for (scope, allowance) in candidates(facts, action) {
            let question = scoped_question(facts, action, resource, scope, Some(allowance), false);
            let no = match self.scopes.ask(&question) {
                Verdict::Allowed(_) => return Ok(yes(facts, resource, scope, allowance)),
                Verdict::Broken => return Err(No::broken()),
                Verdict::Refused(ids) => No::of(Some(scope.name.clone()), &ids),
            };
            if no.is_about_status() {
                return Err(no);
            }
            // Conditions are worth naming only where the scope would allow it otherwise.
            if covers(allowance, action, resource, facts) {
                nearer(&mut least, no);
            } else if covers_its_team(allowance, resource) {
                nearer(&mut of_others, no.of_other_teams());
            }
        }
        match least.or(of_others) {
            Some(no) => Err(no),
            // No scope at hand says anything about the person's status; that still comes first.
            None => match facts.status {
                PersonStatus::Active => Err(No::of(None, &[])),
                PersonStatus::Suspended => Err(No::of(None, &["suspended".into()])),
                PersonStatus::Deactivated => Err(No::of(None, &["deactivated".into()])),
            },
        }
    }

    /// Whether a person would be in a scope of this name but for a grant: who may ask for it, and who
    /// may be given it. The reason where not.
    ///
    /// # Errors
    /// The reason.
    pub fn eligible(
        &self,
        facts: &PersonFacts,
        scope: &TrustScope,
        resource: &Resource,
    ) -> Result<(), DenialReason> {
        let mut last = DenialReason::NotCovered;
        for allowance in &scope.allows {
            let question = scoped_question(facts, Action::Request, resource, scope, Some(allowance), false);
            match self.scopes.ask(&question) {
                Verdict::Allowed(_) => return Ok(()),
                Verdict::Refused(ids) if covers(allowance, Action::Request, resource, facts) => {
                    last = No::of(None, &ids).reason;
                }
                Verdict::Refused(_) => {}
                Verdict::Broken => return Err(DenialReason::EvaluationFailed),
            }
        }
        Err(last)
    }

    /// How a person stands to each scope, and why: what `whoami` shows.
    #[must_use]
    pub fn explain(&self, facts: &PersonFacts) -> Vec<ScopeStanding> {
        let scopes = facts.scopes.iter().filter(|scope| scope.members.has_people());
        scopes.map(|scope| self.standing(facts, scope)).collect()
    }

    fn standing(&self, facts: &PersonFacts, scope: &TrustScope) -> ScopeStanding {
        let question = scoped_question(facts, Action::SeeOwn, &Resource::Own, scope, None, true);
        let (within, because, remedy) = match self.scopes.ask(&question) {
            Verdict::Allowed(_) => (true, why_within(facts, scope), None),
            Verdict::Broken => (false, "its policy could not be evaluated".to_owned(), None),
            Verdict::Refused(ids) => {
                let no = No::of(Some(scope.name.clone()), &ids);
                let (because, remedy) = explain_reason(facts, &no.reason, Some(scope), None, &self.contact);
                (false, because, remedy)
            }
        };
        ScopeStanding { scope: scope.name.clone(), within, because, remedy }
    }
}

/// A yes, before it is a permit.
struct Yes {
    scope: Option<Name>,
    grant: Option<crate::base::ids::GrantId>,
    because: String,
    /// When each thing that it rests on ends.
    until: Vec<Timestamp>,
}

/// A no, before it is a denial.
pub(super) struct No {
    pub(super) scope: Option<Name>,
    pub(super) reason: DenialReason,
    count: usize,
}

impl No {
    pub(super) fn of(scope: Option<Name>, ids: &[String]) -> Self {
        let reasons: Vec<DenialReason> = ids.iter().filter_map(|id| reason_of(id)).collect();
        // What cannot be mended comes before what can: a suspended person needs no grant.
        let reason = PRECEDENCE
            .iter()
            .find(|reason| reasons.contains(reason))
            .cloned()
            .unwrap_or(DenialReason::NotCovered);
        Self { scope, reason, count: ids.len() }
    }

    /// A no that no policy had to say.
    pub(super) fn because(reason: DenialReason) -> Self {
        Self { scope: None, reason, count: 0 }
    }

    pub(super) fn broken() -> Self {
        Self::because(DenialReason::EvaluationFailed)
    }

    fn is_about_status(&self) -> bool {
        matches!(self.reason, DenialReason::Suspended | DenialReason::Deactivated)
    }

    /// Of a scope that would allow it to the team whose it is: what else the scope wants helps nobody else.
    fn of_other_teams(self) -> Self {
        let reason = match self.reason {
            DenialReason::NotAMember => DenialReason::NotAMember,
            _ => DenialReason::NotCovered,
        };
        Self { reason, ..self }
    }

    /// How far away it is from a yes: not being a member is further than anything one can do oneself, and
    /// `administrators` is further than every scope that files declare.
    pub(super) fn steps(&self) -> usize {
        let is_member = self.reason != DenialReason::NotAMember;
        let is_built_in = self.scope.as_ref().is_some_and(|name| name.as_str() == ADMINISTRATORS);
        match (is_member, is_built_in) {
            (true, _) => self.count,
            (false, false) => self.count + 100,
            (false, true) => self.count + 200,
        }
    }
}

/// Keeps the no that lacks least; of two that lack as much, the first.
fn nearer(least: &mut Option<No>, no: No) {
    if least.as_ref().is_none_or(|it| no.steps() < it.steps()) {
        *least = Some(no);
    }
}

/// Which reason is told where several hold: first those that nothing the person does can mend.
const PRECEDENCE: &[DenialReason] = &[
    DenialReason::Deactivated,
    DenialReason::Suspended,
    DenialReason::DeclarationMoved,
    DenialReason::OwnRequest,
    DenialReason::OwnWaiver,
    DenialReason::NotAMember,
    DenialReason::NotAnApprover,
    DenialReason::OtherScope,
    DenialReason::ForPeople,
    DenialReason::ScopeEnded,
    DenialReason::OutsideNetwork,
    DenialReason::FactsTooOld,
    DenialReason::AuthenticationTooWeak,
    DenialReason::AuthenticationTooOld,
    DenialReason::NotConfirmed,
    DenialReason::NeedsGrant,
];

fn reason_of(policy: &str) -> Option<DenialReason> {
    let id = match policy {
        // The team's facts and the scope's are both her groups' age.
        "facts-of-team-too-old" => "facts-too-old",
        "workload-cannot-ask" | "workload-cannot-sign-in" => "for-people",
        _ => policy.strip_prefix("workload-").unwrap_or(policy),
    };
    PRECEDENCE.iter().find(|reason| reason.as_str() == id).cloned()
}

fn yes(facts: &PersonFacts, resource: &Resource, scope: &TrustScope, allowance: &Allowance) -> Yes {
    use super::scope::{Applications as Apps, ApplicationsWord as Word};
    let oldest = limit(scope, resource);
    let grant = scope
        .by_request
        .as_ref()
        .and_then(|_| grant_for(facts, scope, resource.environment().map(|at| &at.at)));
    let mut until = membership_ends(facts, &scope.members.groups, oldest);
    if let (Some(Apps::Word(Word::OwnTeams)), Some(at)) = (&allowance.applications, resource.environment()) {
        let owner = at.at.team.as_ref().or(at.owner.as_ref());
        let groups =
            facts.teams.iter().find(|(team, _)| Some(team) == owner).map_or(&[][..], |(_, g)| g.as_slice());
        until.extend(membership_ends(facts, groups, oldest));
    }
    until.extend(scope.ends);
    until.extend(grant.map(|grant| grant.ends));
    let sign_in = scope.authentication.as_ref().and_then(|need| need.no_older_than);
    until.extend(sign_in.map(|oldest| facts.authentication.at.after(oldest)));
    until.extend(scope.revalidate.then(|| facts.authentication.confirmed_at.after(CONFIRMED_WITHIN)));
    Yes {
        scope: Some(scope.name.clone()),
        grant: grant.map(|grant| grant.id),
        because: why_within(facts, scope),
        until,
    }
}

fn permit(facts: &PersonFacts, action: Action, resource: Resource, yes: Yes) -> Permit {
    let good_until = yes
        .until
        .into_iter()
        .chain([facts.authentication.session_ends, facts.now.after(PERMIT_LIFE)])
        .min()
        .unwrap_or(facts.now);
    Permit {
        principal: Principal::Person(facts.person),
        action,
        resource,
        scope: yes.scope,
        grant: yes.grant,
        because: yes.because,
        network: facts.network,
        rests_on: facts.versions.clone(),
        decided_at: facts.now,
        good_until,
    }
}

fn denial(facts: &PersonFacts, action: Action, resource: Resource, no: No, contact: &str) -> Denial {
    let scope = no.scope.as_ref().and_then(|name| facts.scopes.iter().find(|s| s.name == *name));
    let (because, remedy) = explain_reason(facts, &no.reason, scope, Some((action, &resource)), contact);
    Denial {
        principal: Principal::Person(facts.person),
        action,
        detail: format!("you may not {action} {resource}: {because}"),
        because,
        resource,
        reason: no.reason,
        scope: no.scope,
        need: scope.and_then(|scope| scope.authentication.clone()),
        remedy,
        network: facts.network,
    }
}

#[cfg(test)]
use super::connection::connection_question;

#[cfg(test)]
impl Policies {
    /// The built-in policies but for one.
    pub(super) fn built_in_without(id: &str) -> Self {
        let mut policies = Self::built_in().expect("a test sees that they parse");
        for set in [
            &mut policies.people,
            &mut policies.workloads,
            &mut policies.scopes,
            &mut policies.requests,
            &mut policies.services,
            &mut policies.connections,
        ] {
            set.remove(id);
        }
        policies
    }

    /// The entities of every question that a decision could ask.
    pub(super) fn questions(
        facts: &Facts,
        action: Action,
        resource: &Resource,
    ) -> Vec<Vec<cedar_policy::Entity>> {
        let facts = match facts {
            Facts::Person(facts) => facts,
            Facts::Workload(facts) => return Self::questions_of_workload(facts, action, resource),
            Facts::Service(_) => return vec![vec![resource_entity(resource)]],
            Facts::Connection(facts) => return vec![connection_question(facts, action, resource).entities],
        };
        let question = |scope| scoped_question(facts, action, resource, scope, None, false).entities;
        facts.scopes.iter().map(question).collect()
    }
}
