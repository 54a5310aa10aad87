//! The one unit in which everything ends.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::json;

use super::Fate;
use crate::{
    audit::{Authority, Checkpoint, Draft, Unit, Work},
    base::{Problem, Result, hex, ids::PersonId},
    identity::UNTIL_HER_PROVIDER_SPOKE,
    policy::{Action, Permit},
    store::{Query, sql},
};

/// Why sessions and grants ended.
const BECAUSE: &str = "log-recovered";
/// What suspended somebody whose suspension was lost.
const BY_PUBLISHED: &str = "published-entry";

/// How far the log had come before, as its pin says.
#[derive(Clone, Debug)]
pub struct Discontinuity {
    /// The newest checkpoint that is known.
    pub pinned: Checkpoint,
}

/// What was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Sessions of all kinds.
    pub sessions_ended: u64,
    /// Live grants.
    pub grants_ended: u64,
    /// Pending requests.
    pub requests_withdrawn: u64,
    /// People who are suspended until their identity provider has spoken.
    pub people_suspended: u64,
    /// People who were deactivated again.
    pub deactivated: Vec<PersonId>,
    /// People of whom published entries say something and who are not here: they had joined since.
    pub unknown: Vec<PersonId>,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions_ended, grants_ended, requests_withdrawn, people_suspended, .. } = self;
        writeln!(
            f,
            "ended: {sessions_ended} sessions, {grants_ended} grants, {requests_withdrawn} requests"
        )?;
        writeln!(f, "suspended until their identity provider has spoken: {people_suspended} people")?;
        writeln!(f, "deactivated again: {} people", self.deactivated.len())?;
        for person in &self.unknown {
            writeln!(
                f,
                "{person} is not here: she had joined since, and joins anew where she signs in again"
            )?;
        }
        Ok(())
    }
}

pub(super) struct Recover {
    pub(super) permit: Permit,
    pub(super) reason: String,
    pub(super) discontinuity: Option<Discontinuity>,
    pub(super) lost: BTreeMap<PersonId, Fate>,
}

#[async_trait]
impl Unit for Recover {
    type Output = Recovered;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Recovered> {
        self.permit.expect(Action::Operate)?;
        let size = size_of(work).await?;
        let mut recovered = end_everything(work).await?;
        self.record(work, size, &recovered);
        for (person, fate) in &self.lost {
            self.again(work, *person, fate, &mut recovered).await?;
        }
        Ok(recovered)
    }
}

impl Recover {
    fn record(&self, work: &mut Work<'_>, size: i64, recovered: &Recovered) {
        let pinned = self
            .discontinuity
            .as_ref()
            .map(|it| json!({ "size": it.pinned.size, "root": hex::encode(&it.pinned.root) }));
        work.record(
            Draft::act("log.recovered")
                .resource("log")
                .reason(&self.reason)
                .with("size", size)
                .with("pinned", pinned)
                .with("sessions_ended", recovered.sessions_ended)
                .with("grants_ended", recovered.grants_ended)
                .with("requests_withdrawn", recovered.requests_withdrawn)
                .with("people_suspended", recovered.people_suspended),
        );
    }

    /// Does to somebody again what a lost entry says.
    async fn again(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        fate: &Fate,
        recovered: &mut Recovered,
    ) -> Result<()> {
        let row: Option<(String,)> =
            work.fetch_optional(sql("SELECT status FROM people WHERE id = $1").bind(person)).await?;
        let Some((was,)) = row else {
            recovered.unknown.push(person);
            return Ok(());
        };
        let (status, action, index) = match fate {
            Fate::Deactivated(index) => ("deactivated", "person.deactivated", index),
            Fate::Suspended(index) => ("suspended", "person.suspended", index),
        };
        if was == "deactivated" {
            return Ok(());
        }
        let now = work.now();
        work.execute(
            sql("UPDATE people SET status = $2, status_cause = $3, status_since = $4 WHERE id = $1")
                .bind(person)
                .bind(status)
                .bind(BY_PUBLISHED)
                .bind(now),
        )
        .await?;
        if status == "deactivated" {
            recovered.deactivated.push(person);
        }
        work.record(
            Draft::act(action)
                .subject(person)
                .resource(person)
                .reason(&self.reason)
                .with("was", was)
                .with("lost_entry", *index)
                .with("sessions_ended", 0),
        );
        Ok(())
    }
}

async fn size_of(work: &mut Work<'_>) -> Result<i64> {
    let head: Option<(i64,)> = work.fetch_optional(sql("SELECT size FROM log_head WHERE id = 1")).await?;
    head.map(|(size,)| size).ok_or_else(|| Problem::internal("the log has lost its head row"))
}

async fn end_everything(work: &mut Work<'_>) -> Result<Recovered> {
    let now = work.now();
    for text in [
        "DELETE FROM pending_logins",
        "DELETE FROM pending_sign_ins",
        "DELETE FROM device_logins",
        "DELETE FROM recovery_rights",
    ] {
        work.execute(sql(text)).await?;
    }
    let ended = |text: &'static str| -> Query { sql(text).bind(now).bind(BECAUSE) };
    let sessions_ended = work
        .execute(ended(
            "UPDATE sessions SET ended_at = $1, ended_because = $2, sealed_id_token = NULL WHERE ended_at IS NULL",
        ))
        .await?;
    work.execute(sql("UPDATE workload_tokens SET ended_at = $1 WHERE ended_at IS NULL").bind(now)).await?;
    let grants_ended = work
        .execute(ended("UPDATE grants SET ended_at = $1, ended_because = $2 WHERE ended_at IS NULL"))
        .await?;
    let requests_withdrawn = work
        .execute(
            sql("UPDATE requests SET state = 'withdrawn', decided_at = $1 WHERE state = 'pending'").bind(now),
        )
        .await?;
    let people_suspended = work
        .execute(
            sql("UPDATE people SET status = 'suspended', status_since = $1, status_cause = $2 \
                 WHERE status = 'active'")
            .bind(now)
            .bind(UNTIL_HER_PROVIDER_SPOKE),
        )
        .await?;
    work.execute(sql("UPDATE people SET facts = facts + 1")).await?;
    Ok(Recovered {
        sessions_ended,
        grants_ended,
        requests_withdrawn,
        people_suspended,
        deactivated: Vec::new(),
        unknown: Vec::new(),
    })
}
