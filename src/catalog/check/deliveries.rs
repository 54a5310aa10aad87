//! Clusters and deliveries: who may write where.

use std::collections::BTreeSet;

use super::{At, there_are};
use crate::{
    base::Name,
    catalog::declare::{Cluster, ClusterPeople, Delivery, Kind, Object},
};

impl At<'_, '_> {
    pub(super) fn cluster(&mut self, cluster: &Cluster) {
        self.not_empty(&["namespaces"], &cluster.namespaces, "nothing could be delivered");
        if let Some(people) = &cluster.people {
            self.people_there(people);
        }
        for (index, namespace) in cluster.namespaces.iter().enumerate() {
            let index = index.to_string();
            let path = ["namespaces", index.as_str()];
            if !is_label(namespace.name.as_str()) {
                self.wrong(
                    &["namespaces", &index, "name"],
                    format!("'{}' is no name of a namespace", namespace.name),
                    "A namespace's name does not end with a hyphen.",
                );
            }
            self.not_empty(&["namespaces", &index, "teams"], &namespace.teams, "no team could deliver");
            self.refers_all(&["namespaces", &index, "teams"], Kind::Team, &namespace.teams);
            if teams_in(cluster, &namespace.name).len() > 1 && namespace.secret_names.is_empty() {
                self.wrong(
                    &path,
                    format!("several teams share the namespace '{}'", namespace.name),
                    "Add 'secret-names': patterns of the Secrets that these teams may make, such as reports-*.",
                );
            }
            for (at, pattern) in namespace.secret_names.iter().enumerate() {
                if !is_secret(&pattern.replace('*', "a")) {
                    self.wrong(
                        &["namespaces", &index, "secret-names", &at.to_string()],
                        format!("'{}' fits no name of a Secret", pattern.escape_debug()),
                        "Write lower-case letters, digits, '-', '.' and '*' for any text.",
                    );
                }
            }
        }
    }

    fn people_there(&mut self, people: &ClusterPeople) {
        let groups: Vec<Name> = people.groups.iter().map(|it| it.group.clone()).collect();
        self.refers_all(&["people", "groups"], Kind::Group, &groups);
        if people.user_claim.is_none() && people.groups.is_empty() {
            self.wrong(
                &["people"],
                "nobody could be asked about",
                "Add 'groups', or 'user-claim': subject or email.",
            );
        }
        if people.user_claim.is_none() && !people.user_prefix.is_empty() {
            self.wrong(
                &["people", "user-prefix"],
                "a prefix of user names that are not known",
                "Add 'user-claim': subject or email.",
            );
        }
        for (index, it) in people.groups.iter().enumerate() {
            if it.named.trim().is_empty() {
                self.wrong(
                    &["people", "groups", &index.to_string(), "as"],
                    "a group without a name in the cluster",
                    "Write what the cluster calls it, with its prefix.",
                );
            }
        }
    }

    pub(super) fn delivery(&mut self, delivery: &Delivery) {
        let team = self.delivering_team(delivery);
        if !is_secret(&delivery.secret) {
            self.wrong(
                &["secret"],
                format!("'{}' is no name of a Secret", delivery.secret.escape_debug()),
                "Write lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit.",
            );
        }
        if let Some(Object::Cluster(cluster)) = self.refers(&["cluster"], Kind::Cluster, &delivery.cluster)
            && let Some(team) = team
        {
            self.allowed(delivery, cluster, &team);
        }
        self.alone(delivery);
    }

    /// The team that delivers: the copy's where it is a copy, else the application's owner.
    fn delivering_team(&mut self, delivery: &Delivery) -> Option<Name> {
        let found = self.refers(&["application"], Kind::Application, &delivery.application)?;
        let Object::Application(application) = found else { return None };
        let at = format!("{}/{}", delivery.application, delivery.environment);
        let Some(environment) = application.environments.iter().find(|it| it.name == delivery.environment)
        else {
            self.wrong(
                &["environment"],
                format!("'{}' has no environment '{}'", delivery.application, delivery.environment),
                there_are(application.environments.iter().map(|it| &it.name)),
            );
            return None;
        };
        match &delivery.team {
            None if environment.copies.is_empty() => Some(application.team.clone()),
            None => {
                self.wrong(
                    &["environment"],
                    format!("'{at}' has a copy for each team, and this does not say which is delivered"),
                    format!("Add 'team'. {}", there_are(&environment.copies)),
                );
                None
            }
            Some(_) if environment.copies.is_empty() => {
                self.wrong(&["team"], format!("'{at}' is shared; no team has a copy"), "Take 'team' out.");
                None
            }
            Some(team) if !environment.copies.contains(team) => {
                let remedy = there_are(&environment.copies);
                self.wrong(&["team"], format!("'{team}' has no copy of '{at}'"), remedy);
                None
            }
            Some(team) => Some(team.clone()),
        }
    }

    fn allowed(&mut self, delivery: &Delivery, cluster: &Cluster, team: &Name) {
        let namespace = &delivery.namespace;
        let of_team = cluster.namespaces.iter().filter(|it| it.name == *namespace && it.teams.contains(team));
        let patterns: Vec<&str> =
            of_team.clone().flat_map(|it| &it.secret_names).map(String::as_str).collect();
        if of_team.count() == 0 {
            let usable = cluster.namespaces.iter().filter(|it| it.teams.contains(team)).map(|it| &it.name);
            let remedy = format!(
                "Add '{team}' to its teams in the Cluster '{}', or deliver to one that it may use. {}",
                cluster.name,
                there_are(usable)
            );
            self.wrong(
                &["namespace"],
                format!(
                    "the cluster '{}' does not allow the namespace '{namespace}' to the team '{team}'",
                    cluster.name
                ),
                remedy,
            );
        } else if !cluster.allows(namespace, team, &delivery.secret) {
            self.wrong(
                &["secret"],
                format!(
                    "in the namespace '{namespace}' the team '{team}' may not make '{}'",
                    delivery.secret.escape_debug()
                ),
                format!("Choose a name that fits one of: {}.", patterns.join(", ")),
            );
        }
    }

    /// Two deliveries would overwrite each other for ever.
    fn alone(&mut self, delivery: &Delivery) {
        let key = (&delivery.cluster, &delivery.namespace, delivery.secret.as_str());
        let first = self.world.secrets.get(&key).copied();
        if let Some(first) = first.filter(|it| **it != delivery.name) {
            let message = format!("the delivery '{first}' goes into the same Secret");
            self.wrong(&["secret"], message, "Give one of the two another Secret.");
        }
    }
}

fn teams_in<'c>(cluster: &'c Cluster, namespace: &Name) -> BTreeSet<&'c Name> {
    cluster.namespaces.iter().filter(|it| it.name == *namespace).flat_map(|it| &it.teams).collect()
}

/// An RFC 1123 label, given that it is a [`Name`] already.
fn is_label(text: &str) -> bool {
    !text.ends_with('-')
}

/// An RFC 1123 subdomain.
fn is_secret(text: &str) -> bool {
    let part = |it: &str| {
        it.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !it.is_empty()
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}
