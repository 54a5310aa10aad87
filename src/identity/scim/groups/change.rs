//! Making, changing and removing a group.

use std::sync::Arc;

use async_trait::async_trait;
use scim_v2::filter::{AttrExp, CompValue, CompareOp, PatchPath, ValFilter};
use serde_json::Value;

use super::{
    ids_of,
    members::{Group, Moved},
    row::{GroupRow, by_id, etag},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, ProblemKind, Result},
    identity::scim::{
        Connection, check_match, gone,
        patch::{Operation, Target, Verb},
        refuse,
        schema::TEAMS,
        unchanged,
    },
    notify::Outbox,
    policy::Permit,
    store::sql,
};

/// Longest name of a group, in bytes.
const LONGEST_NAME: usize = 1024;

/// One thing that changes in a group.
#[derive(Debug)]
pub(super) enum Edit {
    Rename(String),
    ExternalId(Option<String>),
    Add(Vec<String>),
    Remove(Vec<String>),
    Replace(Vec<String>),
}

impl Edit {
    pub(super) const fn is_of_members(&self) -> bool {
        matches!(self, Self::Add(_) | Self::Remove(_) | Self::Replace(_))
    }

    /// Whether it does nothing but take people out.
    pub(super) const fn takes_away(&self) -> bool {
        match self {
            Self::Remove(_) => true,
            Self::Replace(ids) => ids.is_empty(),
            _ => false,
        }
    }
}

/// What operations change in a group. What the schema does not know is passed over.
pub(super) fn edits(operations: &[Operation]) -> Result<Vec<Edit>> {
    operations.iter().filter_map(|it| edit(it).transpose()).collect()
}

fn edit(operation: &Operation) -> Result<Option<Edit>> {
    let Target::Path(path) = &operation.target else { return Ok(None) };
    if operation.target.is(&TEAMS, "members") {
        return members(operation.verb, path, &operation.value).map(Some);
    }
    if operation.target.is(&TEAMS, "displayName") {
        return match (operation.verb, &operation.value) {
            (Verb::Add | Verb::Replace, Value::String(name)) => Ok(Some(Edit::Rename(name.clone()))),
            (Verb::Remove, _) => Err(refuse("mutability", "a group has to have a displayName")),
            _ => Err(refuse("invalidValue", "displayName has to be text")),
        };
    }
    if operation.target.is(&TEAMS, "externalId") {
        return match (operation.verb, &operation.value) {
            (Verb::Remove, _) | (_, Value::Null) => Ok(Some(Edit::ExternalId(None))),
            (_, Value::String(id)) => Ok(Some(Edit::ExternalId(Some(id.clone())))),
            _ => Err(refuse("invalidValue", "externalId has to be text")),
        };
    }
    Ok(None)
}

fn members(verb: Verb, path: &PatchPath, value: &Value) -> Result<Edit> {
    match path {
        PatchPath::Attr(path) if path.sub_attr.is_some() => {
            Err(refuse("mutability", "a member is added and removed, and does not change"))
        }
        PatchPath::Attr(_) => Ok(match verb {
            Verb::Add => Edit::Add(ids_of(value)?),
            Verb::Replace => Edit::Replace(ids_of(value)?),
            // Whoever names some means those, and whoever names none means all.
            Verb::Remove if value.is_null() => Edit::Replace(Vec::new()),
            Verb::Remove => Edit::Remove(ids_of(value)?),
        }),
        PatchPath::Value(path) => match verb {
            Verb::Remove if path.sub_attr.is_none() => Ok(Edit::Remove(meant(&path.filter)?)),
            _ => Err(refuse("mutability", "a member is added and removed, and does not change")),
        },
    }
}

/// The ids that a filter of members names.
fn meant(filter: &ValFilter) -> Result<Vec<String>> {
    match filter {
        ValFilter::Attr(AttrExp::Comparison(path, CompareOp::Eq, CompValue::Str(id)))
            if path.name.eq_ignore_ascii_case("value") && path.sub_attr.is_none() =>
        {
            Ok(vec![id.clone()])
        }
        ValFilter::Or(all) => {
            let ids: Vec<Vec<String>> = all.iter().map(meant).collect::<Result<_>>()?;
            Ok(ids.concat())
        }
        _ => Err(refuse("invalidFilter", "members are chosen by value eq \"id\", and several by or")),
    }
}

