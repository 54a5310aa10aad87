//! What files declare: one plain type for each kind. Shape and names here are the file format.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rotation::Rotation;
use crate::{
    base::{Name, SecretName, time},
    policy::TrustScope,
};

pub use crate::identity::Workload;

/// A group, as one source (IdP or SCIM connection) names it, under an alias of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Group {
    /// The alias that teams and trust scopes use.
    pub name: Name,
    /// Who says who is in it: the name of a provider in the server's configuration.
    pub provider: String,
    /// What the provider calls it: its id there, or its name where that is what its claims hold.
    pub id: String,
}

/// A team: owns applications; its members are the people of its groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Team {
    /// What it is called.
    pub name: Name,
    /// Aliases of its groups; being in one of them is being in the team.
    pub groups: Vec<Name>,
    /// The e-mail address that is told of the team's work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

/// An application with its environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Application {
    /// What it is called.
    pub name: Name,
    /// The team that owns it.
    pub team: Name,
    /// Its environments.
    pub environments: Vec<Environment>,
    /// Which of its secrets other applications get, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Which of its secrets live at a place of their own in the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<ExternalSecret>,
    /// Roles of the engine whose credentials can be leased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<LeaseRole>,
    /// How its secrets get new values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotation: Vec<Rotation>,
}

/// An environment of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Environment {
    /// What it is called.
    pub name: Name,
    /// Whether facts have to be younger than usual here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protected: bool,
    /// The teams that have a copy each. Empty: the environment is shared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Name>,
    /// The age at which every value has to be replaced, where its secret says nothing else.
    #[serde(default, with = "time::optional_span", skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<Duration>,
}

/// A secret that its owner shares: one version, one rotation task, many deliveries. The other
/// applications have it in their environment of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Share {
    /// The environment of the owner; a shared one.
    pub environment: Name,
    /// The secret.
    pub secret: SecretName,
    /// The applications that get it.
    pub with: Vec<Name>,
}

/// A secret that lives at an existing place in the engine: read in place, nothing copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExternalSecret {
    /// The environment; a shared one.
    pub environment: Name,
    /// What it is called here.
    pub name: SecretName,
    /// Where it lives.
    pub at: ExternalLocation,
    /// Whether it may be changed from here (by compare-and-set that keeps the other fields).
    #[serde(default, skip_serializing_if = "is_false")]
    pub writable: bool,
}

/// An existing place in the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExternalLocation {
    /// The KV v2 mount.
    pub mount: String,
    /// The path below it.
    pub path: String,
    /// The field of what is stored there.
    pub field: String,
}

/// A role of a dynamic engine (a database's, say): whoever leases it gets credentials of her own, which the
/// engine takes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LeaseRole {
    /// The environment; a shared one.
    pub environment: Name,
    /// What it is called here.
    pub name: Name,
    /// Where the engine has it.
    pub at: RoleLocation,
    /// The longest that one lease may last, with all that it is renewed.
    #[serde(with = "time::span")]
    pub longest: Duration,
}

/// A role in the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RoleLocation {
    /// The mount of the dynamic engine.
    pub mount: String,
    /// What the role is called there.
    pub role: String,
}

/// A cluster, and which namespaces of it which teams may deliver to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cluster {
    /// What it is called; the server's configuration says how it is reached.
    pub name: Name,
    /// Its namespaces that may be delivered to. No other is touched.
    pub namespaces: Vec<Namespace>,
    /// How people appear in it, so that it can be asked who can read what is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<ClusterPeople>,
}

/// How people appear in a cluster: what its API server makes of what their identity provider says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterPeople {
    /// The identity provider by which they come, as the server's configuration names it.
    pub provider: String,
    /// Of what their user names are made. Nothing: the cluster gives rights to groups alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_claim: Option<UserClaim>,
    /// What its user names begin with, such as `oidc:`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_prefix: String,
    /// Which groups it knows, and under which names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<ClusterGroup>,
}

/// Of what a cluster makes its user names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserClaim {
    /// The account's subject.
    Subject,
    /// The e-mail address.
    Email,
}

/// A group as a cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterGroup {
    /// The group's alias.
    pub group: Name,
    /// What the cluster calls it, such as `oidc:platform`.
    #[serde(rename = "as")]
    pub named: String,
}

