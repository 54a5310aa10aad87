//! Groups as a connection provisions them.
//!
//! A member is a row, and a change of members is worked out within the unit of work that makes it: so of
//! changes that come side by side none is lost, with entity tags and without. What files declare an alias
//! for is the id that the group had when it was created; its name decides nothing.

mod change;
mod members;
mod row;

pub(super) use members::{leave_all, rejoin};
pub(super) use row::{COLUMNS as GROUP_COLUMNS, GroupRow, MemberRow, by_id};

use std::sync::Arc;

use serde_json::Value;

use self::change::{ChangeGroup, CreateGroup, Edit, RemoveGroup, edits};
use super::{
    Answer, Attempt, Projection, Said, Scim, Speaker, is_unchanged, patch, refuse,
    schema::TEAMS,
    users::{UserRow, texts},
};
use crate::{
    base::Result,
    policy::Action,
    store::{Query, placeholders},
};

impl Scim {
    /// Takes a new group in.
    ///
    /// # Errors
    /// `uniqueness` where a group of that external id is there; `denied` where the connection may not write
    /// it; `invalidValue` for a member that it does not have.
    pub async fn create_group(&self, speaker: &Speaker, said: &Said) -> Result<Answer> {
        let attempt = Attempt { operation: "POST Groups", resource: name_of(said), matters: true };
        let outcome = self.create_group_once(speaker, said).await;
        let id = self.noted(speaker, &attempt, outcome).await?;
        self.group(speaker, &id, &Projection::default()).await
    }

    async fn create_group_once(&self, speaker: &Speaker, said: &Said) -> Result<String> {
        let body = TEAMS.read(said)?;
        let members = members_of(said)?;
        let external_id = body.get("externalId").and_then(Value::as_str).map(str::to_owned);
        let opens = match &external_id {
            Some(id) => self.parts().protected.opened_by(speaker.connection.name.as_str(), id).await?,
            // Nobody can have declared an alias for an id that is made only now.
            None => Vec::new(),
        };
        let (id, is_more) = self
            .act(speaker, Action::Provision, |permit, connection| {
                self.parts().log.perform(CreateGroup {
                    permit,
                    connection,
                    display_name: text(&body, "displayName").to_owned(),
                    external_id: external_id.clone(),
                    members: members.clone(),
                    opens: opens.clone(),
                    outbox: self.parts().outbox.clone(),
                })
            })
            .await?;
        if !is_more {
            return Ok(id);
        }
        match self.change_group_once(speaker, &id, Arc::new(vec![Edit::Add(members)]), None).await {
            Err(problem) if !is_unchanged(&problem) => Err(problem),
            _ => Ok(id),
        }
    }