pub(super) struct CreateGroup {
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
    pub(super) display_name: String,
    pub(super) external_id: Option<String>,
    pub(super) members: Vec<String>,
    /// Trust scopes that open a protected environment to whoever is in it.
    pub(super) opens: Vec<String>,
    pub(super) outbox: Outbox,
}

#[async_trait]
impl Unit for CreateGroup {
    /// Its id, and whether members are left to add.
    type Output = (String, bool);

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        check(&self.connection, &self.display_name, self.external_id.as_deref())?;
        let id = work.ambient().uuid().to_string();
        let group_id = self.external_id.clone().unwrap_or_else(|| id.clone());
        self.check_free(work, &group_id).await?;
        work.execute(
            sql(
                "INSERT INTO scim_groups (id, connection, group_id, external_id, display_name, display_key, \
                 version, created_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)",
            )
            .bind(&id)
            .bind(&self.connection.name)
            .bind(&group_id)
            .bind(self.external_id.clone())
            .bind(&self.display_name)
            .bind(self.display_name.to_lowercase())
            .bind(work.now()),
        )
        .await?;
        work.record(
            Draft::act("scim.group-created")
                .resource(&id)
                .with("provider", self.connection.name.as_str())
                .with("group", group_id.as_str())
                .with("members", self.members.len()),
        );
        let group = Group { connection: &self.connection.name, id: &id, known_as: &group_id };
        let moved = group.add(work, &self.members).await?;
        tell_of_additions(work, &self.outbox, &group, &self.opens, moved.added).await?;
        Ok((id, moved.is_more))
    }
}

impl CreateGroup {
    /// An alias that files declare means one group: nobody takes it by naming another one so.
    async fn check_free(&self, work: &mut Work<'_>, group_id: &str) -> Result<()> {
        let taken: Option<(String,)> = work
            .fetch_optional(
                sql("SELECT id FROM scim_groups WHERE connection = $1 \
                     AND ((group_id = $2 AND deleted_at IS NULL) OR id = $2)")
                .bind(&self.connection.name)
                .bind(group_id),
            )
            .await?;
        match taken {
            None => Ok(()),
            Some((id,)) => Err(refuse("uniqueness", format!("the group '{id}' has that externalId already"))),
        }
    }
}

/// Refuses a group without a name, and one that the connection may not write.
fn check(connection: &Connection, display_name: &str, external_id: Option<&str>) -> Result<()> {
    if display_name.trim().is_empty() || display_name.len() > LONGEST_NAME || display_name.contains('\0') {
        return Err(refuse("invalidValue", "a group has to have a displayName of at most 1024 bytes"));
    }
    if external_id.is_some_and(|id| id.is_empty() || id.len() > 255 || id.chars().any(char::is_control)) {
        return Err(refuse("invalidValue", "an externalId has 1 to 255 characters"));
    }
    if connection.may_write(display_name, external_id) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::Denied,
        format!("the connection '{}' may not write this group", connection.name),
    )
    .remedy("Its patterns say which it may: `portctl scim connection show`."))
}

/// Somebody is told where people were let into what is protected.
async fn tell_of_additions(
    work: &mut Work<'_>,
    outbox: &Outbox,
    group: &Group<'_>,
    opens: &[String],
    added: usize,
) -> Result<()> {
    if added == 0 || opens.is_empty() {
        return Ok(());
    }
    let told = serde_json::json!({
        "connection": group.connection, "group": group.known_as, "added": added, "scopes": opens,
    });
    outbox.enqueue(work, "scim.group-opens-protected", &told).await
}

pub(super) struct ChangeGroup {
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
    pub(super) id: String,
    pub(super) edits: Arc<Vec<Edit>>,
    /// The first of them that is not done yet.
    pub(super) from: usize,
    pub(super) if_match: Option<String>,
    pub(super) opens: Vec<String>,
    pub(super) outbox: Outbox,
}

/// What came of editing.
#[derive(Default)]
struct Edited {
    added: usize,
    removed: usize,
    is_renamed: bool,
    /// The edit that is to be gone on with.
    left: Option<usize>,
}

impl Edited {
    fn count(&mut self, moved: Moved) {
        self.added += moved.added;
        self.removed += moved.removed;
    }
}

/// How far a group has changed.
pub(super) struct Changed {
    /// Its entity tag now.
    pub(super) etag: String,
    /// The edit that is to be gone on with, in an act of its own.
    pub(super) left: Option<usize>,
}

