//! A decision in words: why, and what to do about it.

use super::{Action, DenialReason, PersonFacts, Resource, TrustScope, question::grant_for};
use crate::base::{Name, time::format_duration};

pub(super) fn why_within(facts: &PersonFacts, scope: &TrustScope) -> String {
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

pub(super) fn names<'a>(items: impl IntoIterator<Item = &'a Name>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("'{item}'")).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// Why not, and what to do about it.
pub(super) fn explain_reason(
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
    // Where she reads what she is in and why, nobody has to send her there.
    let admin = || {
        let more = if ask.is_some() { "; `portctl whoami` shows what you are in and why" } else { "" };
        Some(format!("Ask {contact}{more}."))
    };
    let ask_them = || Some(format!("Ask {contact}."));
    let again = || Some("Sign in again: `portctl login`.".to_owned());
    match reason {
        DenialReason::Suspended => ("you are suspended".into(), ask_them()),
        DenialReason::Deactivated => ("you are deactivated".into(), ask_them()),
        DenialReason::NotCovered => (format!("{}; {}", not_covered(facts, scope, ask), received()), admin()),
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
        DenialReason::NotConfirmed => (
            format!("{scope_name} wants your identity provider to have confirmed your sign-in just now"),
            again(),
        ),
        DenialReason::OutsideNetwork => {
            (format!("{scope_name} is not open from your network"), Some("Use one of its networks.".into()))
        }
        DenialReason::OwnRequest => {
            ("nobody decides on her own request".into(), Some("Ask one of the approvers.".into()))
        }
        DenialReason::OwnWaiver => (
            "it takes two people, and neither is one of whom the task is about".into(),
            Some("Ask somebody else who may: `portctl rotation confirm`.".into()),
        ),
        DenialReason::NotAnApprover => {
            let approvers = scope.and_then(|s| s.by_request.as_ref()).map(|by| names(&by.approvers));
            (format!("its approvers are the groups {}", approvers.unwrap_or_else(|| "none".into())), None)
        }
        DenialReason::ConnectionDisabled => ("the connection is disabled".into(), ask_them()),
        DenialReason::DeclarationMoved | DenialReason::OtherScope | DenialReason::ForPeople => {
            (format!("{scope_name} is not for you"), admin())
        }
        DenialReason::EvaluationFailed => {
            ("a policy could not be evaluated, and that is a no".into(), Some(format!("Tell {contact}.")))
        }
    }
}

/// That nothing allows it, or to another team alone.
fn not_covered(facts: &PersonFacts, scope: Option<&TrustScope>, ask: Option<(Action, &Resource)>) -> String {
    let at = ask.and_then(|(_, resource)| resource.environment());
    let owner = at.and_then(|at| at.at.team.as_ref().or(at.owner.as_ref()));
    let (Some(scope), Some(team)) = (scope, owner) else { return "no trust scope allows it".to_owned() };
    let groups = facts.teams.iter().find(|(name, _)| name == team).map_or(&[][..], |(_, groups)| groups);
    format!(
        "trust scope '{}' allows it to the team '{team}', which is the groups {}",
        scope.name,
        names(groups)
    )
}

pub(super) fn command_to_ask(scope: Option<&TrustScope>, ask: Option<(Action, &Resource)>) -> String {
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
