//! Connections, and who speaks by one.

use std::{collections::HashMap, fmt, net::IpAddr, str::FromStr, sync::Arc, sync::Mutex, time::Duration};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Scim, schema::ENTERPRISE};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, ProblemKind, Result, Timestamp, fits},
    identity::{
        removal::{COUNTS, Cause, RemovalLimit, Source},
        token::hash_of,
    },
    policy::{Action, Permit},
    store::{Query, sql},
};

/// What a connection's token begins with, so that scanners for leaked credentials know it.
pub(super) const PREFIX: &str = "pcs_";
/// How often it is noted that a connection speaks. Well below the age at which facts count as absent.
const HEARD_EVERY: Duration = Duration::from_mins(5);
/// How many requests a connection may make in a second, over [`WINDOW`] seconds.
const EACH_SECOND: u32 = 500;
/// Over how many seconds they are counted.
const WINDOW: u32 = 10;

/// Which attribute of SCIM equals which claim of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    attribute: LinkAttribute,
    claim: Claim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkAttribute {
    ExternalId,
    UserName,
    EmployeeNumber,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// The subject.
    Sub,
    /// Entra's object id.
    Oid,
}

impl Link {
    pub(super) const fn attribute(self) -> &'static str {
        match self.attribute {
            LinkAttribute::ExternalId => "externalId",
            LinkAttribute::UserName => "userName",
            LinkAttribute::EmployeeNumber => "employeeNumber",
        }
    }

    pub(super) const fn claim(self) -> &'static str {
        match self.claim {
            Claim::Sub => "sub",
            Claim::Oid => "oid",
        }
    }

    /// The subject of the account that these attributes name; nothing while they do not.
    pub(super) fn subject(self, body: &Map<String, Value>) -> Option<String> {
        let holder = match self.attribute {
            LinkAttribute::EmployeeNumber => body.get(ENTERPRISE)?.as_object()?,
            _ => body,
        };
        let value = holder.get(self.attribute())?.as_str()?;
        let fits = !value.is_empty() && value.len() <= 255 && !value.chars().any(char::is_control);
        fits.then(|| match self.claim {
            Claim::Sub => value.to_owned(),
            Claim::Oid => format!("oid:{value}"),
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.attribute(), self.claim())
    }
}

impl FromStr for Link {
    type Err = String;

    /// E-mail addresses are not among what links: whoever can have one changed would become another.
    fn from_str(text: &str) -> Result<Self, String> {
        let (attribute, claim) = text.split_once('=').unwrap_or((text, ""));
        let attribute = match attribute {
            "externalId" => LinkAttribute::ExternalId,
            "userName" => LinkAttribute::UserName,
            "employeeNumber" => LinkAttribute::EmployeeNumber,
            _ => {
                return Err(
                    "a link is externalId, userName or employeeNumber, '=', and the claim that is equal \
                            to it: sub, or oid at Entra"
                        .to_owned(),
                );
            }
        };
        let claim = match claim {
            "sub" => Claim::Sub,
            "oid" => Claim::Oid,
            _ => return Err("the claim of a link is sub, or oid at Entra".to_owned()),
        };
        Ok(Self { attribute, claim })
    }
}

/// A connection as it is set now.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its name; also the source of its groups.
    pub name: Name,
    /// Moves with every change of what is set.
    pub version: i64,
    /// By which identity provider its people sign in.
    pub provider: String,
    /// That provider's issuer.
    pub issuer: String,
    /// What links its people with sign-ins.
    pub link: Link,
    /// Whether signing in by that provider creates nobody.
    pub authoritative: bool,
    /// Whether it may bring back whom it deactivated.
    pub may_reactivate: bool,
    /// Patterns of the groups that it may write.
    pub groups: Vec<String>,
    /// How many people it may remove before somebody is asked.
    pub limit: RemovalLimit,
    /// When it last spoke, to some minutes.
    pub heard_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is out of use.
    pub disabled_at: Option<Timestamp>,
}

/// Who speaks: a connection, by a token of its own.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// Which.
    pub connection: Arc<Connection>,
    /// From where.
    pub network: Option<IpAddr>,
}

