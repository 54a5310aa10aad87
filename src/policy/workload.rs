//! Decisions about workloads: CI jobs and ServiceAccounts. Asked as for people; what only people can do
//! (ask, approve, sign in again) is no way for them.

use cedar_policy::{Entity, RestrictedExpression as Expr};

use super::{
    Action, Allowance, Denial, DenialReason, Permit, Policies, Principal, Resource, ScopeStanding,
    TrustScope, WorkloadFacts,
    cedar::{Question, Verdict, action_entity, allowance_record, entity, resource_entity, uid},
    decide::{No, PERMIT_LIFE},
    explain::names,
    question::{in_network, scope_entity},
};

impl Policies {
    pub(super) fn decide_workload(
        &self,
        facts: &WorkloadFacts,
        action: Action,
        resource: Resource,
    ) -> Result<Permit, Box<Denial>> {
        let outcome = if action.is_for_workloads() {
            self.ask_scopes_of_workload(facts, action, &resource)
        } else {
            self.ask_itself(facts, action, &resource).map(|because| (None, because))
        };
        match outcome {
            Ok((scope, because)) => Ok(permit(facts, action, resource, scope, because)),
            Err(no) => Err(Box::new(self.denial_of_workload(facts, action, resource, no))),
        }
    }

    fn ask_itself(&self, facts: &WorkloadFacts, action: Action, resource: &Resource) -> Result<String, No> {
        let question = Question {
            principal: uid("Workload", facts.workload.as_str()),
            action,
            resource: resource_entity(resource).uid(),
            entities: vec![workload_entity(facts), resource_entity(resource), action_entity(action)],
            context: Vec::new(),
            stand: false,
        };
        match self.workloads.ask(&question) {
            Verdict::Allowed(id) => Ok(id),
            Verdict::Refused(ids) if ids.is_empty() => Err(No::because(DenialReason::ForPeople)),
            Verdict::Refused(ids) => Err(No::of(None, &ids)),
            Verdict::Broken => Err(No::broken()),
        }
    }

    /// The first scope that says yes, or the no that lacks least.
    fn ask_scopes_of_workload(
        &self,
        facts: &WorkloadFacts,
        action: Action,
        resource: &Resource,
    ) -> Result<(Option<TrustScope>, String), No> {
        let mut least: Option<No> = None;
        for scope in facts.scopes.iter() {
            for allowance in scope.allows.iter().filter(|it| it.actions.contains(&action)) {
                let no = match self.workloads.ask(&question(facts, action, resource, scope, Some(allowance)))
                {
                    Verdict::Allowed(_) => return Ok((Some(scope.clone()), why_within(facts))),
                    Verdict::Broken => return Err(No::broken()),
                    Verdict::Refused(ids) => No::of(Some(scope.name.clone()), &ids),
                };
                let covers = resource.environment().is_some_and(|it| allowance.covers(&it.at, false));
                if covers && least.as_ref().is_none_or(|it| no.steps() < it.steps()) {
                    least = Some(no);
                }
            }
        }
        match least {
            Some(no) => Err(no),
            // No scope at hand says anything; that its declaration moved still comes first.
            None if !facts.is_declared => Err(No::because(DenialReason::DeclarationMoved)),
            None => Err(No::because(DenialReason::NotCovered)),
        }
    }

    /// How a workload stands to each scope that names it, and why: what `whoami` shows.
    #[must_use]
    pub fn explain_workload(&self, facts: &WorkloadFacts) -> Vec<ScopeStanding> {
        facts
            .scopes
            .iter()
            .filter(|scope| scope.members.workloads.contains(&facts.workload))
            .map(|scope| self.standing_of_workload(facts, scope))
            .collect()
    }

    fn standing_of_workload(&self, facts: &WorkloadFacts, scope: &TrustScope) -> ScopeStanding {
        let mut question = question(facts, Action::SeeOwn, &Resource::Own, scope, None);
        question.stand = true;
        let (within, because, remedy) = match self.workloads.ask(&question) {
            Verdict::Allowed(_) => (true, why_within(facts), None),
            Verdict::Broken => (false, "its policy could not be evaluated".to_owned(), None),
            Verdict::Refused(ids) => {
                let no = No::of(Some(scope.name.clone()), &ids);
                let (because, remedy) = self.explain_refusal(facts, &no.reason, Some(scope));
                (false, because, Some(remedy))
            }
        };
        ScopeStanding { scope: scope.name.clone(), within, because, remedy }
    }

    fn denial_of_workload(
        &self,
        facts: &WorkloadFacts,
        action: Action,
        resource: Resource,
        no: No,
    ) -> Denial {
        let scope = no.scope.as_ref().and_then(|name| facts.scopes.iter().find(|s| s.name == *name));
        let (because, remedy) = self.explain_refusal(facts, &no.reason, scope);
        Denial {
            principal: Principal::Workload(facts.workload.clone()),
            action,
            detail: format!("workload/{} may not {action} {resource}: {because}", facts.workload),
            because,
            resource,
            reason: no.reason,
            scope: no.scope,
            need: None,
            remedy: Some(remedy),
            network: facts.network,
        }
    }

