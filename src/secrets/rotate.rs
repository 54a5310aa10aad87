//! Wrapping every version's key under a new key, while servers go on.

use async_trait::async_trait;

use super::{Secrets, embedded::bound_to};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{EnvironmentRef, Problem, Result, SecretRef},
    keys::{NewWrapping, Wrapped},
    policy::{Action, Permit, Resource, Service},
    store::sql,
};

/// How many versions are wrapped anew in one unit.
const BATCH: i64 = 200;

#[derive(sqlx::FromRow)]
struct WrappedRow {
    id: String,
    application: String,
    environment: String,
    team: String,
    name: String,
    number: i64,
    wrapped_key: Vec<u8>,
    master_key: String,
}

impl WrappedRow {
    fn at(&self) -> Result<SecretRef> {
        let unreadable = |_| Problem::internal("a stored secret cannot be read");
        let team = if self.team.is_empty() { None } else { Some(self.team.parse().map_err(unreadable)?) };
        Ok(SecretRef {
            environment: EnvironmentRef {
                application: self.application.parse().map_err(unreadable)?,
                environment: self.environment.parse().map_err(unreadable)?,
                team,
            },
            name: self.name.parse().map_err(unreadable)?,
        })
    }
}

impl Secrets {
    /// Brings a new wrapping key into use and wraps every version's key under it; how many those were.
    /// Readers and writers go on meanwhile: either key opens what it wrapped.
    ///
    /// # Errors
    /// Those of [`crate::audit::Log::perform`]. Called again, it goes on with another key.
    pub async fn rotate_key(&self) -> Result<u64> {
        let new = self.it.keys.new_wrapping();
        let id = new.id.clone();
        self.it.log.perform(BringIn { permit: self.operator()?, new }).await?;
        self.it.keys.reload().await?;
        let mut wrapped = 0;
        loop {
            let batch = self.wrap_anew(&id).await?;
            if batch.is_empty() {
                break;
            }
            wrapped += batch.len() as u64;
            self.it.log.perform(WrapAnew { permit: self.operator()?, under: id.clone(), batch }).await?;
        }
        Ok(wrapped)
    }

    fn operator(&self) -> Result<Permit> {
        self.it.permits.permit(Service::Operator, Action::Operate, Resource::Keys)
    }

    /// The next versions that hang on another key, wrapped under this one.
    async fn wrap_anew(&self, under: &str) -> Result<Vec<(String, String, Wrapped)>> {
        let rows: Vec<WrappedRow> = self
            .it
            .database
            .fetch_all(
                sql("SELECT v.id, s.application, s.environment, s.team, s.name, v.number, v.wrapped_key, \
                     v.master_key FROM versions v JOIN secrets s ON s.id = v.secret \
                     WHERE v.wrapped_key IS NOT NULL AND v.master_key <> $1 ORDER BY v.id LIMIT $2")
                .bind(under)
                .bind(BATCH),
            )
            .await?;
        let mut batch = Vec::with_capacity(rows.len());
        for row in rows {
            let bound = bound_to(&row.at()?, row.number);
            let old = Wrapped { bytes: row.wrapped_key, under: row.master_key.clone() };
            let key = self.it.keys.unwrap(&bound, &old).await?;
            batch.push((row.id, row.master_key, self.it.keys.wrap(&bound, &key)));
        }
        Ok(batch)
    }
}

struct BringIn {
    permit: Permit,
    new: NewWrapping,
}

#[async_trait]
impl Unit for BringIn {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let now = work.now();
        work.execute(self.new.row(now)).await?;
        work.record(Draft::act("key.rotated").resource("keys").with("key", self.new.id.as_str()));
        Ok(())
    }
}

struct WrapAnew {
    permit: Permit,
    under: String,
    batch: Vec<(String, String, Wrapped)>,
}

#[async_trait]
impl Unit for WrapAnew {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        for (version, old, wrapped) in &self.batch {
            // One that was destroyed meanwhile stays so.
            work.execute(
                sql(
                    "UPDATE versions SET wrapped_key = $2, master_key = $3 WHERE id = $1 AND master_key = $4",
                )
                .bind(version)
                .bind(wrapped.bytes.as_slice())
                .bind(wrapped.under.as_str())
                .bind(old),
            )
            .await?;
        }
        let draft = Draft::act("key.rewrapped").resource("keys").with("key", self.under.as_str());
        work.record(draft.with("versions", self.batch.len()));
        Ok(())
    }
}
