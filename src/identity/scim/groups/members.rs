//! Rows of members, and what they mean for the people: a membership of the connection, with its entry.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    audit::Work,
    base::{Name, Result, ids::PersonId},
    identity::{
        caller::stored_id,
        groups::{GroupsChanged, changed_in, changed_in_all},
        scim::{Connection, refuse, users::texts},
    },
    store::{AT_ONCE, Arg, Query, placeholders, sql},
};

/// How many members come and go in one act at most: the log gives an act so much time, and whatever waits behind
/// it waits as long.
const MOST: usize = 200;

/// How members changed in one act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// How many came.
    pub(super) added: usize,
    /// How many went.
    pub(super) removed: usize,
    /// Whether more are to come or to go, in an act of their own.
    pub(super) is_more: bool,
}

/// A group whose members change: its own id, and the one by which people are in it.
pub(super) struct Group<'g> {
    pub(super) connection: &'g Name,
    pub(super) id: &'g str,
    /// The one by which people are in it.
    pub(super) known_as: &'g str,
}

/// People, each with her person where she is linked.
type People = BTreeMap<String, Option<PersonId>>;

impl Group<'_> {
    /// Adds those of these people who are no members yet.
    ///
    /// # Errors
    /// `invalidValue` where the connection does not have one of them.
    pub(super) async fn add(&self, work: &mut Work<'_>, ids: &[String]) -> Result<Moved> {
        let there = self.among(work, ids).await?;
        // Who is a member is known.
        let missing: Vec<String> = ids.iter().filter(|id| !there.contains(*id)).cloned().collect();
        let mut missing = self.check_known(work, &missing).await?.into_iter();
        let new: People = missing.by_ref().take(MOST).collect();
        self.insert(work, &new).await?;
        self.tell(work, &new, true).await?;
        Ok(Moved { added: new.len(), removed: 0, is_more: missing.next().is_some() })
    }

    /// Takes those of these people out who are members.
    pub(super) async fn remove(&self, work: &mut Work<'_>, ids: &[String]) -> Result<Moved> {
        let mut members = self.among(work, ids).await?.into_iter();
        let there: Vec<String> = members.by_ref().take(MOST).collect();
        let is_more = members.next().is_some();
        let mut leaving = People::new();
        for some in there.chunks(AT_ONCE) {
            let text =
                format!("SELECT id, person FROM scim_users WHERE id IN {}", placeholders(1, some.len()));
            leaving.extend(people(work, Query::composed(text, texts(some))).await?);
            let text = format!(
                "DELETE FROM scim_members WHERE group_id = $1 AND user_id IN {}",
                placeholders(2, some.len())
            );
            work.execute(Query::composed(text, prepended(self.id, texts(some)))).await?;
        }
        self.tell(work, &leaving, false).await?;
        Ok(Moved { added: 0, removed: leaving.len(), is_more })
    }

    /// Makes these people the members. Those who are none go first: nobody is in for longer because many come.
    pub(super) async fn replace(&self, work: &mut Work<'_>, ids: &[String]) -> Result<Moved> {
        let wanted: BTreeSet<&String> = ids.iter().collect();
        let (there, surplus): (BTreeSet<String>, BTreeSet<String>) =
            self.all(work).await?.into_iter().partition(|id| wanted.contains(id));
        let surplus: Vec<String> = surplus.into_iter().collect();
        let gone = self.remove(work, &surplus).await?;
        if gone.is_more {
            // Whoever cannot come is refused before anybody has gone.
            let missing: Vec<String> = ids.iter().filter(|id| !there.contains(*id)).cloned().collect();
            self.check_known(work, &missing).await?;
            return Ok(gone);
        }
        let came = self.add(work, ids).await?;
        Ok(Moved { removed: gone.removed, ..came })
    }

    /// Everybody in it.
    pub(super) async fn all(&self, work: &mut Work<'_>) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = work
            .fetch_all(
                sql("SELECT user_id FROM scim_members WHERE group_id = $1 ORDER BY user_id").bind(self.id),
            )
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// These people, where the connection has all of them.
    async fn check_known(&self, work: &mut Work<'_>, ids: &[String]) -> Result<People> {
        let known = self.known(work, ids).await?;
        let Some(stranger) = ids.iter().find(|id| !known.contains_key(*id)) else { return Ok(known) };
        let shown: String = stranger.chars().take(80).collect();
        Err(refuse(
            "invalidValue",
            format!("this connection has no person '{}' who could be a member", shown.escape_debug()),
        ))
    }

    /// Those of these ids that the connection has people for.
    async fn known(&self, work: &mut Work<'_>, ids: &[String]) -> Result<People> {
        let mut known = People::new();
        for some in ids.chunks(AT_ONCE) {
            // By their ids, whatever the database believes of how many people a connection has: SQLite takes
            // a cross join in the order in which it is written.
            let text = format!(
                "{} SELECT u.id, u.person FROM wanted w CROSS JOIN scim_users u \
                 WHERE u.id = w.id AND u.connection = $1 AND u.deleted_at IS NULL",
                wanted(2, some.len())
            );
            let query = Query::composed(text, prepended(self.connection.as_str(), texts(some)));
            known.extend(people(work, query).await?);
        }
        Ok(known)
    }

    /// Those of these ids that are members.
    async fn among(&self, work: &mut Work<'_>, ids: &[String]) -> Result<BTreeSet<String>> {
        let mut there = BTreeSet::new();
        for some in ids.chunks(AT_ONCE) {
            let text = format!(
                "SELECT user_id FROM scim_members WHERE group_id = $1 AND user_id IN {}",
                placeholders(2, some.len())
            );
            let rows: Vec<(String,)> =
                work.fetch_all(Query::composed(text, prepended(self.id, texts(some)))).await?;
            there.extend(rows.into_iter().map(|(id,)| id));
        }
        Ok(there)
    }

    async fn insert(&self, work: &mut Work<'_>, new: &People) -> Result<()> {
        let ids: Vec<String> = new.keys().cloned().collect();
        for some in ids.chunks(AT_ONCE) {
            let rows: Vec<String> = (2..some.len() + 2).map(|n| format!("($1, ${n})")).collect();
            let text = format!("INSERT INTO scim_members (group_id, user_id) VALUES {}", rows.join(", "));
            work.execute(Query::composed(text, prepended(self.id, texts(some)))).await?;
        }
        Ok(())
    }

    /// What it means for the people: their memberships, and an entry for each.
    async fn tell(&self, work: &mut Work<'_>, whom: &People, came: bool) -> Result<()> {
        let people: Vec<PersonId> = whom.values().copied().flatten().collect();
        for some in people.chunks(AT_ONCE) {
            if came {
                self.insert_memberships(work, some).await?;
            } else {
                self.delete_memberships(work, some).await?;
            }
        }
        let group = [self.known_as.to_owned()];
        let (added, removed): (&[String], &[String]) = if came { (&group, &[]) } else { (&[], &group) };
        let change = GroupsChanged { source: self.connection.as_str(), added, removed };
        changed_in_all(work, &people, change).await
    }

    async fn insert_memberships(&self, work: &mut Work<'_>, people: &[PersonId]) -> Result<()> {
        let rows: Vec<String> = (4..people.len() + 4).map(|n| format!("(${n}, $1, $2, $3)")).collect();
        let text = format!(
            "INSERT INTO memberships (person, source, group_id, asserted_at) VALUES {} \
             ON CONFLICT (person, source, group_id) DO UPDATE SET asserted_at = excluded.asserted_at",
            rows.join(", ")
        );
        let mut args = self.key();
        args.push(work.now().into());
        args.extend(people.iter().map(|it| Arg::from(*it)));
        work.execute(Query::composed(text, args)).await?;
        Ok(())
    }

    async fn delete_memberships(&self, work: &mut Work<'_>, people: &[PersonId]) -> Result<()> {
        let text = format!(
            "DELETE FROM memberships WHERE source = $1 AND group_id = $2 AND person IN {}",
            placeholders(3, people.len())
        );
        let mut args = self.key();
        args.extend(people.iter().map(|it| Arg::from(*it)));
        work.execute(Query::composed(text, args)).await?;
        Ok(())
    }

    fn key(&self) -> Vec<Arg> {
        vec![self.connection.into(), self.known_as.into()]
    }
}

