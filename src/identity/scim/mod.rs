//! SCIM 2.0 (RFC 7643, RFC 7644): identity providers say by a connection who works here, and in which
//! groups.
//!
//! A connection is a principal: it is authenticated by a token of its own, policy decides on each of its
//! requests, and what it changes is a unit of work with its entries. It sees only what it provisioned. The
//! people whom it names are joined with sign-ins by one attribute that an administrator named, and by
//! nothing else.

mod connection;
pub mod filter;
mod groups;
mod link;
mod manage;
pub mod patch;
mod query;
mod refusals;
mod render;
pub mod schema;
#[cfg(test)]
mod tests;
mod users;

use std::{future::Future, net::IpAddr, sync::Arc};

use serde_json::{Map, Value};
use url::Url;

pub use connection::{Connection, Link, Speaker};
pub use manage::{
    Checked, ConnectionChange, ConnectionCounts, ConnectionSettings, ConnectionShown, NewConnection,
    ScimGroupLine, TokenShown, UnlinkedPerson,
};
pub use query::{ListWish, Listed};
pub use refusals::{Attempt, Refusal};
pub use render::{Projection, resource_types, schemas, service_provider};

use super::removal::Removals;
use crate::{
    audit::Log,
    base::{Ambient, Problem, ProblemKind, Result, config::ProviderConfig},
    notify::Outbox,
    policy::{Action, ConnectionFacts, Facts, Permit, Policies, Resource},
    store::Database,
};

/// How often something is decided again when what it rests on moves underneath.
const DECISIONS: usize = 3;

/// Says which trust scopes that open a protected environment a group is in. `catalog` knows; `access`
/// implements it.
#[async_trait::async_trait]
pub trait ProtectedScopes: Send + Sync {
    /// The names of those trust scopes.
    async fn opened_by(&self, source: &str, group_id: &str) -> Result<Vec<String>>;
}

/// What this part of the room is made from.
pub struct ScimParts {
    /// Where everything lies.
    pub database: Database,
    /// The only way to write.
    pub log: Log,
    /// Time and chance.
    pub ambient: Ambient,
    /// What decides.
    pub policies: Arc<Policies>,
    /// What takes people away.
    pub removals: Removals,
    /// Where administrators are told of what was refused.
    pub outbox: Outbox,
    /// Who signs people in.
    pub providers: Vec<ProviderConfig>,
    /// The address that the server is reached at.
    pub public_url: Url,
    /// Which groups open what is protected.
    pub protected: Arc<dyn ProtectedScopes>,
}

/// The service provider. Cheap to clone.
#[derive(Clone)]
pub struct Scim(Arc<Inner>);

struct Inner {
    parts: ScimParts,
    limit: connection::Limit,
}

/// A resource as it is answered, with its version.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The resource; nothing where only its version is told.
    pub body: Option<Value>,
    /// Its entity tag.
    pub etag: String,
    /// Its address.
    pub location: String,
}

/// What somebody sends: a resource or operations.
pub type Said = Map<String, Value>;

impl Scim {
    /// A service provider over these.
    #[must_use]
    pub fn new(parts: ScimParts) -> Self {
        Self(Arc::new(Inner { parts, limit: connection::Limit::default() }))
    }

    fn parts(&self) -> &ScimParts {
        &self.0.parts
    }

    fn provider(&self, name: &str) -> Option<&ProviderConfig> {
        self.parts().providers.iter().find(|it| it.name.as_str() == name)
    }

    /// The permit of a connection to do `action` to people.
    async fn permit(
        &self,
        connection: &Connection,
        network: Option<IpAddr>,
        action: Action,
    ) -> Result<Permit> {
        let facts = Facts::Connection(ConnectionFacts {
            connection: connection.name.clone(),
            disabled: connection.disabled_at.is_some(),
            version: connection.version,
            network,
            now: self.parts().ambient.now(),
        });
        match self.parts().policies.decide(&facts, action, Resource::People) {
            Ok(permit) => Ok(permit),
            Err(denial) => Err(self.parts().log.deny(*denial).await),
        }
    }

    /// Decides and reads.
    async fn look(&self, speaker: &Speaker) -> Result<()> {
        self.permit(&speaker.connection, speaker.network, Action::Provision).await.map(drop)
    }

    /// Decides and acts; where the connection was changed before the act was recorded, decides again.
    async fn act<T, Acting, Done>(&self, speaker: &Speaker, action: Action, act: Acting) -> Result<T>
    where
        Acting: Fn(Permit, Arc<Connection>) -> Done,
        Done: Future<Output = Result<T>>,
    {
        let mut connection = Arc::clone(&speaker.connection);
        let mut decisions = 1;
        loop {
            let permit = self.permit(&connection, speaker.network, action).await?;
            match act(permit, Arc::clone(&connection)).await {
                Err(problem) if problem.is(ProblemKind::FactsChanged) && decisions < DECISIONS => {
                    decisions += 1;
                    connection = Arc::new(self.connection(&connection.name).await?);
                }
                outcome => return outcome,
            }
        }
    }

    /// The address of a resource of a connection.
    fn location(&self, connection: &Connection, kind: &str, id: &str) -> String {
        let base = self.parts().public_url.as_str().trim_end_matches('/');
        format!("{base}/scim/v2/{}/{kind}/{id}", connection.name)
    }
}

/// A refusal with the word that the standard has for it (RFC 7644, table 9).
fn refuse(scim_type: &str, detail: impl Into<String>) -> Problem {
    let kind =
        if scim_type == "uniqueness" { ProblemKind::AlreadyExists } else { ProblemKind::InvalidRequest };
    Problem::new(kind, detail).with("scimType", scim_type)
}

/// What a unit refuses with where everything is already as it should be: no entry is written.
fn unchanged() -> Problem {
    Problem::conflict("everything is so already").with("unchanged", true)
}

fn is_unchanged(problem: &Problem) -> bool {
    problem.more.contains_key("unchanged")
}

fn gone(kind: &str, id: &str) -> Problem {
    let shown: String = id.chars().take(80).collect();
    Problem::not_found(format!("this connection has no {kind} '{}'", shown.escape_debug()))
}

/// Whether an entity tag that somebody sends is that of now.
fn check_match(sent: Option<&str>, now: &str) -> Result<()> {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    match sent {
        Some(sent) if sent.trim() != "*" && !sent.split(',').any(|one| plain(one) == plain(now)) => Err(
            Problem::new(ProblemKind::PreconditionFailed, "it was changed since: the If-Match does not fit")
                .remedy("Read it again."),
        ),
        _ => Ok(()),
    }
}
