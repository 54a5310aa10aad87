//! Facts as Cedar entities, and one evaluation.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression as Expr,
};

use super::{Action, Allowance, EnvironmentFacts, Resource};
use crate::policy::scope::{Applications, ApplicationsWord, Environments};

/// What one evaluation came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Some permit, no forbid. The id of the first permit.
    Allowed(String),
    /// Ids of the policies that forbade; none where no policy permitted.
    Refused(Vec<String>),
    /// A policy could not be evaluated. Cedar skips such a policy, even a forbid; we deny (abuse case 29).
    Broken,
}

/// A set of policies that are evaluated together.
pub(super) struct Policies {
    set: PolicySet,
    ids: HashMap<String, String>,
}

impl Policies {
    /// Parses policy texts. Their ids are the `@id` annotations.
    pub(super) fn parse(texts: &[&str]) -> Result<Self, String> {
        let set = PolicySet::from_str(&texts.join("\n")).map_err(|e| format!("{e:?}"))?;
        let ids = set
            .policies()
            .map(|policy| {
                let id = policy.annotation("id").ok_or_else(|| format!("a policy without @id: {policy}"))?;
                Ok((policy.id().to_string(), id.to_owned()))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { set, ids })
    }

    /// Every policy's `@id`.
    #[cfg(test)]
    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.ids.values()
    }

    /// Takes every policy of this `@id` out, to see whether anybody would notice.
    #[cfg(test)]
    pub(super) fn remove(&mut self, id: &str) {
        let found: Vec<_> =
            self.set.policies().filter(|p| p.annotation("id") == Some(id)).map(|p| p.id().clone()).collect();
        for policy in found {
            self.set.remove_static(policy).expect("it is there");
        }
    }

    /// Asks once.
    pub(super) fn ask(&self, question: &Question) -> Verdict {
        let Ok(request) = question.request() else { return Verdict::Broken };
        let Ok(entities) = Entities::from_entities(question.entities.iter().cloned(), None) else {
            return Verdict::Broken;
        };
        let response = Authorizer::new().is_authorized(&request, &self.set, &entities);
        if response.diagnostics().errors().next().is_some() {
            return Verdict::Broken;
        }
        let mut ids: Vec<String> =
            response.diagnostics().reason().filter_map(|id| self.ids.get(&id.to_string()).cloned()).collect();
        ids.sort();
        match response.decision() {
            Decision::Allow => Verdict::Allowed(ids.into_iter().next().unwrap_or_default()),
            Decision::Deny => Verdict::Refused(ids),
        }
    }
}

/// One question to Cedar.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) principal: EntityUid,
    pub(super) action: Action,
    pub(super) resource: EntityUid,
    pub(super) entities: Vec<Entity>,
    pub(super) context: Vec<(String, Expr)>,
    /// Asks whether the principal stands in a scope, in place of an action.
    pub(super) stand: bool,
}

impl Question {
    fn action_uid(&self) -> EntityUid {
        uid("Action", if self.stand { "stand" } else { self.action.as_str() })
    }

    pub(super) fn request(&self) -> Result<Request, String> {
        let context = Context::from_pairs(self.context.clone()).map_err(|e| e.to_string())?;
        Request::new(self.principal.clone(), self.action_uid(), self.resource.clone(), context, None)
            .map_err(|e| e.to_string())
    }
}

/// `Type::"id"`.
pub(super) fn uid(kind: &str, id: &str) -> EntityUid {
    let kind = EntityTypeName::from_str(kind).expect("entity types are fixed in this room");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

/// An entity with attributes. Attributes are made here from plain values, so evaluating them cannot fail.
pub(super) fn entity(kind: &str, id: &str, attributes: Vec<(&str, Expr)>) -> Entity {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(uid(kind, id), attributes, HashSet::new()).expect("attributes are plain values")
}

/// The action with the group that policies speak of.
pub(super) fn action_entity(action: Action) -> Entity {
    let workloads = action.is_for_workloads().then_some("forWorkloads");
    let parents = action_group(action).into_iter().chain(workloads).map(|it| uid("Action", it)).collect();
    Entity::new_no_attrs(uid("Action", action.as_str()), parents)
}

fn action_group(action: Action) -> Option<&'static str> {
    use Action as A;
    match action {
        A::List
        | A::Reveal
        | A::Set
        | A::Run
        | A::Lease
        | A::Destroy
        | A::SeeDelivery
        | A::PauseDelivery
        | A::SeeExposure => Some("inEnvironment"),
        A::Plan
        | A::Apply
        | A::SeePeople
        | A::ManagePeople
        | A::SeeRotation
        | A::WaiveRotation
        | A::ReadLog
        | A::ManageKeys
        | A::Forget
        | A::ManageConnections => Some("onWhole"),
        A::SeeOwn | A::EndOwnSession | A::EndOwnLease | A::SignInCli => Some("own"),
        _ => None,
    }
}

