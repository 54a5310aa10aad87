//! Trust scopes: what no file may declare, and what would never take effect.

use ipnet::IpNet;

use super::{At, there_are};
use crate::{
    base::Name,
    catalog::declare::{Kind, Object},
    policy::{Action, Allowance, Applications, Environments, TrustScope},
};

/// What an action is done to, as far as scopes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// An environment.
    Environment,
    /// The whole.
    Whole,
    /// One's own, or what our services do: no scope allows it.
    None,
}

fn reach(action: Action) -> Reach {
    match action {
        Action::List
        | Action::Reveal
        | Action::Set
        | Action::Run
        | Action::Lease
        | Action::Destroy
        | Action::SeeDelivery
        | Action::PauseDelivery
        | Action::SeeExposure => Reach::Environment,
        Action::Plan
        | Action::Apply
        | Action::SeePeople
        | Action::ManagePeople
        | Action::SeeRotation
        | Action::WaiveRotation
        | Action::ReadLog
        | Action::ManageKeys
        | Action::Forget
        | Action::ManageConnections => Reach::Whole,
        _ => Reach::None,
    }
}

impl At<'_, '_> {
    pub(super) fn scope(&mut self, scope: &TrustScope) {
        if scope.members.workloads.is_empty() {
            self.not_empty(&["members", "groups"], &scope.members.groups, "nobody could be in the scope");
        }
        self.members_that_are_workloads(scope);
        self.refers_all(&["members", "groups"], Kind::Group, &scope.members.groups);
        self.not_empty(&["allows"], &scope.allows, "the scope would allow nothing");
        if let Some(by_request) = &scope.by_request {
            self.not_empty(&["by-request", "approvers"], &by_request.approvers, "nobody could approve");
            self.refers_all(&["by-request", "approvers"], Kind::Group, &by_request.approvers);
            if by_request.longest.is_zero() {
                self.wrong(&["by-request", "longest"], "a grant would never last", "Write for example 1h.");
            }
        }
        if scope.facts.as_ref().is_some_and(|it| it.no_older_than.is_zero()) {
            self.wrong(&["facts", "no-older-than"], "no fact would count", "Write for example 12h.");
        }
        if scope.rotation.within.is_zero() {
            self.wrong(&["rotation", "within"], "every task would be late at once", "Write for example 7d.");
        }
        for (index, text) in scope.networks.iter().enumerate() {
            if text.parse::<IpNet>().is_err() {
                self.wrong(
                    &["networks", &index.to_string()],
                    format!("'{}' is no network", text.escape_debug()),
                    "Write address and prefix length, such as 10.0.0.0/8 or 2001:db8::/32.",
                );
            }
        }
        for (index, allowance) in scope.allows.iter().enumerate() {
            self.allowance(&index.to_string(), allowance, scope.by_request.is_some());
        }
    }

    fn allowance(&mut self, index: &str, it: &Allowance, by_request: bool) {
        self.not_empty(&["allows", index, "actions"], &it.actions, "this part would allow nothing");
        let has = |wanted: Reach| it.actions.iter().any(|action| reach(*action) == wanted);
        let somewhere = it.applications.is_some() || it.environments.is_some();
        for (at, action) in it.actions.iter().enumerate() {
            self.action(&["allows", index, "actions", &at.to_string()], *action, somewhere, by_request);
        }
        if has(Reach::Environment) && (it.applications.is_none() || it.environments.is_none()) {
            let missing = if it.applications.is_none() { "applications" } else { "environments" };
            self.wrong(
                &["allows", index],
                format!("'{missing}' is missing: these actions are done in environments"),
                format!("Add '{missing}', or move actions on the whole to an item of their own."),
            );
        }
        if let Some(Applications::Named(names)) = &it.applications {
            self.not_empty(&["allows", index, "applications"], names, "no application fits");
            self.refers_all(&["allows", index, "applications"], Kind::Application, names);
        }
        if let Some(Environments::Named(names)) = &it.environments {
            self.not_empty(&["allows", index, "environments"], names, "no environment fits");
            self.environments(index, it, names);
        }
    }

    fn action(&mut self, path: &[&str], action: Action, somewhere: bool, by_request: bool) {
        match reach(action) {
            Reach::None => {
                let known = Action::ALL.iter().filter(|it| reach(**it) != Reach::None);
                self.wrong(path, format!("no trust scope can allow '{action}'"), there_are(known));
            }
            Reach::Whole if somewhere => self.wrong(
                path,
                format!("'{action}' is not done in environments"),
                "Move it to an item of 'allows' without 'applications' and 'environments'.",
            ),
            Reach::Whole if by_request => self.wrong(
                path,
                format!("'{action}' cannot be asked for: a grant is for one environment"),
                "Move it to a trust scope without 'by-request'.",
            ),
            _ => {}
        }
    }

    /// A named environment has to exist in one of the applications that are meant.
    fn environments(&mut self, index: &str, it: &Allowance, names: &[Name]) {
        let meant = |name: &Name| match &it.applications {
            Some(Applications::Named(applications)) => applications.contains(name),
            _ => true,
        };
        let mut known: Vec<&Name> = Vec::new();
        for thing in self.world.of(Kind::Application) {
            if let Object::Application(application) = thing.object
                && meant(&application.name)
            {
                known.extend(application.environments.iter().map(|it| &it.name));
            }
        }
        if self.world.unread.iter().any(|(kind, _)| *kind == Kind::Application) {
            return;
        }
        known.sort();
        known.dedup();
        for (at, name) in names.iter().enumerate() {
            if !known.contains(&name) {
                let path = ["allows", index, "environments", &at.to_string()];
                self.wrong(
                    &path,
                    format!("none of these applications has an environment '{name}'"),
                    there_are(&known),
                );
            }
        }
    }
}
