//! The one built-in trust scope, made from the server's configuration. No file widens or removes it.

use std::collections::BTreeMap;

use crate::{
    base::{Name, config::AdministratorGroup},
    policy::{ADMINISTRATORS, Action, Allowance, Members, TrustScope},
};

/// What administrators may do.
const ACTIONS: &[Action] = &[
    Action::Apply,
    Action::Plan,
    Action::SeePeople,
    Action::ManagePeople,
    Action::ManageKeys,
    Action::Forget,
    Action::ManageConnections,
    Action::SeeRotation,
    Action::ReadLog,
];

/// Whether a name is kept for ourselves: `administrators`, and the aliases of its groups.
pub(super) fn is_reserved(name: &Name) -> bool {
    name.as_str().strip_prefix(ADMINISTRATORS).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The built-in scope. Its groups are meant by provider and id: where files declare an alias for one,
/// that is what it is called, and a file that aims the alias elsewhere does not move the scope; else it
/// gets an alias that files cannot declare.
pub(super) fn administrators(
    groups: &[AdministratorGroup],
    aliases: &mut BTreeMap<(String, String), Name>,
) -> TrustScope {
    let mut members = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let alias = aliases
            .entry((group.provider.clone(), group.id.clone()))
            .or_insert_with(|| name(&format!("{ADMINISTRATORS}-{}", index + 1)));
        members.push(alias.clone());
    }
    TrustScope {
        name: name(ADMINISTRATORS),
        members: Members { groups: members, ..Members::default() },
        by_request: None,
        ends: None,
        allows: vec![Allowance { actions: ACTIONS.to_vec(), applications: None, environments: None }],
        authentication: None,
        facts: None,
        revalidate: false,
        networks: Vec::new(),
        rotation: crate::policy::ScopeRotation::default(),
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name of ours fits the rule for names")
}
