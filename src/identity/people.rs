//! Finding people.

use std::{fmt, str::FromStr};

use super::{Identity, caller::stored_id};
use crate::{
    audit::Work,
    base::{Problem, ProblemKind, Result, Timestamp, ids::PersonId},
    policy::{Action, Permit, PersonStatus},
    store::{Arg, Query, sql},
};

/// How many people a list holds at most.
const PAGE: i64 = 100;

/// A human, as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The id of our own.
    pub id: PersonId,
    /// Whether anything works for her.
    pub status: PersonStatus,
    /// Who or what suspended or deactivated her.
    pub status_cause: Option<String>,
    /// Since when she has that status.
    pub status_since: Timestamp,
    /// For display only.
    pub display_name: String,
    /// For display only; empty where nobody who may has asserted one.
    pub email: String,
    /// When she first signed in.
    pub created_at: Timestamp,
}

/// How somebody names a person: by id or by e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonAddress {
    /// By id.
    Id(PersonId),
    /// By e-mail address, compared without case.
    Email(String),
}

impl FromStr for PersonAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let looks_right = text.len() <= 254
            && text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if looks_right {
            return Ok(Self::Email(text.to_lowercase()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(format!("'{}' is neither a person's id (per_…) nor an e-mail address", shown.escape_debug()))
    }
}

impl fmt::Display for PersonAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Email(email) => f.write_str(email),
        }
    }
}

#[derive(sqlx::FromRow)]
struct PersonColumns {
    id: String,
    status: String,
    status_cause: Option<String>,
    status_since: i64,
    display_name: String,
    email: String,
    created_at: i64,
}

impl TryFrom<PersonColumns> for Person {
    type Error = Problem;

    fn try_from(row: PersonColumns) -> Result<Self> {
        Ok(Self {
            id: stored_id(&row.id)?,
            status: PersonStatus::from_stored(&row.status),
            status_cause: row.status_cause,
            status_since: Timestamp::from_millis(row.status_since),
            display_name: row.display_name,
            email: row.email,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl Identity {
    /// The one person that `address` means.
    ///
    /// # Errors
    /// `not-found`; `ambiguous` with all ids where several people have that e-mail address.
    pub async fn find_person(&self, permit: &Permit, address: &PersonAddress) -> Result<Person> {
        may_look(permit)?;
        let rows: Vec<PersonColumns> = self.database.fetch_all(by_address(address)).await?;
        the_one(rows, address)
    }

    /// Her own row, for whoever calls.
    ///
    /// # Errors
    /// `not-found` where there is no such person.
    pub async fn person(&self, id: PersonId) -> Result<Person> {
        let address = PersonAddress::Id(id);
        let rows: Vec<PersonColumns> = self.database.fetch_all(by_address(&address)).await?;
        the_one(rows, &address)
    }

    /// The people of these ids, by id; whoever is not known is left out.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn people(&self, permit: &Permit, ids: &[PersonId]) -> Result<Vec<Person>> {
        may_look(permit)?;
        let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
        let text = format!(
            "SELECT id, status, status_cause, status_since, display_name, email, created_at FROM people \
             WHERE id IN ({}) ORDER BY id",
            places.join(", ")
        );
        let args = ids.iter().map(|id| Arg::from(*id)).collect();
        let rows: Vec<PersonColumns> = self.database.fetch_all(Query::composed(text, args)).await?;
        rows.into_iter().map(Person::try_from).collect()
    }

    /// People whose name or e-mail address holds `query`, after the one named `cursor`; a hundred at
    /// most, and the cursor for the next ones.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn list_people(
        &self,
        permit: &Permit,
        query: &str,
        cursor: Option<PersonId>,
    ) -> Result<(Vec<Person>, Option<PersonId>)> {
        may_look(permit)?;
        let rows: Vec<PersonColumns> = self
            .database
            .fetch_all(
                sql("SELECT id, status, status_cause, status_since, display_name, email, created_at \
                     FROM people WHERE id > $1 AND (lower(display_name) LIKE $2 ESCAPE '!' \
                     OR email LIKE $2 ESCAPE '!') ORDER BY id LIMIT $3")
                .bind(cursor.map_or_else(String::new, |id| id.to_string()))
                .bind(holding(query))
                .bind(PAGE + 1),
            )
            .await?;
        let mut people = rows.into_iter().map(Person::try_from).collect::<Result<Vec<_>>>()?;
        let more = i64::try_from(people.len()).is_ok_and(|n| n > PAGE);
        if more {
            people.pop();
        }
        let next = people.last().filter(|_| more).map(|person| person.id);
        Ok((people, next))
    }
}

/// Reads the one person that `address` means inside a unit of work.
pub(super) async fn find_in(work: &mut Work<'_>, address: &PersonAddress) -> Result<Person> {
    let rows: Vec<PersonColumns> = work.fetch_all(by_address(address)).await?;
    the_one(rows, address)
}

fn may_look(permit: &Permit) -> Result<()> {
    match permit.action() {
        // Whoever reads the log asks it by people, and it names them.
        Action::SeePeople | Action::ManagePeople | Action::ReadLog | Action::Forget => Ok(()),
        _ => permit.expect(Action::SeePeople),
    }
}

fn by_address(address: &PersonAddress) -> Query {
    const COLUMNS: &str =
        "SELECT id, status, status_cause, status_since, display_name, email, created_at FROM people";
    let (filter, value) = match address {
        PersonAddress::Id(id) => ("id = $1", id.to_string()),
        PersonAddress::Email(email) => ("email = $1", email.clone()),
    };
    Query::composed(format!("{COLUMNS} WHERE {filter} ORDER BY id LIMIT 20"), vec![value.into()])
}

fn the_one(mut rows: Vec<PersonColumns>, address: &PersonAddress) -> Result<Person> {
    if rows.len() > 1 {
        let ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
        return Err(Problem::new(
            ProblemKind::Ambiguous,
            format!("{address} is the address of {} people: {}", ids.len(), ids.join(", ")),
        )
        .remedy("Name the person by id.")
        .with("ids", ids));
    }
    rows.pop().map_or_else(
        || {
            Err(Problem::not_found(format!("nobody here is {address}"))
                .remedy("`portctl person list` shows everybody."))
        },
        Person::try_from,
    )
}

/// The LIKE pattern for texts that hold `query`.
fn holding(query: &str) -> String {
    let mut pattern = String::from("%");
    for c in query.to_lowercase().chars().take(200) {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