#[async_trait]
impl Unit for ChangeGroup {
    type Output = Changed;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Changed> {
        let row = load(work, &self.connection, &self.id).await?;
        check_match(self.if_match.as_deref(), &row.etag())?;
        check(&self.connection, &row.display_name, row.external_id.as_deref())?;
        let group = Group { connection: &self.connection.name, id: &row.id, known_as: &row.group_id };
        let edited = self.edit(work, &group, &row).await?;
        if edited.added + edited.removed == 0 && !edited.is_renamed {
            return Err(unchanged());
        }
        work.execute(
            sql("UPDATE scim_groups SET version = version + 1, changed_at = $2 WHERE id = $1")
                .bind(&row.id)
                .bind(work.now()),
        )
        .await?;
        work.record(
            Draft::act("scim.group-changed")
                .resource(&row.id)
                .with("provider", self.connection.name.as_str())
                .with("group", row.group_id.as_str())
                .with("added", edited.added)
                .with("removed", edited.removed)
                .with("renamed", edited.is_renamed),
        );
        tell_of_additions(work, &self.outbox, &group, &self.opens, edited.added).await?;
        Ok(Changed { etag: etag(row.version + 1), left: edited.left })
    }
}

impl ChangeGroup {
    async fn edit(&self, work: &mut Work<'_>, group: &Group<'_>, row: &GroupRow) -> Result<Edited> {
        let mut edited = Edited::default();
        let (mut name, mut external_id) = (row.display_name.clone(), row.external_id.clone());
        for (index, edit) in self.edits.iter().enumerate().skip(self.from) {
            let moved = match edit {
                Edit::Rename(to) => {
                    name.clone_from(to);
                    continue;
                }
                Edit::ExternalId(to) => {
                    external_id.clone_from(to);
                    continue;
                }
                Edit::Add(ids) => group.add(work, ids).await?,
                Edit::Remove(ids) => group.remove(work, ids).await?,
                Edit::Replace(ids) => group.replace(work, ids).await?,
            };
            edited.count(moved);
            if moved.is_more {
                edited.left = Some(index);
                break;
            }
        }
        edited.is_renamed = name != row.display_name || external_id != row.external_id;
        if edited.is_renamed {
            self.rename(work, &name, external_id).await?;
        }
        Ok(edited)
    }

    /// What files declare an alias for stays what it was.
    async fn rename(&self, work: &mut Work<'_>, name: &str, external_id: Option<String>) -> Result<()> {
        check(&self.connection, name, external_id.as_deref())?;
        work.execute(
            sql("UPDATE scim_groups SET display_name = $2, display_key = $3, external_id = $4 WHERE id = $1")
                .bind(&self.id)
                .bind(name)
                .bind(name.to_lowercase())
                .bind(external_id),
        )
        .await?;
        Ok(())
    }
}

async fn load(work: &mut Work<'_>, connection: &Connection, id: &str) -> Result<GroupRow> {
    let row: Option<GroupRow> = work.fetch_optional(by_id(&connection.name, id)).await?;
    row.ok_or_else(|| gone("group", id))
}

pub(super) struct RemoveGroup {
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
    pub(super) id: String,
    pub(super) if_match: Option<String>,
}

#[async_trait]
impl Unit for RemoveGroup {
    /// Whether it is gone; else members are left, who go first.
    type Output = bool;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<bool> {
        let row = load(work, &self.connection, &self.id).await?;
        check_match(self.if_match.as_deref(), &row.etag())?;
        check(&self.connection, &row.display_name, row.external_id.as_deref())?;
        let group = Group { connection: &self.connection.name, id: &row.id, known_as: &row.group_id };
        let everybody = group.all(work).await?;
        let moved = group.remove(work, &everybody).await?;
        let deleted = (!moved.is_more).then(|| work.now());
        work.execute(
            sql("UPDATE scim_groups SET deleted_at = $2, version = version + 1, changed_at = $3 WHERE id = $1")
                .bind(&row.id)
                .bind(deleted)
                .bind(work.now()),
        )
        .await?;
        let action = if moved.is_more { "scim.group-changed" } else { "scim.group-deleted" };
        work.record(
            Draft::act(action)
                .resource(&row.id)
                .with("provider", self.connection.name.as_str())
                .with("group", row.group_id.as_str())
                .with("removed", moved.removed),
        );
        Ok(!moved.is_more)
    }
}