#[derive(sqlx::FromRow)]
pub(super) struct ConnectionRow {
    name: String,
    version: i64,
    provider: String,
    issuer: String,
    link_attribute: String,
    link_claim: String,
    authoritative: bool,
    may_reactivate: bool,
    writable_groups: String,
    breaker_share: i64,
    breaker_number: i64,
    breaker_window: i64,
    heard_at: Option<i64>,
    created_at: i64,
    disabled_at: Option<i64>,
}

/// Every column of a connection `c`.
pub(super) const COLUMNS: &str = "c.name, c.version, c.provider, c.issuer, c.link_attribute, c.link_claim, \
    c.authoritative, c.may_reactivate, c.writable_groups, c.breaker_share, c.breaker_number, c.breaker_window, \
    c.heard_at, c.created_at, c.disabled_at";

impl TryFrom<ConnectionRow> for Connection {
    type Error = Problem;

    fn try_from(row: ConnectionRow) -> Result<Self> {
        let stored = |what: String| Problem::internal(format!("a stored connection cannot be read: {what}"));
        let millis = |n: i64| Duration::from_millis(u64::try_from(n).unwrap_or_default());
        Ok(Self {
            name: row.name.parse().map_err(stored)?,
            version: row.version,
            provider: row.provider,
            issuer: row.issuer,
            link: format!("{}={}", row.link_attribute, row.link_claim).parse().map_err(stored)?,
            authoritative: row.authoritative,
            may_reactivate: row.may_reactivate,
            groups: serde_json::from_str(&row.writable_groups).map_err(|e| stored(e.to_string()))?,
            limit: RemovalLimit {
                number: row.breaker_number,
                percent: row.breaker_share,
                window: millis(row.breaker_window),
            },
            heard_at: row.heard_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
        })
    }
}

impl Connection {
    /// The connection as whoever takes people away, with how many are active now and count: whoever could
    /// make people as it pleases could remove as many more.
    pub(super) async fn cause(&self, work: &mut Work<'_>) -> Result<Cause> {
        let text = format!(
            "SELECT CAST(count(*) AS BIGINT) FROM scim_users u JOIN people p ON p.id = u.person \
             WHERE u.connection = $1 AND u.deleted_at IS NULL AND p.status = 'active' AND {COUNTS}"
        );
        let args = vec![(&self.name).into(), work.now().before(self.limit.window).into()];
        let people: Option<(i64,)> = work.fetch_optional(Query::composed(text, args)).await?;
        Ok(Cause::Source(Source {
            connection: self.name.clone(),
            people: people.map_or(0, |(n,)| n),
            limit: self.limit,
        }))
    }

    /// Whether it may write a group of that id, or of that name where it has none of its own: what files
    /// declare is the id, and a name can be anything.
    pub(super) fn may_write(&self, display_name: &str, external_id: Option<&str>) -> bool {
        self.groups.iter().any(|it| fits(it, external_id.unwrap_or(display_name)))
    }
}

pub(super) fn by_name(name: &Name) -> Query {
    Query::composed(
        format!("SELECT {COLUMNS} FROM scim_connections c WHERE c.name = $1"),
        vec![name.to_string().into()],
    )
}

impl Scim {
    /// A connection by its name.
    pub(super) async fn connection(&self, name: &Name) -> Result<Connection> {
        let row: Option<ConnectionRow> = self.parts().database.fetch_optional(by_name(name)).await?;
        row.ok_or_else(|| {
            Problem::not_found(format!("there is no connection '{name}'"))
                .remedy("`portctl scim connection list` shows those that there are.")
        })?
        .try_into()
    }