    /// Why not, and what to do about it. A job that is refused is mended in files, not by the job.
    fn explain_refusal(
        &self,
        facts: &WorkloadFacts,
        reason: &DenialReason,
        scope: Option<&TrustScope>,
    ) -> (String, String) {
        let named =
            scope.map_or_else(|| "the trust scope".to_owned(), |it| format!("trust scope '{}'", it.name));
        let declare =
            format!("Name '{}' under `members.workloads` of a trust scope that allows it; ", facts.workload)
                + &format!("ask {}.", self.contact());
        match reason {
            DenialReason::NotCovered => ("no trust scope allows it".to_owned(), declare),
            DenialReason::NotAMember => {
                let members = scope.map_or_else(String::new, |it| names(&it.members.workloads));
                (format!("{named} is for the workloads {members}"), declare)
            }
            DenialReason::DeclarationMoved => (
                "what files declare of it has moved since its token was issued".to_owned(),
                "Exchange the job's own token again.".to_owned(),
            ),
            DenialReason::OtherScope => (
                format!("its token was asked for another trust scope than '{}'", scope_name(scope)),
                "Exchange the job's own token again, with this scope or without one.".to_owned(),
            ),
            DenialReason::ForPeople if scope.is_none() => {
                ("only people do that".to_owned(), "Let a person do it.".to_owned())
            }
            DenialReason::ForPeople => {
                (format!("{named} has to be asked for, or wants a sign-in, which only people do"), declare)
            }
            DenialReason::ScopeEnded => (format!("{named} has ended"), declare),
            DenialReason::OutsideNetwork => {
                (format!("{named} is not open from its network"), "Use one of its networks.".to_owned())
            }
            _ => (
                "a policy could not be evaluated, and that is a no".to_owned(),
                format!("Tell {}.", self.contact()),
            ),
        }
    }
}

fn scope_name(scope: Option<&TrustScope>) -> &str {
    scope.map_or("", |it| it.name.as_str())
}

fn why_within(facts: &WorkloadFacts) -> String {
    format!("member as the workload '{}'", facts.workload)
}

fn workload_entity(facts: &WorkloadFacts) -> Entity {
    let mut attributes = vec![("declared", Expr::new_bool(facts.is_declared))];
    if let Some(only) = &facts.only {
        attributes.push(("only", Expr::new_entity_uid(uid("TrustScope", only.as_str()))));
    }
    entity("Workload", facts.workload.as_str(), attributes)
}

fn question(
    facts: &WorkloadFacts,
    action: Action,
    resource: &Resource,
    scope: &TrustScope,
    allowance: Option<&Allowance>,
) -> Question {
    let nothing = Allowance { actions: Vec::new(), applications: None, environments: None };
    let context = vec![
        ("action".to_owned(), Expr::new_string(action.as_str().to_owned())),
        ("scope".to_owned(), Expr::new_entity_uid(uid("TrustScope", scope.name.as_str()))),
        ("allowance".to_owned(), allowance_record(allowance.unwrap_or(&nothing))),
        ("granted".to_owned(), Expr::new_bool(false)),
        ("inNetwork".to_owned(), Expr::new_bool(in_network(facts.network, scope))),
    ];
    let resource_entity = resource_entity(resource);
    Question {
        principal: uid("Workload", facts.workload.as_str()),
        action,
        resource: resource_entity.uid(),
        entities: vec![
            workload_entity(facts),
            scope_entity(facts.now, scope),
            resource_entity,
            action_entity(action),
        ],
        context,
        stand: false,
    }
}

fn permit(
    facts: &WorkloadFacts,
    action: Action,
    resource: Resource,
    scope: Option<TrustScope>,
    because: String,
) -> Permit {
    let ends = scope.as_ref().and_then(|it| it.ends);
    let good_until = [facts.token_ends, facts.now.after(PERMIT_LIFE)].into_iter().chain(ends).min();
    Permit {
        principal: Principal::Workload(facts.workload.clone()),
        action,
        resource,
        scope: scope.map(|it| it.name),
        grant: None,
        because,
        network: facts.network,
        rests_on: facts.versions.clone(),
        decided_at: facts.now,
        good_until: good_until.unwrap_or(facts.now),
    }
}

#[cfg(test)]
impl Policies {
    /// The entities of every question that a decision about a workload could ask.
    pub(super) fn questions_of_workload(
        facts: &WorkloadFacts,
        action: Action,
        resource: &Resource,
    ) -> Vec<Vec<Entity>> {
        facts.scopes.iter().map(|scope| question(facts, action, resource, scope, None).entities).collect()
    }
}
