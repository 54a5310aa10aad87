//! Which trust scope somebody asks for when she asks to do something somewhere.

use std::time::Duration;

use super::ask::Ask;
use crate::{
    base::{Name, Problem, ProblemKind, Result, time::format_duration},
    policy::{Action, DenialReason, EnvironmentFacts, PersonFacts, Policies, Resource, TrustScope},
};

/// Longest reason, in bytes.
pub(super) const LONGEST_REASON: usize = 4096;

/// The one trust scope that can be asked for and would allow it.
pub(super) fn find_scope<'f>(
    policies: &Policies,
    facts: &'f PersonFacts,
    at: &EnvironmentFacts,
    ask: &Ask,
) -> Result<&'f TrustScope> {
    let mut able = Vec::new();
    let mut why_not: Option<(&TrustScope, DenialReason)> = None;
    for scope in facts.scopes.iter().filter(|s| ask.scope.as_ref().is_none_or(|name| s.name == *name)) {
        let Some(narrowed) = allowing(scope, ask.action) else { continue };
        match policies.eligible(facts, &narrowed, &Resource::Environment(at.clone())) {
            Ok(()) => able.push(scope),
            Err(DenialReason::NotCovered) => {}
            Err(reason) => why_not = why_not.or(Some((scope, reason))),
        }
    }
    match able.as_slice() {
        [one] => Ok(one),
        [] => Err(nothing_to_ask_for(at, ask, why_not)),
        several => {
            let names: Vec<&str> = several.iter().map(|scope| scope.name.as_str()).collect();
            Err(Problem::new(
                ProblemKind::Ambiguous,
                format!(
                    "{} in {} is allowed by more than one trust scope: {}",
                    ask.action,
                    at.at,
                    names.join(", ")
                ),
            )
            .with("scopes", names)
            .remedy("Say which: `portctl request create --scope NAME …`."))
        }
    }
}

/// The scope with only those allowances that name the action; nothing where it cannot be asked for.
pub(super) fn allowing(scope: &TrustScope, action: Action) -> Option<TrustScope> {
    scope.by_request.as_ref()?;
    let mut narrowed = scope.clone();
    narrowed.allows.retain(|allowance| allowance.actions.contains(&action));
    (!narrowed.allows.is_empty()).then_some(narrowed)
}

fn nothing_to_ask_for(
    at: &EnvironmentFacts,
    ask: &Ask,
    why_not: Option<(&TrustScope, DenialReason)>,
) -> Problem {
    let named = ask.scope.as_ref().map_or_else(String::new, |name| format!(" named '{name}'"));
    let problem = match why_not {
        Some((scope, reason)) => Problem::new(
            ProblemKind::Denied,
            format!(
                "{} in {} can be asked for in trust scope '{}', but not by you: {}",
                ask.action,
                at.at,
                scope.name,
                what_is_missing(scope, &reason)
            ),
        )
        .with("scope", scope.name.as_str())
        .with("reason", reason.as_str()),
        None => Problem::new(
            ProblemKind::Denied,
            format!(
                "there is no trust scope{named} that can be asked for and allows {} in {}",
                ask.action, at.at
            ),
        )
        .with("reason", DenialReason::NotCovered.as_str()),
    };
    problem.remedy("`portctl whoami` shows the trust scopes and why you are in each or not.")
}

fn what_is_missing(scope: &TrustScope, reason: &DenialReason) -> String {
    match reason {
        DenialReason::NotAMember => {
            let groups: Vec<&str> = scope.members.groups.iter().map(Name::as_str).collect();
            format!("it is for the groups {}", groups.join(", "))
        }
        DenialReason::FactsTooOld => "what we know of your groups is too old; sign in again".to_owned(),
        DenialReason::ScopeEnded => "it has ended".to_owned(),
        other => other.as_str().to_owned(),
    }
}

pub(super) fn reason_too_long() -> Problem {
    Problem::invalid(format!("the reason is longer than {LONGEST_REASON} bytes")).remedy("Shorten it.")
}

pub(super) fn check_reason(reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Problem::invalid("a request needs a reason").remedy("Say why: `--reason \"INC-123 …\"`."));
    }
    if reason.len() > LONGEST_REASON { Err(reason_too_long()) } else { Ok(()) }
}

pub(super) fn check_length(scope: &TrustScope, length: Duration) -> Result<()> {
    let longest = scope.by_request.as_ref().map_or(Duration::ZERO, |by| by.longest);
    if length.is_zero() {
        return Err(
            Problem::invalid("a grant lasts longer than no time").remedy("Say how long: `--for 15m`.")
        );
    }
    if length <= longest {
        return Ok(());
    }
    let longest = format_duration(longest);
    Err(Problem::invalid(format!(
        "{} is longer than trust scope '{}' is granted for: {longest} at most",
        format_duration(length),
        scope.name
    ))
    .with("longest", longest.clone())
    .remedy(format!("Ask for less: `--for {longest}`.")))
}
