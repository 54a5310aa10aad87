//! Changing a person, and taking her away.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Standing, Statuses,
    create::check_name,
    row::{Columns, UserRow, load},
    said_active,
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, Result, ids::PersonId},
    identity::scim::{
        Connection, Said, check_match,
        groups::{leave_all, rejoin},
        is_unchanged, link,
        patch::{self, Operation, Verb},
        refusals::is_a_refusal,
        refuse,
        schema::{PEOPLE, truth},
        unchanged,
    },
    policy::{Permit, PersonStatus},
    store::sql,
};

/// What is to become of a person.
pub(super) struct Change {
    /// What is said of `active`, where it is said.
    active: Option<bool>,
    /// What is said of the rest; why it cannot be read only where she is taken away all the same.
    rest: Result<Rest>,
}

/// What is to become of her attributes.
enum Rest {
    /// These, and nothing else.
    Replace(Said),
    /// As these operations say.
    Patch(Vec<Operation>),
}

impl Change {
    /// A whole person in place of another.
    ///
    /// # Errors
    /// `invalidValue`.
    pub(super) fn replacing(said: &Said) -> Result<Self> {
        Self::new(said_active(said)?, PEOPLE.read(said).map(Rest::Replace))
    }

    /// Some of her.
    ///
    /// # Errors
    /// `invalidSyntax`, `invalidPath`, `noTarget`; `mutability` and `invalidValue` of `active`.
    pub(super) fn patching(said: &Said) -> Result<Self> {
        let (mut active, mut rest) = (None, Ok(Vec::new()));
        for operation in patch::read_each(&PEOPLE, said)? {
            match (operation, &mut rest) {
                (Ok(it), _) if it.target.is(&PEOPLE, "active") => active = Some(said_by(&it)?),
                (Ok(it), Ok(rest)) => rest.push(it),
                (Err(problem), Ok(_)) => rest = Err(problem),
                (_, Err(_)) => {}
            }
        }
        Self::new(active, rest.map(Rest::Patch))
    }

    /// Nothing stands in the way of a removal: what else is said may be beyond us.
    fn new(active: Option<bool>, rest: Result<Rest>) -> Result<Self> {
        match rest {
            Err(problem) if active != Some(false) => Err(problem),
            rest => Ok(Self { active, rest }),
        }
    }

    /// Whether it takes her away: that has to go on where nothing else does.
    pub(super) fn takes_away(&self) -> bool {
        self.active == Some(false)
    }

    /// Whether it says anything of `active`.
    pub(super) fn is_about_active(&self) -> bool {
        self.active.is_some()
    }

    /// The attributes that it leaves.
    fn of(&self, before: &Said) -> Result<Said> {
        match self.rest.as_ref().map_err(Clone::clone)? {
            Rest::Replace(body) => Ok(kept_with(before, body.clone())),
            Rest::Patch(operations) => patched(before, operations),
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

fn patched(before: &Said, operations: &[Operation]) -> Result<Said> {
    let mut body = before.clone();
    for operation in operations {
        patch::apply(&PEOPLE, &mut body, operation)?;
    }
    Ok(body)
}

/// What an operation says of `active`.
fn said_by(operation: &Operation) -> Result<bool> {
    if operation.verb == Verb::Remove {
        return Err(refuse("mutability", "active cannot be removed: say true or false"));
    }
    truth(value_of(&operation.value)).ok_or_else(|| refuse("invalidValue", "active has to be true or false"))
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
        let standing = Standing { person: row.person()?, status: row.status(), active: row.active };
        // What takes somebody away comes first: what else is said of her must not be in its way.
        if let Some(said) = self.change.active
            && let Err(refused) = self.statuses.set(work, &self.connection, &self.id, &standing, said).await?
        {
            return Ok(Err(refused));
        }
        match self.write_rest(work, &row, standing).await {
            Err(refused) if self.change.takes_away() && is_refused(&refused) => {
                self.let_stand(work, &row, refused).await.map(Err)
            }
            outcome => outcome,
        }
    }
}

/// Whether the rest is refused, and nothing has failed here.
fn is_refused(problem: &Problem) -> bool {
    is_a_refusal(problem) && !is_unchanged(problem)
}

/// Which attributes differ; their values stay out of the log.
fn names_of_changes(before: &Said, body: &Said) -> Vec<String> {
    let names = before.keys().chain(body.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| before.get(*name) != body.get(*name)).cloned().collect()
}

impl ChangeUser {
    /// Everything but what takes her away. Whatever it refuses, it refuses before it writes anything.
    async fn write_rest(
        &self,
        work: &mut Work<'_>,
        row: &UserRow,
        mut standing: Standing,
    ) -> Result<Result<()>> {
        let (said, before) = (self.change.active, row.body()?);
        let body = self.change.of(&before)?;
        check_name(work, &self.connection.name, &body, &self.id).await?;
        let active = said.unwrap_or(row.active);
        let was_linked = standing.person.is_some();
        self.relink(work, &before, &body, active, &mut standing).await?;
        let changed = names_of_changes(&before, &body);
        let is_new_here = !was_linked && standing.person.is_some();
        let is_so_already = said.is_none_or(|said| said == row.active && said == row.works());
        if changed.is_empty() && is_so_already && !is_new_here {
            return Err(unchanged());
        }
        self.write(work, row, &body, active, standing.person).await?;
        self.record(work, changed, active, standing.person);
        if let (true, Some(person)) = (is_new_here, standing.person) {
            rejoin(work, &self.connection, &self.id, person).await?;
            return self.settle_new(work, person, said, active).await;
        }
        Ok(Ok(()))
    }

    /// Keeps the removal, and says why nothing else was done.
    async fn let_stand(&self, work: &mut Work<'_>, row: &UserRow, refused: Problem) -> Result<Problem> {
        if !row.active && !row.works() {
            return Err(refused);
        }
        work.execute(
            sql("UPDATE scim_users SET active = $2, version = version + 1, changed_at = $3 WHERE id = $1")
                .bind(&row.id)
                .bind(false)
                .bind(work.now()),
        )
        .await?;
        self.record(work, Vec::new(), false, row.person()?);
        let detail = format!("{}; that she is taken away stands", refused.detail);
        Ok(Problem { detail, ..refused })
    }

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
