//! What something is done to.

use std::fmt;

use crate::base::{
    EnvironmentRef, Name, SecretName,
    ids::{PersonId, RequestId, RotationTaskId},
};

/// What policy has to know of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFacts {
    /// Which it is.
    pub at: EnvironmentRef,
    /// The team that owns the application. Nothing where no file declares it: then only `All` fits.
    pub owner: Option<Name>,
    /// Whether it is marked protected: facts have to be younger.
    pub protected: bool,
}

/// What something is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// An environment with all that is in it.
    Environment(EnvironmentFacts),
    /// One secret.
    Secret(EnvironmentFacts, SecretName),
    /// One role whose credentials can be leased.
    Lease(EnvironmentFacts, Name),
    /// What files declare.
    Catalog,
    /// All people.
    People,
    /// All workloads.
    Workloads,
    /// Rotation tasks.
    Rotation,
    /// That a rotation task may wait.
    Waiver {
        /// Which task.
        task: RotationTaskId,
        /// Who has no say in it: whoever asked, and whom the task is about.
        barred: Vec<PersonId>,
    },
    /// The log.
    Log,
    /// The keys.
    Keys,
    /// The connections.
    Connections,
    /// What belongs to the caller herself.
    Own,
    /// A request for a trust scope, with who asked and for what.
    Request {
        /// Which.
        id: RequestId,
        /// Who asked.
        requester: PersonId,
        /// For which trust scope.
        scope: Name,
        /// Where.
        environment: EnvironmentFacts,
    },
}

impl Resource {
    /// The environment that it is or lies in.
    #[must_use]
    pub fn environment(&self) -> Option<&EnvironmentFacts> {
        match self {
            Self::Environment(at)
            | Self::Secret(at, _)
            | Self::Lease(at, _)
            | Self::Request { environment: at, .. } => Some(at),
            _ => None,
        }
    }

    /// The secret, where it is one.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::Secret(_, name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(at) => write!(f, "{}", at.at),
            Self::Secret(at, name) => write!(f, "{}/{name}", at.at),
            Self::Lease(at, role) => write!(f, "{}/{role}", at.at),
            Self::Catalog => f.write_str("catalog"),
            Self::People => f.write_str("people"),
            Self::Workloads => f.write_str("workloads"),
            Self::Rotation => f.write_str("rotation"),
            Self::Log => f.write_str("log"),
            Self::Keys => f.write_str("keys"),
            Self::Connections => f.write_str("connections"),
            Self::Own => f.write_str("own"),
            Self::Request { id, .. } => write!(f, "{id}"),
            Self::Waiver { task, .. } => write!(f, "{task}"),
        }
    }
}
