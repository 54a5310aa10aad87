//! Steps that could not be taken yet: what stands in their way, since when, and when they are tried again.
//!
//! A step that fails is put off and holds no other up; the longer it fails, the more seldom it is tried.

use std::{collections::BTreeMap, time::Duration};

use super::steps::Step;
use crate::{
    base::{Ambient, Problem, Result, Timestamp, ids::PersonId},
    store::{Database, sql},
};

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: nothing is ever given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A step of a leaver that could not be taken yet.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Delay {
    /// What sort of step: `end-grant`, `revoke-lease`, …
    pub step: String,
    /// What it is about: the id of a grant, a lease, a secret.
    pub thing: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Since when it fails, in milliseconds since the epoch.
    pub since: i64,
    /// When it was last tried, in milliseconds since the epoch.
    pub last_at: i64,
    /// What stood in its way the last time.
    pub last_error: String,
}

impl Delay {
    fn is_due(&self, now: Timestamp) -> bool {
        let doublings = u32::try_from(self.attempts.saturating_sub(1).clamp(0, 16)).unwrap_or(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        now >= Timestamp::from_millis(self.last_at).after(pause)
    }
}

/// The steps that are put off, as they were when a look began.
pub(super) struct Delays(BTreeMap<(String, String), Delay>);

impl Delays {
    /// Reads all of them.
    pub(super) async fn read(database: &Database) -> Result<Self> {
        let rows: Vec<Delay> = database
            .fetch_all(sql("SELECT step, thing, attempts, since, last_at, last_error FROM leaver_delays"))
            .await?;
        Ok(Self(rows.into_iter().map(|row| ((row.step.clone(), row.thing.clone()), row)).collect()))
    }

    /// Whether a step is to be tried now.
    pub(super) fn is_due(&self, step: &Step, now: Timestamp) -> bool {
        self.0.get(&key_of(step)).is_none_or(|delay| delay.is_due(now))
    }

    /// Whether any is put off.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets that a step was put off, now that it was taken or is no longer to be taken.
    pub(super) async fn over(&self, database: &Database, step: &Step) -> Result<()> {
        let key = key_of(step);
        if !self.0.contains_key(&key) {
            return Ok(());
        }
        let query = sql("DELETE FROM leaver_delays WHERE step = $1 AND thing = $2").bind(key.0).bind(key.1);
        database.write_unrecorded("leaver_delays", query).await?;
        Ok(())
    }
}

fn key_of(step: &Step) -> (String, String) {
    (step.name().to_owned(), step.thing())
}

/// Puts a step off.
pub(super) async fn put_off(
    database: &Database,
    ambient: &Ambient,
    step: &Step,
    problem: &Problem,
) -> Result<()> {
    let now = ambient.now();
    database
        .write_unrecorded(
            "leaver_delays",
            sql("INSERT INTO leaver_delays (step, thing, person, attempts, since, last_at, last_error) \
                 VALUES ($1, $2, $3, 1, $4, $4, $5) ON CONFLICT (step, thing) DO UPDATE SET \
                 attempts = leaver_delays.attempts + 1, last_at = excluded.last_at, last_error = excluded.last_error")
            .bind(step.name())
            .bind(step.thing())
            .bind(step.person())
            .bind(now)
            .bind(&problem.detail),
        )
        .await?;
    Ok(())
}

/// What keeps the steps of one leaver, the longest first: our own, and leases whose engine does not answer.
pub(super) async fn of(database: &Database, person: PersonId) -> Result<Vec<Delay>> {
    Ok(database
        .fetch_all(
            sql("SELECT step, thing, attempts, since, last_at, last_error FROM leaver_delays WHERE person = $1 \
                 UNION ALL SELECT 'revoke-lease', l.id, t.attempts, COALESCE(l.revoking_at, l.created_at), \
                 t.next_at, t.detail FROM leases l JOIN lease_attempts t ON t.lease = l.id \
                 WHERE l.principal = $1 AND l.state <> 'ended' ORDER BY since, step, thing LIMIT 500")
            .bind(person),
        )
        .await?)
}
