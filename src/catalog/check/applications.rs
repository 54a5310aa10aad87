//! Applications: environments, shares, secrets that live elsewhere.

use std::time::Duration;

use super::{At, there_are};
use crate::{
    base::Name,
    catalog::declare::{Application, Environment, ExternalSecret, Kind, LeaseRole, Object, Share},
};

/// Less is nothing that a program could be started with.
const SHORTEST_LEASE: Duration = Duration::from_mins(1);

impl At<'_, '_> {
    pub(super) fn application(&mut self, application: &Application) {
        self.refers(&["team"], Kind::Team, &application.team);
        self.not_empty(&["environments"], &application.environments, "there would be no place for secrets");
        for (index, environment) in application.environments.iter().enumerate() {
            let index_text = index.to_string();
            if application.environments[..index].iter().any(|it| it.name == environment.name) {
                let path = ["environments", &index_text, "name"];
                self.wrong(&path, format!("there are two environments '{}'", environment.name), "Keep one.");
            }
            self.refers_all(&["environments", &index_text, "copies"], Kind::Team, &environment.copies);
        }
        for (index, share) in application.shares.iter().enumerate() {
            self.share(application, &index.to_string(), share);
        }
        for (index, secret) in application.secrets.iter().enumerate() {
            let repeated = application.secrets[..index]
                .iter()
                .any(|it| it.environment == secret.environment && it.name == secret.name);
            self.external(application, &index.to_string(), secret, repeated);
        }
        for (index, role) in application.leases.iter().enumerate() {
            let repeated = application.leases[..index]
                .iter()
                .any(|it| it.environment == role.environment && it.name == role.name);
            self.lease_role(application, &index.to_string(), role, repeated);
        }
        self.rotations(application);
    }

    /// An environment of this application.
    pub(super) fn own_environment(&mut self, application: &Application, path: &[&str], name: &Name) {
        if environment(application, name).is_none() {
            self.wrong(
                path,
                format!("'{}' has no environment '{name}'", application.name),
                there_are(application.environments.iter().map(|it| &it.name)),
            );
        }
    }

    /// An environment of this application that has no copies.
    pub(super) fn shared_environment(&mut self, application: &Application, path: &[&str], name: &Name) {
        let found = environment(application, name);
        match found {
            None => self.wrong(
                path,
                format!("'{}' has no environment '{name}'", application.name),
                there_are(application.environments.iter().map(|it| &it.name)),
            ),
            Some(it) if !it.copies.is_empty() => self.wrong(
                path,
                format!("'{}/{name}' has a copy for each team", application.name),
                "This works in environments that are shared: take 'copies' out there, or this out here.",
            ),
            Some(_) => {}
        }
    }

    fn share(&mut self, owner: &Application, index: &str, share: &Share) {
        self.shared_environment(owner, &["shares", index, "environment"], &share.environment);
        self.not_empty(&["shares", index, "with"], &share.with, "nobody would get the secret");
        self.own_secret(owner, index, share);
        self.refers_all(&["shares", index, "with"], Kind::Application, &share.with);
        for (at, name) in share.with.iter().enumerate() {
            let at = at.to_string();
            let path = ["shares", index, "with", &at];
            if *name == owner.name {
                self.wrong(&path, format!("'{name}' owns this secret"), "Take it out of the list.");
                continue;
            }
            let Some(Object::Application(other)) = self.world.get(Kind::Application, name) else { continue };
            if environment(other, &share.environment).is_none() {
                self.wrong(
                    &path,
                    format!("'{name}' has no environment '{}' to have it in", share.environment),
                    there_are(other.environments.iter().map(|it| &it.name)),
                );
            }
        }
    }

    /// Only the owner shares, and one name in an environment is one secret.
    fn own_secret(&mut self, owner: &Application, index: &str, share: &Share) {
        let path = ["shares", index, "secret"];
        for thing in self.world.of(Kind::Application) {
            let Object::Application(other) = thing.object else { continue };
            for theirs in &other.shares {
                let same = theirs.environment == share.environment && theirs.secret == share.secret;
                if !same || other.name == owner.name {
                    continue;
                }
                if theirs.with.contains(&owner.name) {
                    self.wrong(
                        &path,
                        format!(
                            "'{}' in '{}/{}' belongs to '{}', which shares it",
                            share.secret, owner.name, share.environment, other.name
                        ),
                        format!(
                            "Only its owner shares a secret: add the applications to the share of '{}'.",
                            other.name
                        ),
                    );
                } else if other.name < owner.name && theirs.with.iter().any(|it| share.with.contains(it)) {
                    self.wrong(
                        &path,
                        format!(
                            "'{}' shares a secret '{}' with the same application",
                            other.name, share.secret
                        ),
                        "One name is one secret: rename one of the two, or share only one.",
                    );
                }
            }
        }
    }

    fn external(&mut self, owner: &Application, index: &str, secret: &ExternalSecret, repeated: bool) {
        self.shared_environment(owner, &["secrets", index, "environment"], &secret.environment);
        if repeated {
            let path = ["secrets", index, "name"];
            self.wrong(&path, format!("'{}' is there twice", secret.name), "Keep one of the two.");
        }
        let at = &secret.at;
        let first = self.world.places.get(&(at.mount.as_str(), at.path.as_str(), at.field.as_str())).copied();
        if let Some(first) = first.filter(|it| **it != owner.name) {
            let message = format!("the application '{first}' declares the same place in the engine");
            let remedy = "Declare it there alone, and share it: `shares`.";
            self.wrong(&["secrets", index, "at"], message, remedy);
        }
        for (key, text, slashes) in
            [("mount", &at.mount, true), ("path", &at.path, true), ("field", &at.field, false)]
        {
            if !is_plain(text, slashes) {
                self.wrong(
                    &["secrets", index, "at", key],
                    format!("'{key}' is no place in the engine"),
                    "Write it without leading or final '/', '..', '?', '#' and control characters.",
                );
            }
        }
    }

    fn lease_role(&mut self, owner: &Application, index: &str, role: &LeaseRole, repeated: bool) {
        self.shared_environment(owner, &["leases", index, "environment"], &role.environment);
        if repeated {
            let path = ["leases", index, "name"];
            self.wrong(&path, format!("'{}' is there twice", role.name), "Keep one of the two.");
        }
        for (key, text, slashes) in [("mount", &role.at.mount, true), ("role", &role.at.role, false)] {
            // Both stand in a policy of the engine, where these would mean more than themselves.
            if !is_plain(text, slashes) || text.contains(['*', '+', '{', '}', '"']) {
                self.wrong(
                    &["leases", index, "at", key],
                    format!("'{key}' is no place in the engine"),
                    "Write it without leading or final '/', '..', '?', '#', '*', '+', braces and quotes.",
                );
            }
        }
        if role.longest < SHORTEST_LEASE {
            self.wrong(
                &["leases", index, "longest"],
                "a lease that is over before it can be used is none",
                "Allow a minute at least.",
            );
        }
    }
}

fn environment<'e>(application: &'e Application, name: &Name) -> Option<&'e Environment> {
    application.environments.iter().find(|it| it.name == *name)
}

/// Whether text can stand in an address of the engine without meaning another one.
pub(super) fn is_plain(text: &str, slashes: bool) -> bool {
    let part = |it: &str| {
        let odd = |c: char| {
            c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '%' | '\\') || !c.is_ascii()
        };
        !it.is_empty() && it != "." && it != ".." && !it.contains(odd)
    };
    text.len() <= 512 && if slashes { text.split('/').all(part) } else { part(text) && !text.contains('/') }
}