/// Whether a trust scope may allow this action at all.
pub(super) fn is_grantable(action: Action) -> bool {
    matches!(action_group(action), Some("inEnvironment" | "onWhole"))
}

/// A set of entity references.
pub(super) fn refs<'a>(kind: &str, ids: impl IntoIterator<Item = &'a str>) -> Expr {
    Expr::new_set(ids.into_iter().map(|id| Expr::new_entity_uid(uid(kind, id))))
}

/// A set of texts.
pub(super) fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> Expr {
    Expr::new_set(items.into_iter().map(|item| Expr::new_string(item.to_owned())))
}

/// An environment as an entity.
pub(super) fn environment_entity(facts: &EnvironmentFacts) -> Entity {
    let mut attributes = vec![
        ("application", Expr::new_string(facts.at.application.to_string())),
        ("name", Expr::new_string(facts.at.environment.to_string())),
        ("protected", Expr::new_bool(facts.protected)),
    ];
    // A team's own copy belongs to that team, whoever owns the application.
    if let Some(owner) = facts.at.team.as_ref().or(facts.owner.as_ref()) {
        attributes.push(("owner", Expr::new_entity_uid(uid("Team", owner.as_str()))));
    }
    entity("Environment", &facts.at.to_string(), attributes)
}

/// What Cedar sees of a resource.
pub(super) fn resource_entity(resource: &Resource) -> Entity {
    match resource {
        Resource::Environment(at) | Resource::Secret(at, _) | Resource::Lease(at, _) => {
            environment_entity(at)
        }
        Resource::Request { id, requester, .. } => entity(
            "Request",
            &id.to_string(),
            vec![("requester", Expr::new_entity_uid(uid("Person", &requester.to_string())))],
        ),
        Resource::Waiver { task, barred } => {
            let barred: Vec<String> = barred.iter().map(ToString::to_string).collect();
            let barred = refs("Person", barred.iter().map(String::as_str));
            entity("Waiver", &task.to_string(), vec![("barred", barred)])
        }
        Resource::Own => Entity::new_no_attrs(uid("Own", "own"), HashSet::new()),
        Resource::Catalog
        | Resource::People
        | Resource::Workloads
        | Resource::Rotation
        | Resource::Log
        | Resource::Keys
        | Resource::Connections => Entity::new_no_attrs(uid("Whole", &resource.to_string()), HashSet::new()),
    }
}

/// An allowance as a record.
pub(super) fn allowance_record(allowance: &Allowance) -> Expr {
    let (every_application, own_teams, applications) = match &allowance.applications {
        Some(Applications::Word(ApplicationsWord::All)) => (true, false, &[][..]),
        Some(Applications::Word(ApplicationsWord::OwnTeams)) => (false, true, &[][..]),
        Some(Applications::Named(names)) => (false, false, names.as_slice()),
        None => (false, false, &[][..]),
    };
    let (every_environment, environments) = match &allowance.environments {
        Some(Environments::Word(_)) => (true, &[][..]),
        Some(Environments::Named(names)) => (false, names.as_slice()),
        None => (false, &[][..]),
    };
    let fields = [
        ("actions", texts(allowance.actions.iter().map(|action| action.as_str()))),
        ("everyApplication", Expr::new_bool(every_application)),
        ("ownTeams", Expr::new_bool(own_teams)),
        ("applications", texts(applications.iter().map(crate::base::Name::as_str))),
        ("everyEnvironment", Expr::new_bool(every_environment)),
        ("environments", texts(environments.iter().map(crate::base::Name::as_str))),
    ];
    Expr::new_record(fields.map(|(name, value)| (name.to_owned(), value))).expect("field names differ")
}
