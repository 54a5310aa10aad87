//! What follows at once where a value comes back that somebody knows who has left.

use super::{Revocation, is_overtaken, rotation, steps::Step};
use crate::{
    access::stored,
    base::{
        Result, SecretRef,
        ids::{RotationTaskId, SecretId},
    },
    store::sql,
};

/// That a secret's current value is one that leavers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownValue {
    /// The open task.
    pub task: RotationTaskId,
    /// How many of them.
    pub leavers: i64,
}

#[derive(sqlx::FromRow)]
struct Knows {
    person: String,
    fingerprint: Vec<u8>,
}

impl Revocation {
    /// Whether somebody who has left knows the current value of a secret. The task is opened here where it is
    /// not there yet, so that whoever brought the value back can be told which it is. Nothing where the trust
    /// scopes under which it came to be known ignore that.
    ///
    /// # Errors
    /// A problem of the database; those of [`crate::audit::Log::perform`].
    pub async fn known_value(&self, at: &SecretRef) -> Result<Option<KnownValue>> {
        let secret = sql(
            "SELECT id FROM secrets WHERE application = $1 AND environment = $2 AND team = $3 AND name = $4",
        )
        .bind(&at.environment.application)
        .bind(&at.environment.environment)
        .bind(at.environment.team_column())
        .bind(&at.name);
        let secret: Option<(String,)> = self.database.fetch_optional(secret).await?;
        let Some((secret,)) = secret else { return Ok(None) };
        self.open_for(stored(&secret)?).await?;
        let task = sql(
            "SELECT COALESCE(t.bundle, t.id) AS lead, CAST(count(DISTINCT c.person) AS BIGINT) AS leavers \
             FROM secrets s JOIN versions v ON v.secret = s.id AND v.number = s.current_number AND v.state = 'live' \
             JOIN rotation_tasks t ON t.secret = s.id AND t.state = 'open' \
             JOIN rotation_causes c ON c.task = t.id AND c.fingerprint = v.fingerprint \
             WHERE s.id = $1 GROUP BY COALESCE(t.bundle, t.id)",
        );
        let task: Option<(String, i64)> = self.database.fetch_optional(task.bind(secret)).await?;
        task.map(|(task, leavers)| Ok(KnownValue { task: stored(&task)?, leavers })).transpose()
    }

    async fn open_for(&self, secret: SecretId) -> Result<()> {
        let declared = self.catalog.snapshot().await?;
        let knows: Vec<Knows> =
            self.database.fetch_all(rotation::to_open(None, Some(secret), &declared)).await?;
        for it in knows {
            let step = Step::OpenTask { person: stored(&it.person)?, secret, fingerprint: it.fingerprint };
            match self.take(step).await {
                Err(problem) if !is_overtaken(&problem) => return Err(problem),
                _ => {}
            }
        }
        Ok(())
    }
}