/// A namespace of a cluster. It may be listed more than once, with other teams and other patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Namespace {
    /// What it is called.
    pub name: Name,
    /// The teams that may deliver to it.
    pub teams: Vec<Name>,
    /// Patterns (`*` stands for any text) of the names of the Secrets that these teams may make. Empty:
    /// any name; not where teams share the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_names: Vec<String>,
}

/// What should be in which Kubernetes Secret: all secrets of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Delivery {
    /// What it is called.
    pub name: Name,
    /// The application.
    pub application: Name,
    /// The environment.
    pub environment: Name,
    /// Whose copy, where the environment has copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Name>,
    /// The cluster.
    pub cluster: Name,
    /// The namespace.
    pub namespace: Name,
    /// The name of the Kubernetes Secret.
    pub secret: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

/// The kinds of things that files declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// [`Group`].
    Group,
    /// [`Team`].
    Team,
    /// [`Application`].
    Application,
    /// [`Workload`].
    Workload,
    /// [`TrustScope`].
    TrustScope,
    /// [`Cluster`].
    Cluster,
    /// [`Delivery`].
    Delivery,
}

impl Kind {
    /// Every kind, each after those that it refers to.
    pub const ALL: &'static [Self] = &[
        Self::Group,
        Self::Team,
        Self::Application,
        Self::Workload,
        Self::TrustScope,
        Self::Cluster,
        Self::Delivery,
    ];

    /// As files and the database spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Group => "Group",
            Self::Team => "Team",
            Self::Application => "Application",
            Self::Workload => "Workload",
            Self::TrustScope => "TrustScope",
            Self::Cluster => "Cluster",
            Self::Delivery => "Delivery",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Any declared thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A group.
    Group(Group),
    /// A team.
    Team(Team),
    /// An application.
    Application(Application),
    /// A workload.
    Workload(Workload),
    /// A trust scope.
    TrustScope(TrustScope),
    /// A cluster.
    Cluster(Cluster),
    /// A delivery.
    Delivery(Delivery),
}

impl Object {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Group(_) => Kind::Group,
            Self::Team(_) => Kind::Team,
            Self::Application(_) => Kind::Application,
            Self::Workload(_) => Kind::Workload,
            Self::TrustScope(_) => Kind::TrustScope,
            Self::Cluster(_) => Kind::Cluster,
            Self::Delivery(_) => Kind::Delivery,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        match self {
            Self::Group(it) => &it.name,
            Self::Team(it) => &it.name,
            Self::Application(it) => &it.name,
            Self::Workload(it) => &it.name,
            Self::TrustScope(it) => &it.name,
            Self::Cluster(it) => &it.name,
            Self::Delivery(it) => &it.name,
        }
    }

    /// Reads an object of a kind from any format.
    ///
    /// # Errors
    /// Those of the format.
    pub fn read<'de, D: serde::Deserializer<'de>>(kind: Kind, from: D) -> Result<Self, D::Error> {
        Ok(match kind {
            Kind::Group => Self::Group(Group::deserialize(from)?),
            Kind::Team => Self::Team(Team::deserialize(from)?),
            Kind::Application => Self::Application(Application::deserialize(from)?),
            Kind::Workload => Self::Workload(Workload::deserialize(from)?),
            Kind::TrustScope => Self::TrustScope(TrustScope::deserialize(from)?),
            Kind::Cluster => Self::Cluster(Cluster::deserialize(from)?),
            Kind::Delivery => Self::Delivery(Delivery::deserialize(from)?),
        })
    }

    /// Its declaration as JSON; written out, this is the canonical form that is stored and digested.
    ///
    /// # Errors
    /// Where a time cannot be written; none that parsed.
    pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Group(it) => serde_json::to_value(it),
            Self::Team(it) => serde_json::to_value(it),
            Self::Application(it) => serde_json::to_value(it),
            Self::Workload(it) => serde_json::to_value(it),
            Self::TrustScope(it) => serde_json::to_value(it),
            Self::Cluster(it) => serde_json::to_value(it),
            Self::Delivery(it) => serde_json::to_value(it),
        }
    }
}
