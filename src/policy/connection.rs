//! What connections may do.

use cedar_policy::RestrictedExpression as Expr;

use super::{
    Action, ConnectionFacts, Denial, DenialReason, FactVersions, Permit, Policies, Principal, Resource,
    cedar::{Question, Verdict, action_entity, entity, resource_entity, uid},
    decide::PERMIT_LIFE,
};

/// The question of one connection.
pub(super) fn connection_question(facts: &ConnectionFacts, action: Action, resource: &Resource) -> Question {
    let resource = resource_entity(resource);
    let attributes = vec![("disabled", Expr::new_bool(facts.disabled))];
    Question {
        principal: uid("Connection", facts.connection.as_str()),
        action,
        resource: resource.uid(),
        entities: vec![
            entity("Connection", facts.connection.as_str(), attributes),
            resource,
            action_entity(action),
        ],
        context: Vec::new(),
        stand: false,
    }
}

impl Policies {
    pub(super) fn decide_connection(
        &self,
        facts: &ConnectionFacts,
        action: Action,
        resource: Resource,
    ) -> Result<Permit, Box<Denial>> {
        match self.connections.ask(&connection_question(facts, action, &resource)) {
            Verdict::Allowed(id) => Ok(permit(facts, action, resource, id)),
            Verdict::Broken => Err(Box::new(denial(facts, action, resource, DenialReason::EvaluationFailed))),
            Verdict::Refused(ids) => {
                let disabled = ids.iter().any(|id| id == DenialReason::ConnectionDisabled.as_str());
                let reason =
                    if disabled { DenialReason::ConnectionDisabled } else { DenialReason::NotCovered };
                Err(Box::new(denial(facts, action, resource, reason)))
            }
        }
    }
}

fn permit(facts: &ConnectionFacts, action: Action, resource: Resource, because: String) -> Permit {
    let connection = Some((facts.connection.clone(), facts.version));
    Permit {
        principal: Principal::Connection(facts.connection.clone()),
        action,
        resource,
        scope: None,
        grant: None,
        because,
        network: facts.network,
        rests_on: FactVersions { connection, ..FactVersions::default() },
        decided_at: facts.now,
        good_until: facts.now.after(PERMIT_LIFE),
    }
}

fn denial(facts: &ConnectionFacts, action: Action, resource: Resource, reason: DenialReason) -> Denial {
    let name = &facts.connection;
    let (why, remedy) = match reason {
        DenialReason::ConnectionDisabled => {
            ("it is disabled", Some("An administrator makes another one: `portctl scim connection create`."))
        }
        _ => ("no policy of connections says so", None),
    };
    Denial {
        detail: format!("the connection '{name}' may not {action} {resource}: {why}"),
        because: why.to_owned(),
        principal: Principal::Connection(name.clone()),
        action,
        resource,
        reason,
        scope: None,
        need: None,
        remedy: remedy.map(str::to_owned),
        network: facts.network,
    }
}