    /// A group.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn group(&self, speaker: &Speaker, id: &str, projection: &Projection) -> Result<Answer> {
        self.look(speaker).await?;
        let row = self.group_row(speaker, id).await?;
        let members = self.members_of(std::slice::from_ref(&row), projection).await?;
        Ok(self.group_answer(speaker, &row, members.first().map_or(&[][..], Vec::as_slice), projection))
    }

    async fn group_row(&self, speaker: &Speaker, id: &str) -> Result<GroupRow> {
        let row: Option<GroupRow> =
            self.parts().database.fetch_optional(by_id(&speaker.connection.name, id)).await?;
        row.ok_or_else(|| super::gone("group", id))
    }

    /// Puts what is said in the place of what was.
    ///
    /// # Errors
    /// As [`Self::patch_group`].
    pub async fn replace_group(
        &self,
        speaker: &Speaker,
        id: &str,
        said: &Said,
        if_match: Option<&str>,
    ) -> Result<Answer> {
        let attempt = Attempt { operation: "PUT Groups", resource: id.to_owned(), matters: true };
        self.change_group(speaker, id, replacement(said), if_match, attempt).await?;
        self.group(speaker, id, &Projection::default()).await
    }

    /// Changes some of it. Only its version is answered: a group may have ten thousand members.
    ///
    /// # Errors
    /// `not-found`; `precondition-failed`; `denied` where the connection may not write it; `invalidValue` for
    /// a member that it does not have.
    pub async fn patch_group(
        &self,
        speaker: &Speaker,
        id: &str,
        said: &Said,
        if_match: Option<&str>,
    ) -> Result<Answer> {
        let edits = patch::read(&TEAMS, said).and_then(|operations| edits(&operations));
        let matters = edits.as_ref().map_or(true, |edits| edits.iter().any(Edit::is_of_members));
        let attempt = Attempt { operation: "PATCH Groups", resource: id.to_owned(), matters };
        let etag = self.change_group(speaker, id, edits, if_match, attempt).await?;
        let location = self.location(&speaker.connection, "Groups", id);
        Ok(Answer { body: None, etag, location })
    }

    async fn change_group(
        &self,
        speaker: &Speaker,
        id: &str,
        edits: Result<Vec<Edit>>,
        if_match: Option<&str>,
        attempt: Attempt,
    ) -> Result<String> {
        let outcome = match edits {
            Ok(edits) => self.change_group_once(speaker, id, Arc::new(edits), if_match).await,
            Err(problem) => Err(problem),
        };
        match outcome {
            Err(problem) if is_unchanged(&problem) => Ok(self.group_row(speaker, id).await?.etag()),
            outcome => self.noted(speaker, &attempt, outcome).await,
        }
    }

    /// Act after act, where more members come and go than fit one.
    async fn change_group_once(
        &self,
        speaker: &Speaker,
        id: &str,
        edits: Arc<Vec<Edit>>,
        if_match: Option<&str>,
    ) -> Result<String> {
        let row = self.group_row(speaker, id).await?;
        let opens = self.parts().protected.opened_by(speaker.connection.name.as_str(), &row.group_id).await?;
        let takes_away = edits.iter().all(Edit::takes_away);
        let action = if takes_away { Action::Deprovision } else { Action::Provision };
        let (mut from, mut if_match) = (0, if_match);
        loop {
            let changed = self
                .act(speaker, action, |permit, connection| {
                    self.parts().log.perform(ChangeGroup {
                        permit,
                        connection,
                        id: id.to_owned(),
                        edits: Arc::clone(&edits),
                        from,
                        if_match: if_match.map(str::to_owned),
                        opens: opens.clone(),
                        outbox: self.parts().outbox.clone(),
                    })
                })
                .await?;
            let Some(left) = changed.left else { return Ok(changed.etag) };
            // What it was before has fitted.
            (from, if_match) = (left, None);
        }
    }

    /// Takes a group away, and everybody out of it.
    ///
    /// # Errors
    /// `not-found`; `precondition-failed`; `denied` where the connection may not write it.
    pub async fn delete_group(&self, speaker: &Speaker, id: &str, if_match: Option<&str>) -> Result<()> {
        let attempt = Attempt { operation: "DELETE Groups", resource: id.to_owned(), matters: true };
        let outcome = self.delete_group_once(speaker, id, if_match).await;
        self.noted(speaker, &attempt, outcome).await
    }

    async fn delete_group_once(&self, speaker: &Speaker, id: &str, if_match: Option<&str>) -> Result<()> {
        let mut if_match = if_match;
        loop {
            let is_gone = self
                .act(speaker, Action::Deprovision, |permit, connection| {
                    self.parts().log.perform(RemoveGroup {
                        permit,
                        connection,
                        id: id.to_owned(),
                        if_match: if_match.map(str::to_owned),
                    })
                })
                .await?;
            if is_gone {
                return Ok(());
            }
            if_match = None;
        }
    }

    /// The members of these groups, in the same order; none where they are not asked for.
    pub(super) async fn members_of(
        &self,
        groups: &[GroupRow],
        projection: &Projection,
    ) -> Result<Vec<Vec<MemberRow>>> {
        let mut found: Vec<Vec<MemberRow>> = groups.iter().map(|_| Vec::new()).collect();
        if groups.is_empty() || !projection.shows("members") {
            return Ok(found);
        }
        let ids: Vec<String> = groups.iter().map(|it| it.id.clone()).collect();
        let text = format!(
            "SELECT group_id, user_id FROM scim_members WHERE group_id IN {} ORDER BY group_id, user_id",
            placeholders(1, ids.len())
        );
        let rows: Vec<MemberRow> =
            self.parts().database.fetch_all(Query::composed(text, texts(&ids))).await?;
        for row in rows {
            if let Some(at) = ids.iter().position(|id| *id == row.group_id) {
                found[at].push(row);
            }
        }
        Ok(found)
    }

    /// The groups that each of these people is in: id and name.
    pub(super) async fn groups_of(&self, users: &[UserRow]) -> Result<Vec<Vec<(String, String)>>> {
        let mut found: Vec<Vec<(String, String)>> = users.iter().map(|_| Vec::new()).collect();
        if users.is_empty() {
            return Ok(found);
        }
        let ids: Vec<String> = users.iter().map(|it| it.id.clone()).collect();
        let text = format!(
            "SELECT m.user_id, g.id, g.display_name FROM scim_members m JOIN scim_groups g ON g.id = m.group_id \
             WHERE m.user_id IN {} ORDER BY m.user_id, g.id",
            placeholders(1, ids.len())
        );
        let rows: Vec<(String, String, String)> =
            self.parts().database.fetch_all(Query::composed(text, texts(&ids))).await?;
        for (user, id, name) in rows {
            if let Some(at) = ids.iter().position(|it| *it == user) {
                found[at].push((id, name));
            }
        }
        Ok(found)
    }

    pub(super) fn group_answer(
        &self,
        speaker: &Speaker,
        row: &GroupRow,
        members: &[MemberRow],
        projection: &Projection,
    ) -> Answer {
        let location = self.location(&speaker.connection, "Groups", &row.id);
        let address = |id: &str| self.location(&speaker.connection, "Users", id);
        let body = row.rendered(members, &location, address);
        Answer { body: Some(projection.of(body, &TEAMS)), etag: row.etag(), location }
    }
}

