//! A new person.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Standing, Statuses, row::Columns};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Result},
    identity::scim::{Connection, Said, link, refuse},
    policy::Permit,
    store::sql,
};

pub(super) struct CreateUser {
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
    pub(super) body: Said,
    pub(super) active: Option<bool>,
    pub(super) statuses: Statuses,
    pub(super) domains: Vec<String>,
}

#[async_trait]
impl Unit for CreateUser {
    /// The inner problem is a refusal that is itself recorded.
    type Output = Result<String>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let active = self.active.unwrap_or(true);
        let id = work.ambient().uuid().to_string();
        check_name(work, &self.connection.name, &self.body, &id).await?;
        let linked = link::link(work, &self.connection, &self.body, active, &self.domains).await?;
        let person = linked.as_ref().map(|it| it.person);
        // Only what is said explicitly brings anybody back or takes anybody away.
        if let (Some(said), Some(known)) = (self.active, linked.filter(|it| !it.is_new)) {
            let was = Standing { person, status: Some(known.status), active: true };
            if let Err(refused) = self.statuses.set(work, &self.connection, &id, &was, said).await? {
                return Ok(Err(refused));
            }
        }
        Columns { id: &id, person, body: &self.body, active }.insert(work, &self.connection.name).await?;
        if let Some(person) = person {
            link::write_display(work, person, &self.body, &self.domains).await?;
        }
        let draft = Draft::act("scim.user-created").resource(&id).with("linked", person.is_some());
        work.record(match person {
            Some(person) => draft.subject(person),
            None => draft,
        });
        Ok(Ok(id))
    }
}

/// Refuses a name that somebody else of the connection has, and a body without one.
pub(super) async fn check_name(work: &mut Work<'_>, connection: &Name, body: &Said, id: &str) -> Result<()> {
    let name = body.get("userName").and_then(serde_json::Value::as_str).unwrap_or_default();
    if name.trim().is_empty() {
        return Err(refuse("invalidValue", "a person has to have a userName"));
    }
    let other: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM scim_users WHERE connection = $1 AND user_name_key = $2 AND deleted_at IS NULL \
                 AND id <> $3")
            .bind(connection)
            .bind(name.to_lowercase())
            .bind(id),
        )
        .await?;
    match other {
        None => Ok(()),
        Some((other,)) => Err(refuse("uniqueness", format!("'{other}' has that userName already"))),
    }
}
