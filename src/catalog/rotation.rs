//! How a secret gets new values, and how old a value may grow: what files say of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::base::{EnvironmentRef, Name, SecretName, SecretRef, SecretValue, time};

/// What stands for the password in a template.
const PASSWORD: &str = "{password}";
/// What stands for the user's name.
const USERNAME: &str = "{username}";

/// How a secret of an application gets new values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rotation {
    /// The environment.
    pub environment: Name,
    /// The secret.
    pub secret: SecretName,
    /// The age at which a value has to be replaced, whoever knows it.
    #[serde(default, with = "time::optional_span", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// Who makes a new value; nothing: the team, as it sees fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Rotator>,
    /// Whether a task waits until somebody has said that the old value is worth nothing at its target any
    /// more: for what we cannot see.
    #[serde(default, skip_serializing_if = "super::declare::is_false")]
    pub until_said: bool,
}

/// Who makes a new value: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rotator {
    /// Vault, whose database engine changes the password of one database user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_static_role: Option<StaticRole>,
    /// Somebody outside, who is asked by a signed message; a rotator of the server's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Name>,
    /// A CI job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<CiJob>,
    /// People, by these instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<String>,
}

/// A static role of Vault's database engine; the secret's value is its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StaticRole {
    /// Where the database engine is mounted.
    pub mount: String,
    /// The role.
    pub role: String,
    /// A second role that takes turns with the first: the new password is delivered before the old one dies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_role: Option<String>,
    /// The value, with `{username}` and `{password}` in it; the password alone where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// A CI job that makes new values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CiJob {
    /// The workload that it signs in as.
    pub workload: Name,
    /// What whoever starts it has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// The one way that a [`Rotator`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// Vault's database engine.
    StaticRole(&'a StaticRole),
    /// A rotator of the server's configuration.
    Webhook(&'a Name),
    /// A CI job.
    Ci(&'a CiJob),
    /// People.
    Hand(&'a str),
}

impl Way<'_> {
    /// As files spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaticRole(_) => "vault-static-role",
            Self::Webhook(_) => "webhook",
            Self::Ci(_) => "ci",
            Self::Hand(_) => "hand",
        }
    }

    /// What people have to know, where files say so.
    #[must_use]
    pub fn instructions(&self) -> Option<&str> {
        match self {
            Self::Ci(job) => job.instructions.as_deref(),
            Self::Hand(text) => Some(text),
            Self::StaticRole(_) | Self::Webhook(_) => None,
        }
    }
}

impl Rotator {
    /// How many ways it names; one is right.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ways().count()
    }

    /// The way that it names.
    #[must_use]
    pub fn way(&self) -> Option<Way<'_>> {
        self.ways().next()
    }

    fn ways(&self) -> impl Iterator<Item = Way<'_>> {
        let all = [
            self.vault_static_role.as_ref().map(Way::StaticRole),
            self.webhook.as_ref().map(Way::Webhook),
            self.ci.as_ref().map(Way::Ci),
            self.hand.as_deref().map(Way::Hand),
        ];
        all.into_iter().flatten()
    }
}

impl StaticRole {
    /// Its role, and the second one where two take turns.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.role.as_str()).chain(self.other_role.as_deref())
    }

    /// Whether the template has the password in it.
    #[must_use]
    pub fn holds_password(&self) -> bool {
        self.template.as_ref().is_none_or(|template| template.contains(PASSWORD))
    }

    /// The secret's value, of a user and her password. Nothing where the password is no text.
    #[must_use]
    pub fn render(&self, username: &str, password: &SecretValue) -> Option<SecretValue> {
        let template = self.template.as_deref().unwrap_or(PASSWORD);
        let password = password.expose_text()?;
        // The user's name first: what a password holds is not looked at again.
        let value = template.replace(USERNAME, username).replace(PASSWORD, password);
        Some(SecretValue::from(value))
    }
}

impl Rotation {
    /// The way in which new values are made, where files say one.
    #[must_use]
    pub fn way(&self) -> Option<Way<'_>> {
        self.by.as_ref().and_then(Rotator::way)
    }

    /// The static role, where that is the way.
    #[must_use]
    pub fn static_role(&self) -> Option<&StaticRole> {
        match self.way() {
            Some(Way::StaticRole(role)) => Some(role),
            _ => None,
        }
    }

    /// Whether a new value is delivered before the old one dies, which then has to be seen to.
    #[must_use]
    pub fn ends_old_value(&self) -> bool {
        self.until_said || self.static_role().is_some_and(|role| role.other_role.is_some())
    }
}

impl Snapshot {
    /// How a secret gets new values, where files say so.
    #[must_use]
    pub fn rotation(&self, at: &SecretRef) -> Option<&Rotation> {
        let application = self.applications.get(&at.environment.application)?;
        let fits = |it: &&Rotation| it.environment == at.environment.environment && it.secret == at.name;
        application.rotation.iter().find(fits)
    }

    /// Everything that files say of how secrets get new values. Of an environment with copies, the
    /// secret is named without a team.
    pub fn rotation_list(&self) -> impl Iterator<Item = (SecretRef, &Rotation)> {
        self.applications.values().flat_map(|application| {
            application.rotation.iter().map(|it| {
                let environment = EnvironmentRef {
                    application: application.name.clone(),
                    environment: it.environment.clone(),
                    team: None,
                };
                (SecretRef { environment, name: it.secret.clone() }, it)
            })
        })
    }

    /// The age at which a value of a secret has to be replaced: its own, else that of its environment.
    #[must_use]
    pub fn rotate_every(&self, at: &SecretRef) -> Option<Duration> {
        let application = self.applications.get(&at.environment.application)?;
        let environment = application.environments.iter().find(|it| it.name == at.environment.environment);
        self.rotation(at).and_then(|it| it.every).or_else(|| environment.and_then(|it| it.rotate_every))
    }

    /// The team that a secret belongs to: whose copy it is in, else the owner of its application.
    #[must_use]
    pub fn owner_of<'a>(&'a self, at: &'a SecretRef) -> Option<&'a Name> {
        let owner = || self.applications.get(&at.environment.application).map(|it| &it.team);
        at.environment.team.as_ref().or_else(owner)
    }
}
