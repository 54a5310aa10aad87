//! Changing a person, and taking her away.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Standing, Statuses,
    create::check_name,
    row::{Columns, UserRow, load},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Result, ids::PersonId},
    identity::scim::{
        Connection, Said, check_match,
        groups::{leave_all, rejoin},
        link,
        patch::{self, Operation, Verb},
        refuse,
        schema::{PEOPLE, truth},
        unchanged,
    },
    policy::{Permit, PersonStatus},
    store::sql,
};

/// What is to become of a person's attributes.
pub(super) enum Change {
    /// These, and nothing else.
    Replace {
        body: Said,
        /// What is said of `active`, where it is said.
        active: Option<bool>,
    },
    /// As these operations say.
    Patch(Vec<Operation>),
}

impl Change {
    /// Whether it takes her away: that has to go on where nothing else does.
    pub(super) fn takes_away(&self) -> bool {
        match self {
            Self::Replace { active, .. } => *active == Some(false),
            Self::Patch(operations) => {
                operations.iter().any(|it| it.target.is(&PEOPLE, "active") && truth(&it.value) == Some(false))
            }
        }
    }

    /// What it says of `active`, and the attributes that it leaves.
    fn of(&self, before: &Said) -> Result<(Option<bool>, Said)> {
        match self {
            Self::Replace { body, active } => Ok((*active, kept_with(before, body.clone()))),
            Self::Patch(operations) => patched(before, operations),
        }
    }
}

/// What a provider does not say of the id that it has for somebody is as before: nobody is unlinked by
/// what is left out.
fn kept_with(before: &Said, mut body: Said) -> Said {
    if let (None, Some(id)) = (body.get("externalId"), before.get("externalId")) {
        body.insert("externalId".to_owned(), id.clone());
    }
    body.remove("active");
    body
}

fn patched(before: &Said, operations: &[Operation]) -> Result<(Option<bool>, Said)> {
    let (mut active, mut body) = (None, before.clone());
    for operation in operations {
        if !operation.target.is(&PEOPLE, "active") {
            patch::apply(&PEOPLE, &mut body, operation)?;
            continue;
        }
        if operation.verb == Verb::Remove {
            return Err(refuse("mutability", "active cannot be removed: say true or false"));
        }
        let said = truth(value_of(&operation.value));
        active = Some(said.ok_or_else(|| refuse("invalidValue", "active has to be true or false"))?);
    }
    Ok((active, body))
}

/// Some put what is true or false into a list of one, or into an object.
fn value_of(value: &Value) -> &Value {
    match value {
        Value::Array(items) if items.len() == 1 => value_of(&items[0]),
        Value::Object(object) => object.get("value").unwrap_or(value),
        other => other,
    }
}

pub(super) struct ChangeUser {
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
    pub(super) id: String,
    pub(super) change: Arc<Change>,
    pub(super) if_match: Option<String>,
    pub(super) statuses: Statuses,
    pub(super) domains: Vec<String>,
}

#[async_trait]
impl Unit for ChangeUser {
    /// The inner problem is a refusal that is itself recorded.
    type Output = Result<()>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let row = load(work, &self.connection.name, &self.id).await?;
        check_match(self.if_match.as_deref(), &row.etag())?;
        let before = row.body()?;
        let (said, body) = self.change.of(&before)?;
        check_name(work, &self.connection.name, &body, &self.id).await?;
        let active = said.unwrap_or(row.active);
        let mut standing = Standing { person: row.person()?, status: row.status(), active: row.active };
        let was_linked = standing.person.is_some();
        // What takes somebody away comes first: what else is said of her must not be in its way.
        if let Some(said) = said
            && let Err(refused) = self.statuses.set(work, &self.connection, &self.id, &standing, said).await?
        {
            return Ok(Err(refused));
        }
        self.relink(work, &before, &body, active, &mut standing).await?;
        let changed = names_of_changes(&before, &body);
        let is_new_here = !was_linked && standing.person.is_some();
        let is_so_already = said.is_none_or(|said| said == row.active && said == row.works());
        if changed.is_empty() && is_so_already && !is_new_here {
            return Err(unchanged());
        }
        self.write(work, &row, &body, active, standing.person).await?;
        self.record(work, changed, active, standing.person);
        if let (true, Some(person)) = (is_new_here, standing.person) {
            rejoin(work, &self.connection, &self.id, person).await?;
            return self.settle_new(work, person, said, active).await;
        }
        Ok(Ok(()))
    }
}

