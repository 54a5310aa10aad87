//! The decision itself.
//!
//! Every trust scope that could fit is asked about once for each of its allowances; the first yes is
//! the permit. Where all say no, the denial is the one with the fewest steps missing, so that it can
//! name the step and the command that takes it.

use std::{collections::HashSet, time::Duration};

use cedar_policy::{Entity, RestrictedExpression as Expr};

use super::{
    Action, Allowance, Denial, DenialReason, FactVersions, Facts, GrantFact, Permit, PersonFacts,
    PersonStatus, Principal, Resource, ScopeStanding, Service, ServiceFacts, TrustScope,
    cedar::{
        Policies as CedarPolicies, Question, Verdict, action_entity, allowance_record, entity, is_grantable,
        refs, resource_entity, texts, uid,
    },
};
use crate::base::{EnvironmentRef, Name, Problem, ProblemKind, Timestamp, time::format_duration};

/// How old group memberships may be where a scope does not say.
const FACTS_NO_OLDER_THAN: Duration = Duration::from_hours(12);
/// The same where a protected environment is opened.
const FACTS_NO_OLDER_THAN_PROTECTED: Duration = Duration::from_hours(1);
/// How long a permit for what rests on nothing that ends may be acted on.
const PERMIT_LIFE: Duration = Duration::from_mins(1);

