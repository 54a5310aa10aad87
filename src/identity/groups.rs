//! What a change of somebody's groups does, whoever said so: a sign-in or a connection.

use super::sessions::move_facts_of;
use crate::{
    audit::{Draft, Work},
    base::{Result, ids::PersonId},
    store::{AT_ONCE, Arg, Query},
};

/// Groups that one source added to a person's, and took from them.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupsChanged<'a> {
    /// Who said so: an identity provider's or a connection's name.
    pub(super) source: &'a str,
    /// As the source names them.
    pub(super) added: &'a [String],
    /// As the source names them.
    pub(super) removed: &'a [String],
}

/// Notes a change of groups whose rows are written: the next decision in every session rests on it.
pub(super) async fn changed_in(
    work: &mut Work<'_>,
    person: PersonId,
    change: GroupsChanged<'_>,
) -> Result<()> {
    changed_in_all(work, &[person], change).await
}

/// The same for people whose groups change alike, however many: few statements, and an entry for each.
pub(super) async fn changed_in_all(
    work: &mut Work<'_>,
    people: &[PersonId],
    change: GroupsChanged<'_>,
) -> Result<()> {
    if change.added.is_empty() && change.removed.is_empty() {
        return Ok(());
    }
    move_facts_of(work, people).await?;
    for group in change.removed {
        note_left(work, people, change.source, group).await?;
    }
    for person in people {
        work.record(
            Draft::act("person.groups-changed")
                .subject(*person)
                .with("provider", change.source)
                .with("added", change.added)
                .with("removed", change.removed),
        );
    }
    Ok(())
}

/// That they were in it until now: what they could read until then, they may know.
async fn note_left(work: &mut Work<'_>, people: &[PersonId], source: &str, group: &str) -> Result<()> {
    for some in people.chunks(AT_ONCE) {
        let rows: Vec<String> = (4..some.len() + 4).map(|n| format!("(${n}, $1, $2, $3)")).collect();
        let text = format!(
            "INSERT INTO past_memberships (person, source, group_id, left_at) VALUES {} \
             ON CONFLICT (person, source, group_id) DO UPDATE SET left_at = excluded.left_at",
            rows.join(", ")
        );
        let mut args: Vec<Arg> = vec![source.into(), group.into(), work.now().into()];
        args.extend(some.iter().map(|it| Arg::from(*it)));
        work.execute(Query::composed(text, args)).await?;
    }
    Ok(())
}
