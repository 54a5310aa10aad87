//! Who came to know which values: what one person or workload knows, and who knows one secret.

use std::collections::BTreeMap;

use super::{Secrets, no_such, rows::secret};
use crate::{
    base::{
        Problem, Result, SecretRef, Timestamp,
        ids::{ExposureId, LeaseId},
    },
    policy::{Action, Permit, Principal},
    store::Query,
};

/// How many are told at once.
const PAGE: i64 = 100;

/// Whose exposures, or of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// What one principal knows, as the log names it: `per_…`, `workload/…`.
    Principal(String),
    /// Who knows this secret.
    Secret(SecretRef),
}

/// Somebody came to know a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Its id, or that of the lease.
    pub id: String,
    /// Who, as the log names whoever it is.
    pub principal: String,
    /// Which secret, or role of an engine, where it belongs.
    pub secret: String,
    /// Which version of it; nothing for a lease.
    pub version: Option<i64>,
    /// `entered`, `revealed`, `run`, `lease` or `delivery`.
    pub how: String,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// The entries of the first and of the last time; nothing for those of before this was noted.
    pub entries: Option<(i64, i64)>,
    /// By which trust scope: nothing for a delivery, and where it was by several.
    pub scope: Option<String>,
    /// Whether that value is the secret's current one; of a lease, whether it may work still.
    pub is_current: bool,
    /// The deliveries that hold that value of the secret.
    pub deliveries: Vec<String>,
}

/// Some exposures, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposures {
    /// They.
    pub items: Vec<Exposure>,
    /// The secret that they are about, where it belongs; nothing where they are somebody's.
    pub secret: Option<SecretRef>,
    /// What to ask for those that follow; nothing where there are no more.
    pub next: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    principal: String,
    application: String,
    environment: String,
    team: String,
    name: String,
    number: Option<i64>,
    how: String,
    first_at: i64,
    last_at: i64,
    first_entry: Option<i64>,
    last_entry: Option<i64>,
    scope: Option<String>,
    is_current: i64,
}

impl From<Row> for Exposure {
    fn from(row: Row) -> Self {
        let team = if row.team.is_empty() { String::new() } else { format!("@{}", row.team) };
        Self {
            id: row.id,
            principal: row.principal,
            secret: format!("{}/{}{team}/{}", row.application, row.environment, row.name),
            version: row.number,
            how: row.how,
            first_at: Timestamp::from_millis(row.first_at),
            last_at: Timestamp::from_millis(row.last_at),
            entries: row.first_entry.zip(row.last_entry),
            scope: row.scope,
            is_current: row.is_current == 1,
            deliveries: Vec::new(),
        }
    }
}

/// The column that says whose or of what, and its value.
type About = (&'static str, String);

impl Secrets {
    /// Exposures, a page after the one named `after`, the newest first. `permit` is one to see people, or
    /// one's own, or who knows the secret that is asked for.
    ///
    /// # Errors
    /// `not-found` where there is no such secret; `invalid-request` for a cursor that is none.
    pub async fn exposures(&self, permit: &Permit, whose: &Whose, after: Option<&str>) -> Result<Exposures> {
        may_see(permit, whose)?;
        let (about, secret) = self.about(whose).await?;
        let mut rows: Vec<Row> = self.it.database.fetch_all(page(&about, after)?).await?;
        let is_more = i64::try_from(rows.len()).is_ok_and(|n| n > PAGE);
        rows.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
        let mut items: Vec<Exposure> = rows.into_iter().map(Exposure::from).collect();
        self.fill(&about, &mut items).await?;
        let next = items.last().filter(|_| is_more).map(|it| it.id.clone());
        Ok(Exposures { items, secret, next })
    }

    async fn about(&self, whose: &Whose) -> Result<(About, Option<SecretRef>)> {
        let at = match whose {
            Whose::Principal(principal) => return Ok((("principal", principal.clone()), None)),
            Whose::Secret(at) => at,
        };
        let declared = self.it.catalog.snapshot().await?;
        let owner = self.resolve(&declared, at).await?;
        let row = secret(&self.it.database, &owner).await?.ok_or_else(|| no_such(at))?;
        Ok((("secret", row.id), Some(owner)))
    }

    /// Where the values of these lie still.
    async fn fill(&self, (column, value): &About, items: &mut [Exposure]) -> Result<()> {
        let (Some(newest), Some(oldest)) = (items.first(), items.last()) else { return Ok(()) };
        let (newest, oldest) = (position(&newest.id)?, position(&oldest.id)?);
        let text = format!(
            "SELECT DISTINCT e.id, d.delivery FROM exposures e \
             JOIN versions v ON v.secret = e.secret AND v.fingerprint = e.fingerprint \
             JOIN delivered_versions d ON d.version = v.id \
             WHERE e.{column} = $1 AND substr(e.id, 5) >= $2 AND substr(e.id, 5) <= $3 ORDER BY e.id, d.delivery"
        );
        let args = vec![value.as_str().into(), oldest.into(), newest.into()];
        let rows: Vec<(String, String)> = self.it.database.fetch_all(Query::composed(text, args)).await?;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, delivery) in rows {
            found.entry(id).or_default().push(delivery);
        }
        for it in items {
            it.deliveries = found.remove(&it.id).unwrap_or_default();
        }
        Ok(())
    }
}