/// The policies, parsed once.
pub struct Policies {
    people: CedarPolicies,
    scopes: CedarPolicies,
    requests: CedarPolicies,
    services: CedarPolicies,
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
            scopes: parse(&[people, include_str!("../../policies/scopes.cedar")])?,
            requests: parse(&[people, include_str!("../../policies/requests.cedar")])?,
            services: parse(&[include_str!("../../policies/services.cedar")])?,
            contact: "an administrator".to_owned(),
        })
    }

    /// The same, with whom somebody without access is told to ask.
    #[must_use]
    pub fn with_contact(self, contact: &str) -> Self {
        Self { contact: contact.to_owned(), ..self }
    }

    /// Decides whether whoever these facts are about may do `action` to `resource`.
    ///
    /// # Errors
    /// The no, with its reason and remedy.
    pub fn decide(&self, facts: &Facts, action: Action, resource: Resource) -> Result<Permit, Box<Denial>> {
        match facts {
            Facts::Service(facts) => self.decide_service(facts, action, resource),
            Facts::Person(facts) => self.decide_person(facts, action, resource),
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
                rests_on: FactVersions { person: None, session: None, catalog: 0 },
                decided_at: facts.now,
                good_until: facts.now.after(PERMIT_LIFE),
            }),
            verdict => Err(Box::new(Denial {
                detail: format!("our service '{}' may not {action} {resource}", facts.service),
                principal,
                action,
                resource,
                reason: match verdict {
                    Verdict::Broken => DenialReason::EvaluationFailed,
                    _ => DenialReason::NotCovered,
                },
                scope: None,
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
            members: super::Members { groups: Vec::new() },
            by_request: None,
            ends: None,
            allows: Vec::new(),
            authentication: None,
            facts: None,
            networks: Vec::new(),
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
        let mut least: Option<No> = None;
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
            if covers(allowance, action, resource, facts)
                && least.as_ref().is_none_or(|l| no.steps() < l.steps())
            {
                least = Some(no);
            }
        }
        match least {
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
        facts.scopes.iter().map(|scope| self.standing(facts, scope)).collect()
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
struct No {
    scope: Option<Name>,
    reason: DenialReason,
    count: usize,
}

impl No {
    fn of(scope: Option<Name>, ids: &[String]) -> Self {
        let reasons: Vec<DenialReason> = ids.iter().filter_map(|id| reason_of(id)).collect();
        // What cannot be mended comes before what can: a suspended person needs no grant.
        let reason = PRECEDENCE
            .iter()
            .find(|reason| reasons.contains(reason))
            .cloned()
            .unwrap_or(DenialReason::NotCovered);
        Self { scope, reason, count: ids.len() }
    }

    fn broken() -> Self {
        Self { scope: None, reason: DenialReason::EvaluationFailed, count: 0 }
    }

    fn is_about_status(&self) -> bool {
        matches!(self.reason, DenialReason::Suspended | DenialReason::Deactivated)
    }

    /// How far away it is from a yes: not being a member is further than anything one can do oneself.
    fn steps(&self) -> usize {
        self.count + if self.reason == DenialReason::NotAMember { 100 } else { 0 }
    }
}

/// Which reason is told where several hold: first those that nothing the person does can mend.
const PRECEDENCE: &[DenialReason] = &[
    DenialReason::Deactivated,
    DenialReason::Suspended,
    DenialReason::OwnRequest,
    DenialReason::NotAMember,
    DenialReason::NotAnApprover,
    DenialReason::ScopeEnded,
    DenialReason::OutsideNetwork,
    DenialReason::FactsTooOld,
    DenialReason::AuthenticationTooWeak,
    DenialReason::AuthenticationTooOld,
    DenialReason::NeedsGrant,
];

fn reason_of(policy: &str) -> Option<DenialReason> {
    // The team's facts and the scope's are both her groups' age.
    let id = if policy == "facts-of-team-too-old" { "facts-too-old" } else { policy };
    PRECEDENCE.iter().find(|reason| reason.as_str() == id).cloned()
}

/// Scopes with an allowance that names the action. For `request`, any that can be asked for.
fn candidates(facts: &PersonFacts, action: Action) -> impl Iterator<Item = (&TrustScope, &Allowance)> {
    facts.scopes.iter().flat_map(move |scope| {
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
fn covers(allowance: &Allowance, action: Action, resource: &Resource, facts: &PersonFacts) -> bool {
    use super::scope::{Applications as Apps, ApplicationsWord as Word, Environments as Envs};
    let Some(at) = resource.environment() else { return allowance.actions.contains(&action) };
    let in_environment = match &allowance.environments {
        Some(Envs::Word(_)) => true,
        Some(Envs::Named(names)) => names.contains(&at.at.environment),
        None => false,
    };
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
    in_environment && of_application
}

/// How old memberships may be for this scope and resource.
fn limit(scope: &TrustScope, resource: &Resource) -> Duration {
    if let Some(facts) = &scope.facts {
        return facts.no_older_than;
    }
    match resource.environment() {
        Some(at) if at.protected => FACTS_NO_OLDER_THAN_PROTECTED,
        _ => FACTS_NO_OLDER_THAN,
    }
}

fn person_uid(facts: &PersonFacts) -> cedar_policy::EntityUid {
    uid("Person", &facts.person.to_string())
}

/// The person with her groups split into those known recently enough and those not.
fn person_entity(facts: &PersonFacts, oldest: Duration) -> Entity {
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
    let age = i64::try_from(facts.now.since(facts.authentication.at).as_millis()).unwrap_or(i64::MAX);
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
            ("signInAge", Expr::new_long(age)),
        ],
    )
}

fn scope_entity(facts: &PersonFacts, scope: &TrustScope) -> Entity {
    let approvers = scope.by_request.as_ref().map_or(&[][..], |by| by.approvers.as_slice());
    let need = scope.authentication.as_ref();
    let oldest = need
        .and_then(|need| need.no_older_than)
        .map_or(-1, |oldest| i64::try_from(oldest.as_millis()).unwrap_or(i64::MAX));
    entity(
        "TrustScope",
        scope.name.as_str(),
        vec![
            ("groups", refs("Group", scope.members.groups.iter().map(Name::as_str))),
            ("approvers", refs("Group", approvers.iter().map(Name::as_str))),
            ("byRequest", Expr::new_bool(scope.by_request.is_some())),
            ("ended", Expr::new_bool(scope.ends.is_some_and(|end| facts.now >= end))),
            ("acr", texts(need.map_or(&[][..], |need| need.acr.as_slice()).iter().map(String::as_str))),
            ("oldestSignIn", Expr::new_long(oldest)),
        ],
    )
}

/// A live grant of this scope that covers the resource; any live one where there is no environment.
fn grant_for<'a>(
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

fn scoped_question(
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
        ("inNetwork".to_owned(), Expr::new_bool(in_network(facts, scope))),
    ];
    let resource_entity = resource_entity(resource);
    Question {
        principal: person_uid(facts),
        action,
        resource: resource_entity.uid(),
        entities: vec![
            person_entity(facts, limit(scope, resource)),
            scope_entity(facts, scope),
            resource_entity,
            action_entity(action),
        ],
        context,
        stand,
    }
}

/// Whether the caller's address is in one of the scope's networks. One that cannot be read holds nobody.
fn in_network(facts: &PersonFacts, scope: &TrustScope) -> bool {
    if scope.networks.is_empty() {
        return true;
    }
    let Some(address) = facts.network else { return false };
    scope.networks.iter().any(|network| network.parse::<ipnet::IpNet>().is_ok_and(|n| n.contains(&address)))
}

/// When the membership that keeps a person in these groups longest grows too old.
fn membership_ends(facts: &PersonFacts, groups: &[Name], oldest: Duration) -> Vec<Timestamp> {
    facts
        .memberships
        .iter()
        .filter(|m| groups.contains(&m.group))
        .map(|m| m.asserted_at.after(oldest))
        .max()
        .into_iter()
        .collect()
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
        resource,
        reason: no.reason,
        scope: no.scope,
        remedy,
        network: facts.network,
    }
}

fn why_within(facts: &PersonFacts, scope: &TrustScope) -> String {
    let groups: Vec<String> = scope
        .members
        .groups
        .iter()
        .filter_map(|group| facts.memberships.iter().find(|m| m.group == *group))
        .map(|m| format!("'{}' (as {} said at {})", m.group, m.source, m.asserted_at))
        .collect();
    let groups =
        if groups.is_empty() { "recovery on the server's own machine".into() } else { groups.join(", ") };
    match scope.by_request.as_ref().and_then(|_| grant_for(facts, scope, None)) {
        Some(grant) => format!("member by {groups}; granted for {} until {}", grant.environment, grant.ends),
        None => format!("member by {groups}"),
    }
}

fn names<'a>(items: impl IntoIterator<Item = &'a Name>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("'{item}'")).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// Why not, and what to do about it.
fn explain_reason(
    facts: &PersonFacts,
    reason: &DenialReason,
    scope: Option<&TrustScope>,
    ask: Option<(Action, &Resource)>,
    contact: &str,
) -> (String, Option<String>) {
    let scope_name =
        scope.map_or("the trust scope".to_owned(), |scope| format!("trust scope '{}'", scope.name));
    let groups = scope.map_or_else(String::new, |scope| names(&scope.members.groups));
    let received = || {
        if facts.received_groups.is_empty() {
            "we received no groups for you".to_owned()
        } else {
            format!("the groups we received for you are {}", facts.received_groups.join(", "))
        }
    };
    let admin = || Some(format!("Ask {contact}; `portctl whoami` shows what you are in and why."));
    let ask_them = || Some(format!("Ask {contact}."));
    let again = || Some("Sign in again: `portctl login`.".to_owned());
    match reason {
        DenialReason::Suspended => ("you are suspended".into(), ask_them()),
        DenialReason::Deactivated => ("you are deactivated".into(), ask_them()),
        DenialReason::NotCovered => (format!("no trust scope allows it; {}", received()), admin()),
        DenialReason::NotAMember => {
            (format!("{scope_name} is for the groups {groups}; {}", received()), admin())
        }
        DenialReason::FactsTooOld => {
            (format!("what we know of your groups is too old for {scope_name}"), again())
        }
        DenialReason::ScopeEnded => (format!("{scope_name} has ended"), admin()),
        DenialReason::NeedsGrant => {
            (format!("{scope_name} has to be asked for"), Some(command_to_ask(scope, ask)))
        }
        DenialReason::AuthenticationTooWeak => (format!("{scope_name} wants a stronger sign-in"), again()),
        DenialReason::AuthenticationTooOld => (format!("{scope_name} wants a more recent sign-in"), again()),
        DenialReason::OutsideNetwork => {
            (format!("{scope_name} is not open from your network"), Some("Use one of its networks.".into()))
        }
        DenialReason::OwnRequest => {
            ("nobody decides on her own request".into(), Some("Ask one of the approvers.".into()))
        }
        DenialReason::NotAnApprover => {
            let approvers = scope.and_then(|s| s.by_request.as_ref()).map(|by| names(&by.approvers));
            (format!("its approvers are the groups {}", approvers.unwrap_or_else(|| "none".into())), None)
        }
        DenialReason::EvaluationFailed => {
            ("a policy could not be evaluated, and that is a no".into(), Some(format!("Tell {contact}.")))
        }
    }
}

fn command_to_ask(scope: Option<&TrustScope>, ask: Option<(Action, &Resource)>) -> String {
    let longest = scope
        .and_then(|scope| scope.by_request.as_ref())
        .map_or_else(|| "1h".to_owned(), |by| format_duration(by.longest));
    let (action, at) = match ask {
        Some((action, resource)) => (
            action.as_str(),
            resource.environment().map_or("APPLICATION/ENVIRONMENT".to_owned(), |e| e.at.to_string()),
        ),
        None => ("ACTION", "APPLICATION/ENVIRONMENT".to_owned()),
    };
    let named = scope.map_or_else(String::new, |scope| format!(" --scope {}", scope.name));
    format!(
        "Ask for it: `portctl request create --action {action} {at}{named} --for {longest} --reason \"…\"`"
    )
}

/// Gives our services their permits. Rooms that act by themselves hold one of these.
pub trait ServicePermits: Send + Sync {
    /// The permit of `service` to do `action` to `resource`.
    ///
    /// # Errors
    /// `denied` where its policies do not say so: a fault in our code.
    fn permit(&self, service: Service, action: Action, resource: Resource) -> Result<Permit, Problem>;
}

/// Services' permits from the built-in policies and a clock.
pub struct OwnServices {
    policies: std::sync::Arc<Policies>,
    ambient: crate::base::Ambient,
}

impl OwnServices {
    /// Permits decided by `policies` at the time that `ambient` tells.
    #[must_use]
    pub fn new(policies: std::sync::Arc<Policies>, ambient: crate::base::Ambient) -> Self {
        Self { policies, ambient }
    }
}

impl ServicePermits for OwnServices {
    fn permit(&self, service: Service, action: Action, resource: Resource) -> Result<Permit, Problem> {
        let facts = Facts::Service(ServiceFacts { service, now: self.ambient.now() });
        self.policies.decide(&facts, action, resource).map_err(|denial| denial.to_problem())
    }
}

#[cfg(test)]
impl Policies {
    /// The built-in policies but for one.
    pub(super) fn built_in_without(id: &str) -> Self {
        let mut policies = Self::built_in().expect("a test sees that they parse");
        for set in
            [&mut policies.people, &mut policies.scopes, &mut policies.requests, &mut policies.services]
        {
            set.remove(id);
        }
        policies
    }

    /// The entities of every question that a decision could ask.
    pub(super) fn questions(facts: &Facts, action: Action, resource: &Resource) -> Vec<Vec<Entity>> {
        let Facts::Person(facts) = facts else { return vec![vec![resource_entity(resource)]] };
        let question = |scope| scoped_question(facts, action, resource, scope, None, false).entities;
        facts.scopes.iter().map(question).collect()
    }
}
