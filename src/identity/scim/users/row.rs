//! A person's row: read, written and rendered.

use serde_json::{Map, Value, json};

use crate::{
    audit::Work,
    base::{Name, Problem, Result, Timestamp, ids::PersonId},
    identity::{
        caller::stored_id,
        scim::{
            Said,
            render::{self, Meta},
            schema::{ENTERPRISE, USER},
        },
    },
    policy::PersonStatus,
    store::{Arg, Query, sql},
};

/// Every column of a person, with her status here.
pub(in crate::identity::scim) const COLUMNS: &str =
    "u.id, u.person, u.active, u.body, u.version, u.created_at, u.changed_at, p.status";

/// The rows that these are columns of.
pub(in crate::identity::scim) const FROM: &str = "FROM scim_users u LEFT JOIN people p ON p.id = u.person";

/// A person as this connection has her.
#[derive(sqlx::FromRow)]
pub(in crate::identity::scim) struct UserRow {
    pub(in crate::identity::scim) id: String,
    pub(in crate::identity::scim) person: Option<String>,
    /// As the connection said last.
    pub(in crate::identity::scim) active: bool,
    body: String,
    version: i64,
    created_at: i64,
    changed_at: i64,
    status: Option<String>,
}

impl UserRow {
    /// Whether anything works for her: what she is here, else what the connection said.
    pub(in crate::identity::scim) fn works(&self) -> bool {
        let status = self.status.as_deref().map(PersonStatus::from_stored);
        status.map_or(self.active, |status| status == PersonStatus::Active)
    }

    /// Her person, once she is linked.
    pub(in crate::identity::scim) fn person(&self) -> Result<Option<PersonId>> {
        self.person.as_deref().map(stored_id).transpose()
    }

    /// Her status here, once she is linked.
    pub(in crate::identity::scim) fn status(&self) -> Option<PersonStatus> {
        self.status.as_deref().map(PersonStatus::from_stored)
    }

    /// Her attributes.
    pub(in crate::identity::scim) fn body(&self) -> Result<Said> {
        serde_json::from_str(&self.body)
            .map_err(|e| Problem::internal(format!("a stored person cannot be read: {e}")))
    }

    /// Moves with her attributes, and with whether anything works for her.
    pub(in crate::identity::scim) fn etag(&self) -> String {
        format!("W/\"{}{}\"", self.version, if self.works() { "" } else { "-inactive" })
    }
}

/// One that is not gone.
pub(in crate::identity::scim) fn by_id(connection: &Name, id: &str) -> Query {
    let text =
        format!("SELECT {COLUMNS} {FROM} WHERE u.id = $1 AND u.connection = $2 AND u.deleted_at IS NULL");
    Query::composed(text, vec![id.replace('\0', "").into(), connection.to_string().into()])
}

/// The same within a unit of work.
pub(in crate::identity::scim) async fn load(
    work: &mut Work<'_>,
    connection: &Name,
    id: &str,
) -> Result<UserRow> {
    let row: Option<UserRow> = work.fetch_optional(by_id(connection, id)).await?;
    row.ok_or_else(|| crate::identity::scim::gone("person", id))
}

/// A person as she is answered.
pub(in crate::identity::scim) fn render_row(
    row: &UserRow,
    groups: &[(String, String)],
    location: &str,
    address: impl Fn(&str) -> String,
) -> Result<Value> {
    let mut body = row.body()?;
    body.insert("active".to_owned(), row.works().into());
    if !groups.is_empty() {
        let groups =
            groups.iter().map(|(id, name)| json!({"value": id, "display": name, "$ref": address(id)}));
        body.insert("groups".to_owned(), groups.collect());
    }
    let mut schemas = vec![USER];
    if body.contains_key(ENTERPRISE) {
        schemas.push(ENTERPRISE);
    }
    let meta = Meta {
        kind: "User",
        created: Timestamp::from_millis(row.created_at),
        changed: Timestamp::from_millis(row.changed_at),
        etag: &row.etag(),
        location,
    };
    Ok(render::resource(&row.id, &schemas, body, &meta))
}

/// Her addresses: value and kind in lower case, and whether it is the preferred one.
pub(in crate::identity::scim) fn emails_of(body: &Map<String, Value>) -> Vec<(String, Option<String>, bool)> {
    let text = |it: &Value, name: &str| it.get(name).and_then(Value::as_str).map(str::to_lowercase);
    let emails = body.get("emails").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    emails
        .iter()
        .filter_map(|it| {
            let primary = it.get("primary").and_then(Value::as_bool).unwrap_or_default();
            Some((text(it, "value")?, text(it, "type"), primary))
        })
        .collect()
}

/// What is written of a person beside her id and her connection.
pub(super) struct Columns<'a> {
    pub(super) id: &'a str,
    pub(super) person: Option<PersonId>,
    pub(super) body: &'a Said,
    pub(super) active: bool,
}

impl Columns<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// Her name, as it is compared.
    pub(super) fn user_name_key(&self) -> String {
        self.text("userName").unwrap_or_default().to_lowercase()
    }

    /// Writes a new row.
    pub(super) async fn insert(&self, work: &mut Work<'_>, connection: &Name) -> Result<()> {
        work.execute(
            sql("INSERT INTO scim_users (id, connection, person, external_id, user_name, user_name_key, \
                 display_key, active, body, version, created_at, changed_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10)")
            .bind(self.id)
            .bind(connection)
            .bind(self.person)
            .bind(self.text("externalId").map(str::to_owned))
            .bind(self.text("userName").unwrap_or_default())
            .bind(self.user_name_key())
            .bind(self.text("displayName").map(str::to_lowercase))
            .bind(self.active)
            .bind(Value::Object(self.body.clone()).to_string())
            .bind(work.now()),
        )
        .await?;
        self.insert_emails(work).await
    }

    /// Writes what is so now in place of what was.
    pub(super) async fn update(&self, work: &mut Work<'_>) -> Result<()> {
        work.execute(
            sql("UPDATE scim_users SET person = $2, external_id = $3, user_name = $4, user_name_key = $5, \
                 display_key = $6, active = $7, body = $8, version = version + 1, changed_at = $9 WHERE id = $1")
            .bind(self.id)
            .bind(self.person)
            .bind(self.text("externalId").map(str::to_owned))
            .bind(self.text("userName").unwrap_or_default())
            .bind(self.user_name_key())
            .bind(self.text("displayName").map(str::to_lowercase))
            .bind(self.active)
            .bind(Value::Object(self.body.clone()).to_string())
            .bind(work.now()),
        )
        .await?;
        work.execute(sql("DELETE FROM scim_emails WHERE user_id = $1").bind(self.id)).await?;
        self.insert_emails(work).await
    }

    async fn insert_emails(&self, work: &mut Work<'_>) -> Result<()> {
        for (position, (value, kind, primary)) in (0_i64..).zip(emails_of(self.body)) {
            work.execute(
                sql("INSERT INTO scim_emails (user_id, position, value_key, type_key, is_primary) \
                     VALUES ($1, $2, $3, $4, $5)")
                .bind(self.id)
                .bind(position)
                .bind(value)
                .bind(kind)
                .bind(primary),
            )
            .await?;
        }
        Ok(())
    }
}

/// Texts as arguments.
pub(in crate::identity::scim) fn texts(items: &[String]) -> Vec<Arg> {
    items.iter().map(Arg::from).collect()
}