/// What a whole group in place of another changes. An external id that is left out stays.
fn replacement(said: &Said) -> Result<Vec<Edit>> {
    let body = TEAMS.read(said)?;
    let mut edits = vec![Edit::Rename(text(&body, "displayName").to_owned())];
    let external_id = body.get("externalId").and_then(Value::as_str);
    edits.extend(external_id.map(|id| Edit::ExternalId(Some(id.to_owned()))));
    edits.push(Edit::Replace(members_of(said)?));
    Ok(edits)
}

fn text<'b>(body: &'b Said, name: &str) -> &'b str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The ids of the members that a body names.
fn members_of(said: &Said) -> Result<Vec<String>> {
    patch::member(said, "members").map_or(Ok(Vec::new()), ids_of)
}

/// The ids in a list of members, or in one.
fn ids_of(value: &Value) -> Result<Vec<String>> {
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut ids: Vec<String> = items.iter().map(id_of).collect::<Result<_>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

fn id_of(item: &Value) -> Result<String> {
    let wrong = || refuse("invalidValue", "a member is named by its id, as its value");
    match item {
        Value::String(id) => Ok(id.clone()),
        Value::Object(member) => {
            let kind = patch::member(member, "type").and_then(Value::as_str).unwrap_or("User");
            if !kind.eq_ignore_ascii_case("user") {
                return Err(refuse("invalidValue", "groups are no members here: name the people in them"));
            }
            let id = patch::member(member, "value").and_then(Value::as_str).ok_or_else(wrong)?;
            Ok(id.to_owned())
        }
        _ => Err(wrong()),
    }
}

/// What a refused group is called in the list of what was refused.
fn name_of(said: &Said) -> String {
    let name = patch::member(said, "displayName").and_then(Value::as_str).unwrap_or("without a displayName");
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}
