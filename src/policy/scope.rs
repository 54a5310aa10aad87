//! A trust scope: what it takes to be in it, and what it allows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Action;
use crate::base::{EnvironmentRef, Name, Timestamp, time};

/// The one built-in trust scope, for groups named in the server's configuration. No file can declare it.
pub const ADMINISTRATORS: &str = "administrators";

/// A named degree of trust, as files declare it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrustScope {
    /// What it is called.
    pub name: Name,
    /// Who can be in it.
    pub members: Members,
    /// Where it has to be asked for: by whom it is approved and how long it lasts at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_request: Option<ByRequest>,
    /// When it ends for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// What it allows.
    pub allows: Vec<Allowance>,
    /// How strong and how recent the sign-in has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationNeed>,
    /// How old the facts may be. 12 h unless said otherwise, 1 h where it opens a protected environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<FactAge>,
    /// Whether the identity provider has to have confirmed within five minutes that the sign-in stands: it
    /// is asked again by refresh token, and a sign-in that it refuses has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revalidate: bool,
    /// From which networks (CIDR). Empty: from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// What follows for values that somebody came to know under it, once she has left.
    #[serde(default, skip_serializing_if = "ScopeRotation::is_default")]
    pub rotation: ScopeRotation,
}

/// What follows for a value that a leaver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterLeaving {
    /// Nothing.
    Ignores,
    /// A task that holds nothing up.
    Suggests,
    /// A task without which she is not through.
    Requires,
}

/// What a trust scope wants of values that were known under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScopeRotation {
    /// What follows.
    #[serde(default = "ScopeRotation::requires")]
    pub after_leaving: AfterLeaving,
    /// By when.
    #[serde(default = "ScopeRotation::week", with = "time::span")]
    pub within: Duration,
}

impl Default for ScopeRotation {
    fn default() -> Self {
        Self { after_leaving: Self::requires(), within: Self::week() }
    }
}

impl ScopeRotation {
    fn requires() -> AfterLeaving {
        AfterLeaving::Requires
    }

    fn week() -> Duration {
        Duration::from_hours(7 * 24)
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who can be in a trust scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Members {
    /// Aliases of groups; being in one of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Name>,
    /// Workloads. They are in no scope that has to be asked for, or that wants a sign-in of some strength.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Name>,
}

impl Members {
    /// Whether anybody but workloads can be in it.
    #[must_use]
    pub fn has_people(&self) -> bool {
        !self.groups.is_empty() || self.workloads.is_empty()
    }
}

/// A scope that has to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ByRequest {
    /// Aliases of groups whose people may approve; one approval is enough, never the requester's own.
    pub approvers: Vec<Name>,
    /// Longest time that a grant may last.
    #[serde(with = "time::span")]
    pub longest: Duration,
}

/// Some actions in some environments of some applications. For actions on the whole, such as
/// `read-log`, applications and environments stay out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Allowance {
    /// Which actions.
    pub actions: Vec<Action>,
    /// Of which applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Applications>,
    /// In which environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Environments>,
}

impl Allowance {
    /// Whether it is about this environment; `own` says whether that belongs to a team of the person's.
    #[must_use]
    pub fn covers(&self, at: &EnvironmentRef, own: bool) -> bool {
        let application = match &self.applications {
            Some(Applications::Word(ApplicationsWord::All)) => true,
            Some(Applications::Word(ApplicationsWord::OwnTeams)) => own,
            Some(Applications::Named(names)) => names.contains(&at.application),
            None => false,
        };
        let environment = match &self.environments {
            Some(Environments::Word(EnvironmentsWord::All)) => true,
            Some(Environments::Named(names)) => names.contains(&at.environment),
            None => false,
        };
        application && environment
    }
}

/// `own-teams`, `all`, or a list of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Applications {
    /// `own-teams` or `all`.
    Word(ApplicationsWord),
    /// These.
    Named(Vec<Name>),
}

/// The two words that stand for many applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplicationsWord {
    /// Applications of the teams that the person is in.
    OwnTeams,
    /// Every application.
    All,
}

/// `all`, or a list of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Environments {
    /// `all`.
    Word(EnvironmentsWord),
    /// These.
    Named(Vec<Name>),
}

/// The word that stands for every environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentsWord {
    /// Every environment.
    All,
}

/// How strong and how recent a sign-in has to be (RFC 9470).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AuthenticationNeed {
    /// One of these authentication context classes; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
    /// Oldest sign-in that counts.
    #[serde(default, with = "time::optional_span", skip_serializing_if = "Option::is_none")]
    pub no_older_than: Option<Duration>,
}

/// How old facts may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FactAge {
    /// Oldest group membership that counts; older counts as absent.
    #[serde(with = "time::span")]
    pub no_older_than: Duration,
}