/// One page, and one more to see whether it is the last. Ids are in the order of their making, whatever
/// they begin with.
fn page((column, value): &About, after: Option<&str>) -> Result<Query> {
    let leases = if *column == "principal" { LEASES } else { "" };
    let text = format!(
        "SELECT * FROM (SELECT e.id, e.principal, s.application, s.environment, s.team, s.name, v.number, e.how, \
         e.first_at, e.last_at, e.first_entry, e.last_entry, e.scope, CAST(CASE WHEN EXISTS (SELECT 1 \
         FROM versions c WHERE c.secret = s.id AND c.number = s.current_number AND c.state = 'live' \
         AND c.fingerprint = e.fingerprint) THEN 1 ELSE 0 END AS BIGINT) AS is_current \
         FROM exposures e JOIN versions v ON v.id = e.version JOIN secrets s ON s.id = e.secret \
         WHERE e.{column} = $1{leases}) t WHERE ($2 = '' OR substr(t.id, 5) < $2) \
         ORDER BY substr(t.id, 5) DESC LIMIT $3"
    );
    let after = after.map_or_else(|| Ok(String::new()), position)?;
    Ok(Query::composed(text, vec![value.as_str().into(), after.into(), (PAGE + 1).into()]))
}

/// Credentials that an engine lent: the lease itself says who came to know them.
const LEASES: &str = " UNION ALL SELECT l.id, l.principal, l.application, l.environment, '' AS team, \
     l.role AS name, CAST(NULL AS BIGINT) AS number, 'lease' AS how, l.issued_at AS first_at, \
     l.issued_at AS last_at, l.entry AS first_entry, l.entry AS last_entry, l.scope, \
     CAST(CASE WHEN l.ended_at IS NULL THEN 1 ELSE 0 END AS BIGINT) AS is_current \
     FROM leases l WHERE l.principal = $1 AND l.issued_at IS NOT NULL";

/// What orders an id among others, of whichever kind.
fn position(id: &str) -> Result<String> {
    if id.parse::<ExposureId>().is_err() && id.parse::<LeaseId>().is_err() {
        return Err(Problem::invalid("the cursor is none of this list").remedy("Begin without one."));
    }
    Ok(id.chars().skip(4).collect())
}

/// A permit for one's own is good for one's own alone, and one for a secret for that secret.
fn may_see(permit: &Permit, whose: &Whose) -> Result<()> {
    let fits = match (permit.action(), whose) {
        (Action::SeePeople, _) => true,
        (Action::SeeOwn, Whose::Principal(principal)) => {
            matches!(permit.principal(), Principal::Person(id) if id.to_string() == *principal)
        }
        (Action::SeeExposure, Whose::Secret(at)) => {
            permit.resource().environment().is_some_and(|it| it.at == at.environment)
                && permit.resource().secret() == Some(&at.name)
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(Problem::internal("a permit was used on exposures that it is not for")) }
}