/// Which attributes differ; their values stay out of the log.
fn names_of_changes(before: &Said, body: &Said) -> Vec<String> {
    let names = before.keys().chain(body.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| before.get(*name) != body.get(*name)).cloned().collect()
}

impl ChangeUser {
    /// Links whoever was not, and follows the attribute that links.
    async fn relink(
        &self,
        work: &mut Work<'_>,
        before: &Said,
        body: &Said,
        active: bool,
        standing: &mut Standing,
    ) -> Result<()> {
        let link = self.connection.link;
        let Some(person) = standing.person else {
            let linked = link::link(work, &self.connection, body, active, &self.domains).await?;
            standing.person = linked.as_ref().map(|it| it.person);
            standing.status = linked.map(|it| it.status);
            return Ok(());
        };
        match link.subject(body) {
            Some(now) if link.subject(before).as_ref() != Some(&now) => {
                link::move_account(work, &self.connection, person, &now).await
            }
            // Whoever is linked stays so: nobody loses her account by what is left out.
            _ => Ok(()),
        }
    }

    async fn write(
        &self,
        work: &mut Work<'_>,
        row: &UserRow,
        body: &Said,
        active: bool,
        person: Option<PersonId>,
    ) -> Result<()> {
        Columns { id: &row.id, person, body, active }.update(work).await?;
        match person {
            Some(person) => link::write_display(work, person, body, &self.domains).await,
            None => Ok(()),
        }
    }

    fn record(&self, work: &mut Work<'_>, changed: Vec<String>, active: bool, person: Option<PersonId>) {
        let draft = Draft::act("scim.user-changed")
            .resource(&self.id)
            .with("changed", changed)
            .with("active", active)
            .with("linked", person.is_some());
        work.record(match person {
            Some(person) => draft.subject(person),
            None => draft,
        });
    }

    /// Whoever is linked only now is what the connection had said of her before.
    async fn settle_new(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        said: Option<bool>,
        active: bool,
    ) -> Result<Result<()>> {
        let status: Option<(String,)> =
            work.fetch_optional(sql("SELECT status FROM people WHERE id = $1").bind(person)).await?;
        let status = status.map(|(it,)| PersonStatus::from_stored(&it));
        let works = status == Some(PersonStatus::Active);
        // Nobody comes back but by a word that says so.
        if works == active || (active && said.is_none()) {
            return Ok(Ok(()));
        }
        let was = Standing { person: Some(person), status, active: works };
        self.statuses.set(work, &self.connection, &self.id, &was, active).await
    }
}

pub(super) struct RemoveUser {
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
    pub(super) id: String,
    pub(super) if_match: Option<String>,
    pub(super) statuses: Statuses,
}

#[async_trait]
impl Unit for RemoveUser {
    type Output = Result<()>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let row = load(work, &self.connection.name, &self.id).await?;
        check_match(self.if_match.as_deref(), &row.etag())?;
        let person = row.person()?;
        let standing = Standing { person, status: row.status(), active: true };
        if let Err(refused) = self.statuses.set(work, &self.connection, &self.id, &standing, false).await? {
            return Ok(Err(refused));
        }
        leave_all(work, &self.connection, &self.id, person).await?;
        work.execute(sql("DELETE FROM scim_emails WHERE user_id = $1").bind(&self.id)).await?;
        // Who was meant stays known; what was said of her does not.
        work.execute(
            sql("UPDATE scim_users SET deleted_at = $2, active = $3, body = '{}', display_key = NULL, \
                 user_name = '', user_name_key = '', version = version + 1, changed_at = $2 WHERE id = $1")
            .bind(&self.id)
            .bind(work.now())
            .bind(false),
        )
        .await?;
        let draft = Draft::act("scim.user-deleted").resource(&self.id);
        work.record(match person {
            Some(person) => draft.subject(person),
            None => draft,
        });
        Ok(Ok(()))
    }
}