    /// Who speaks by `token` on the path of `connection`.
    ///
    /// # Errors
    /// `unauthenticated` where the token is none of that connection's: whether there is such a connection
    /// is not told; the same where an identity provider has its name; `rate-limited`.
    pub async fn authenticate(
        &self,
        connection: &str,
        token: &str,
        network: Option<IpAddr>,
    ) -> Result<Speaker> {
        let text = format!(
            "SELECT {COLUMNS} FROM scim_tokens t JOIN scim_connections c ON c.name = t.connection \
             WHERE t.token_hash = $1 AND t.ended_at IS NULL AND c.name = $2"
        );
        let args = vec![hash_of(token.as_bytes()).into(), connection.replace('\0', "").into()];
        let row: Option<ConnectionRow> =
            self.parts().database.fetch_optional(Query::composed(text, args)).await?;
        let row = row.ok_or_else(|| {
            Problem::new(ProblemKind::Unauthenticated, "the token is not one of this connection")
                .remedy("An administrator makes one: `portctl scim connection rotate`.")
        })?;
        let connection = Arc::new(Connection::try_from(row)?);
        self.check_told_apart(&connection.name)
            .map_err(|problem| Problem { kind: ProblemKind::Unauthenticated, ..problem })?;
        self.0.limit.take(&connection.name, self.parts().ambient.now())?;
        let speaker = Speaker { connection, network };
        self.note_heard(&speaker).await?;
        Ok(speaker)
    }

    /// Refuses a connection that is called like an identity provider of the configuration: what the one says of
    /// groups would be what the other says.
    fn check_told_apart(&self, name: &Name) -> Result<()> {
        if self.provider(name.as_str()).is_none() {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::InvalidConfiguration,
            format!(
                "an identity provider and a connection are both called '{name}', and own the same groups"
            ),
        )
        .with("connection", name.as_str())
        .remedy("Give the identity provider another name in `[[providers]]`; a connection keeps its own."))
    }

    /// Refuses a configuration in which an identity provider is called like a connection, in use or not.
    ///
    /// # Errors
    /// `invalid-configuration`.
    pub async fn check_names(&self) -> Result<()> {
        let names: Vec<(String,)> =
            self.parts().database.fetch_all(sql("SELECT name FROM scim_connections ORDER BY name")).await?;
        for (name,) in names {
            self.check_told_apart(&name.parse().map_err(Problem::internal)?)?;
        }
        Ok(())
    }

    /// What it said of groups is as young as its last word.
    async fn note_heard(&self, speaker: &Speaker) -> Result<()> {
        let connection = &speaker.connection;
        let now = self.parts().ambient.now();
        let is_known = connection.heard_at.is_some_and(|at| now.since(at) < HEARD_EVERY);
        if is_known || connection.disabled_at.is_some() {
            return Ok(());
        }
        let noted = self
            .act(speaker, Action::Provision, |permit, connection| {
                self.parts().log.perform(Heard { permit, connection })
            })
            .await;
        match noted {
            // Another request has noted it.
            Err(problem) if super::is_unchanged(&problem) => Ok(()),
            outcome => outcome,
        }
    }
}

struct Heard {
    permit: Permit,
    connection: Arc<Connection>,
}

#[async_trait]
impl Unit for Heard {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let (now, name) = (work.now(), &self.connection.name);
        let touched = work
            .execute(
                sql("UPDATE scim_connections SET heard_at = $2 \
                     WHERE name = $1 AND (heard_at IS NULL OR heard_at <= $3)")
                .bind(name)
                .bind(now)
                .bind(now.before(HEARD_EVERY)),
            )
            .await?;
        if touched == 0 {
            return Err(super::unchanged());
        }
        work.record(
            Draft::act("connection.heard")
                .resource(format!("connection/{name}"))
                .with("provider", name.as_str()),
        );
        Ok(())
    }
}

/// Counts what each connection asks for.
#[derive(Default)]
pub(super) struct Limit(Mutex<HashMap<Name, (Timestamp, u32)>>);

impl Limit {
    fn take(&self, connection: &Name, now: Timestamp) -> Result<()> {
        let mut counted = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (since, count) = counted.entry(connection.clone()).or_insert((now, 0));
        if now.since(*since) >= Duration::from_secs(WINDOW.into()) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        if *count > EACH_SECOND * WINDOW {
            return Err(Problem::new(ProblemKind::RateLimited, "this connection asks for too much at once")
                .remedy("Try again in a moment."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_links_is_never_an_address() {
        assert!("externalId=sub".parse::<Link>().is_ok());
        for bad in ["emails=sub", "emails.value=email", "userName=email", "externalId", ""] {
            assert!(bad.parse::<Link>().is_err(), "{bad}");
        }
    }
}
