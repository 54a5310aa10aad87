//! Whoever acts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::{Name, ids::PersonId};

/// Whoever acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A human.
    Person(PersonId),
    /// A CI job or a Kubernetes ServiceAccount, as files declare it.
    Workload(Name),
    /// One of our own services.
    Service(Service),
    /// A connection by which an identity provider says who people are.
    Connection(Name),
}

impl fmt::Display for Principal {
    /// As the log names it: `per_…`, `workload/reports-ci`, `service/broker` or `connection/okta`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "{id}"),
            Self::Workload(name) => write!(f, "workload/{name}"),
            Self::Service(service) => write!(f, "service/{service}"),
            Self::Connection(name) => write!(f, "connection/{name}"),
        }
    }
}

/// Our own services. Each has policies of its own; there is no permit for "the system".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Takes verified sign-ins in: creates people, accounts, memberships and sessions.
    SignIn,
    /// Ends what has run out: grants, requests, sessions.
    Expiry,
    /// Follows people from group to group and from team to team.
    Movers,
    /// Notes what came of what was begun at an engine.
    Secrets,
    /// Keeps deliveries as they should be.
    Broker,
    /// Takes from leavers what they still hold.
    Revocation,
    /// Keeps rotation tasks, and has new values made.
    Rotation,
    /// Sends entries of the log to where the configuration says.
    Forwarder,
    /// Moves old entries of the log to its archive.
    Archivist,
    /// The server's own machine: recovery, keys, the log's own entries.
    Operator,
}

impl Service {
    /// Every service.
    pub const ALL: &'static [Self] = &[
        Self::SignIn,
        Self::Expiry,
        Self::Movers,
        Self::Secrets,
        Self::Broker,
        Self::Revocation,
        Self::Rotation,
        Self::Forwarder,
        Self::Archivist,
        Self::Operator,
    ];

    /// Its name in policies and entries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Expiry => "expiry",
            Self::Movers => "movers",
            Self::Secrets => "secrets",
            Self::Broker => "broker",
            Self::Revocation => "revocation",
            Self::Rotation => "rotation",
            Self::Forwarder => "forwarder",
            Self::Archivist => "archivist",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether anything works for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonStatus {
    /// Everything that policy allows.
    Active,
    /// Nothing works, nothing is taken away.
    Suspended,
    /// Everything is taken away.
    Deactivated,
}

impl PersonStatus {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
        }
    }

    /// Reads what [`Self::as_str`] wrote. Anything else counts as deactivated: fail closed.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "suspended" => Self::Suspended,
            _ => Self::Deactivated,
        }
    }
}
