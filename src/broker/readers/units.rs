//! What is noted of readers, each with its entry.

use async_trait::async_trait;

use super::stored;
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{EnvironmentRef, Name, Problem, Result, ids::PersonId},
    broker::desired::Place,
    policy::Permit,
    secrets::note_readable,
    store::sql,
};

/// People that are noted together.
pub(super) const AT_ONCE: usize = 32;

/// That these people can read what lies there now. An entry for each of them and each value that is new
/// to her.
pub(super) struct NoteReaders {
    pub(super) permit: Permit,
    pub(super) delivery: Name,
    pub(super) place: Place,
    /// Who, and as whom the cluster knows her.
    pub(super) readers: Vec<(PersonId, String)>,
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    secret: String,
    version: String,
    number: i64,
    fingerprint: Vec<u8>,
    application: String,
    environment: String,
    team: String,
    name: String,
}

impl VersionRow {
    fn environment(&self) -> Result<EnvironmentRef> {
        Ok(EnvironmentRef {
            application: stored(&self.application)?,
            environment: stored(&self.environment)?,
            team: if self.team.is_empty() { None } else { Some(stored(&self.team)?) },
        })
    }
}

#[async_trait]
impl Unit for NoteReaders {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let query = sql(
            "SELECT d.secret, d.version, v.number, v.fingerprint, s.application, s.environment, s.team, \
             s.name FROM delivered_versions d JOIN versions v ON v.id = d.version \
             JOIN secrets s ON s.id = d.secret WHERE d.delivery = $1 AND d.place = $2 ORDER BY s.name, s.id",
        );
        let there: Vec<VersionRow> =
            work.fetch_all(query.bind(&self.delivery).bind(self.place.to_string())).await?;
        let mut is_new = false;
        for (person, reader) in &self.readers {
            for version in &there {
                is_new |= self.note(work, *person, reader, version).await?;
            }
        }
        if is_new { Ok(()) } else { Err(Problem::conflict("all of that is noted already")) }
    }
}

impl NoteReaders {
    async fn note(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        reader: &str,
        it: &VersionRow,
    ) -> Result<bool> {
        let (secret, version) = (stored(&it.secret)?, stored(&it.version)?);
        if !note_readable(work, person, secret, version, &it.fingerprint).await? {
            return Ok(false);
        }
        work.record(
            Draft::act("secret.readable")
                .subject(person)
                .secret(&it.environment()?, &stored(&it.name)?)
                .with("version", it.number)
                .with("delivery", self.delivery.as_str())
                .with("place", self.place.to_string())
                .with("as", reader),
        );
        Ok(true)
    }
}

/// Whether it is known who can read what a delivery put into a cluster.
pub(super) struct NoteKnowing {
    pub(super) permit: Permit,
    pub(super) delivery: Name,
    pub(super) environment: EnvironmentRef,
    pub(super) state: &'static str,
    pub(super) detail: String,
}

#[async_trait]
impl Unit for NoteKnowing {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let now = work.now();
        let changed = work
            .execute(
                sql("INSERT INTO delivery_readers (delivery, state, detail, since) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (delivery) DO UPDATE SET state = excluded.state, detail = excluded.detail, \
                     since = excluded.since WHERE delivery_readers.state <> excluded.state \
                     OR delivery_readers.detail <> excluded.detail")
                .bind(&self.delivery)
                .bind(self.state)
                .bind(self.detail.as_str())
                .bind(now),
            )
            .await?;
        if changed == 0 {
            return Err(Problem::conflict("that is noted already"));
        }
        let action =
            if self.state == "known" { "delivery.readers-known" } else { "delivery.readers-unknown" };
        work.record(
            Draft::act(action)
                .resource(format!("delivery/{}", self.delivery))
                .environment(&self.environment)
                .with("delivery", self.delivery.as_str())
                .with("detail", self.detail.as_str()),
        );
        Ok(())
    }
}