/// A table `wanted` of so many ids, after `first - 1` other arguments.
fn wanted(first: usize, count: usize) -> String {
    let rows: Vec<String> = (first..first + count).map(|n| format!("(${n})")).collect();
    format!("WITH wanted (id) AS (VALUES {})", rows.join(", "))
}

async fn people(work: &mut Work<'_>, query: Query) -> Result<People> {
    let rows: Vec<(String, Option<String>)> = work.fetch_all(query).await?;
    rows.into_iter().map(|(id, person)| Ok((id, person.as_deref().map(stored_id).transpose()?))).collect()
}

fn prepended(first: &str, rest: Vec<Arg>) -> Vec<Arg> {
    std::iter::once(Arg::from(first)).chain(rest).collect()
}

/// The groups of a connection that somebody is in, as its source names them.
async fn groups_of(work: &mut Work<'_>, user: &str) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = work
        .fetch_all(
            sql("SELECT g.group_id FROM scim_members m JOIN scim_groups g ON g.id = m.group_id \
                 WHERE m.user_id = $1 ORDER BY g.group_id")
            .bind(user),
        )
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Takes somebody out of all groups of a connection.
pub(in crate::identity::scim) async fn leave_all(
    work: &mut Work<'_>,
    connection: &Connection,
    user: &str,
    person: Option<PersonId>,
) -> Result<()> {
    let groups = groups_of(work, user).await?;
    work.execute(sql("DELETE FROM scim_members WHERE user_id = $1").bind(user)).await?;
    let Some(person) = person else { return Ok(()) };
    work.execute(
        sql("DELETE FROM memberships WHERE person = $1 AND source = $2").bind(person).bind(&connection.name),
    )
    .await?;
    let change = GroupsChanged { source: connection.name.as_str(), added: &[], removed: &groups };
    changed_in(work, person, change).await
}

/// Whoever is linked only now is in the groups that she was put into before.
pub(in crate::identity::scim) async fn rejoin(
    work: &mut Work<'_>,
    connection: &Connection,
    user: &str,
    person: PersonId,
) -> Result<()> {
    let groups = groups_of(work, user).await?;
    for group_id in &groups {
        let group = Group { connection: &connection.name, id: "", known_as: group_id };
        group.insert_memberships(work, &[person]).await?;
    }
    let change = GroupsChanged { source: connection.name.as_str(), added: &groups, removed: &[] };
    changed_in(work, person, change).await
}
