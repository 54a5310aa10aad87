//! What people gained and lost when their groups changed, or what files say of these.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{belonging::Belonging, grants::stored};
use crate::{
    audit::{Draft, Work},
    base::{
        Name, Problem, Result, Timestamp,
        ids::{GrantId, MoveId, PersonId, RequestId},
    },
    notify::Outbox,
    policy::{Action, Permit},
    store::{Arg, Database, Query, sql},
};

/// How many are told at once.
const PAGE: i64 = 50;

/// What somebody gained and lost at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Teams that she came into.
    pub teams_gained: BTreeSet<Name>,
    /// Teams that she is in no longer.
    pub teams_lost: BTreeSet<Name>,
    /// Trust scopes that are hers now, or that she can ask for now.
    pub scopes_gained: BTreeSet<Name>,
    /// Trust scopes that no longer are.
    pub scopes_lost: BTreeSet<Name>,
    /// Grants that ended, because only what she lost justified them.
    pub grants_ended: Vec<GrantId>,
    /// Pending requests that were withdrawn for the same reason.
    pub requests_withdrawn: Vec<RequestId>,
}

impl Moved {
    pub(super) fn between(before: &Belonging, now: &Belonging) -> Self {
        let beyond = |all: &BTreeSet<Name>, those: &BTreeSet<Name>| all.difference(those).cloned().collect();
        Self {
            teams_gained: beyond(&now.teams, &before.teams),
            teams_lost: beyond(&before.teams, &now.teams),
            scopes_gained: beyond(&now.scopes, &before.scopes),
            scopes_lost: beyond(&before.scopes, &now.scopes),
            grants_ended: Vec::new(),
            requests_withdrawn: Vec::new(),
        }
    }

    pub(super) fn with(self, grants: &[GrantId], requests: &[RequestId]) -> Self {
        Self { grants_ended: grants.to_vec(), requests_withdrawn: requests.to_vec(), ..self }
    }

    /// Drafts the one entry that tells of it, and keeps it where she and her teams see it.
    pub(super) async fn record(&self, work: &mut Work<'_>, person: PersonId) -> Result<()> {
        self.keep(work, person).await?;
        let mut draft = Draft::act("person.moved").subject(person).resource(person);
        for (name, words) in self.words() {
            draft = draft.with(name, words);
        }
        work.record(draft);
        Ok(())
    }

    /// Tells each team that she came into or went out of.
    pub(super) async fn tell(&self, work: &mut Work<'_>, person: PersonId, outbox: &Outbox) -> Result<()> {
        let came = self.teams_gained.iter().map(|team| (team, "into"));
        let went = self.teams_lost.iter().map(|team| (team, "out of"));
        for (team, way) in came.chain(went) {
            let mut message = json!({ "person": person, "team": team, "way": way });
            for (name, words) in self.words() {
                message[name] = json!(words);
            }
            outbox.enqueue(work, "person.moved", &message).await?;
        }
        Ok(())
    }

    async fn keep(&self, work: &mut Work<'_>, person: PersonId) -> Result<()> {
        let (id, now) = (work.ambient().id::<MoveId>(), work.now());
        let entry = i64::try_from(work.next_index()).unwrap_or(i64::MAX);
        let body = serde_json::to_string(self).map_err(|error| Problem::internal(error.to_string()))?;
        work.execute(
            sql("INSERT INTO moves (id, person, at, entry, body) VALUES ($1, $2, $3, $4, $5)")
                .bind(id)
                .bind(person)
                .bind(now)
                .bind(entry)
                .bind(body),
        )
        .await?;
        for team in self.teams_gained.iter().chain(&self.teams_lost) {
            let query = sql("INSERT INTO moved_teams (team, move) VALUES ($1, $2)");
            work.execute(query.bind(team).bind(id)).await?;
        }
        Ok(())
    }

    fn words(&self) -> [(&'static str, Vec<String>); 6] {
        fn texts<'a, T: ToString + 'a>(items: impl IntoIterator<Item = &'a T>) -> Vec<String> {
            items.into_iter().map(ToString::to_string).collect()
        }
        [
            ("teams_gained", texts(&self.teams_gained)),
            ("teams_lost", texts(&self.teams_lost)),
            ("scopes_gained", texts(&self.scopes_gained)),
            ("scopes_lost", texts(&self.scopes_lost)),
            ("grants_ended", texts(&self.grants_ended)),
            ("requests_withdrawn", texts(&self.requests_withdrawn)),
        ]
    }
}

/// A move as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its id.
    pub id: MoveId,
    /// Who moved.
    pub person: PersonId,
    /// What she is called; for display only.
    pub display_name: String,
    /// When it was noted.
    pub at: Timestamp,
    /// The index of the entry that tells of it.
    pub entry: i64,
    /// What she gained and lost.
    pub moved: Moved,
}

/// Some moves, the newest first, and what to ask for those that follow.
pub type Moves = (Vec<Move>, Option<MoveId>);

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    person: String,
    display_name: String,
    at: i64,
    entry: i64,
    body: String,
}

impl TryFrom<Row> for Move {
    type Error = Problem;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: stored(&row.id)?,
            person: stored(&row.person)?,
            display_name: row.display_name,
            at: Timestamp::from_millis(row.at),
            entry: row.entry,
            moved: serde_json::from_str(&row.body)
                .map_err(|_| Problem::internal("a stored move cannot be read"))?,
        })
    }
}

/// Moves of `person`, and those into and out of `teams`. `permit` is one to see people, or one's own:
/// then the person is the caller, and the teams are hers.
///
/// # Errors
/// A problem of the database.
pub(super) async fn moves(
    database: &Database,
    permit: &Permit,
    person: PersonId,
    teams: &[Name],
    after: Option<MoveId>,
) -> Result<Moves> {
    let is_own = permit.action() == Action::SeeOwn && permit.person() == Some(person);
    if !is_own {
        permit.expect(Action::SeePeople)?;
    }
    let mut rows: Vec<Row> = database.fetch_all(page(person, teams, after)).await?;
    let is_more = i64::try_from(rows.len()).is_ok_and(|n| n > PAGE);
    rows.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let found = rows.into_iter().map(Move::try_from).collect::<Result<Vec<_>>>()?;
    let next = found.last().filter(|_| is_more).map(|it| it.id);
    Ok((found, next))
}

/// One page, and one more to see whether it is the last.
fn page(person: PersonId, teams: &[Name], after: Option<MoveId>) -> Query {
    let after = after.map_or_else(String::new, |id| id.to_string());
    let mut args: Vec<Arg> = vec![person.into(), after.into(), (PAGE + 1).into()];
    let places: Vec<String> = (0..teams.len()).map(|n| format!("${}", n + 4)).collect();
    args.extend(teams.iter().map(Arg::from));
    let of_teams = if teams.is_empty() {
        String::new()
    } else {
        format!(" OR m.id IN (SELECT move FROM moved_teams WHERE team IN ({}))", places.join(", "))
    };
    let text = format!(
        "SELECT m.id, m.person, p.display_name, m.at, m.entry, m.body FROM moves m \
         JOIN people p ON p.id = m.person WHERE (m.person = $1{of_teams}) AND ($2 = '' OR m.id < $2) \
         ORDER BY m.id DESC LIMIT $3"
    );
    Query::composed(text, args)
}
