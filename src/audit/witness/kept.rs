//! Cosignatures that were kept, and the checkpoints that bear them.

use std::time::Duration;

use super::{Cosignature, WitnessKey, WitnessPolicy, cosignature::parts};
use crate::{
    audit::{Checkpoint, tile::as_i64},
    base::{Problem, Result, Timestamp},
    store::{Arg, Database, Query, sql},
};

/// For how long cosignatures are kept of which newer ones fulfil the policy.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// How much of the log's end an export may leave out to be a witnessed one.
const LEFT_OUT: Duration = Duration::from_mins(1);

/// A checkpoint as it is stored. That it is ours is for those to verify who get it.
pub(in crate::audit) struct Stored {
    /// Number of entries.
    pub(in crate::audit) size: u64,
    /// The signed note.
    pub(in crate::audit) note: String,
}

impl Stored {
    /// What the note says.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint> {
        let body = parts(&self.note).map(|(body, _)| body);
        body.and_then(Checkpoint::from_body).filter(|it| it.size == self.size).ok_or_else(|| {
            crate::audit::tile::altered(format!("the checkpoint of {} entries is malformed", self.size))
        })
    }
}

/// The newest checkpoint.
pub(in crate::audit) async fn newest(database: &Database) -> Result<Option<Stored>> {
    let row: Option<(i64, String)> =
        database.fetch_optional(sql("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1")).await?;
    Ok(row.map(|(size, note)| Stored { size: size.unsigned_abs(), note }))
}

/// What a witness cosigned last, as far as it was kept.
pub(super) async fn last_of(database: &Database, key: &WitnessKey) -> Result<Option<u64>> {
    let query = sql("SELECT max(size) FROM cosignatures WHERE witness = $1").bind(key.to_string());
    let row: Option<(Option<i64>,)> = database.fetch_optional(query).await?;
    Ok(row.and_then(|(size,)| size).map(i64::unsigned_abs))
}

/// Keeps a cosignature that was verified, and lets go of those that nobody needs any more: the newest of
/// each witness stay, and those by which the newest witnessed checkpoint is one.
pub(super) async fn keep(
    database: &Database,
    policy: &WitnessPolicy,
    key: &WitnessKey,
    size: u64,
    cosignature: &Cosignature,
) -> Result<()> {
    let row = sql("INSERT INTO cosignatures (witness, size, line, time) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (witness, size) DO UPDATE SET line = excluded.line, time = excluded.time")
    .bind(key.to_string())
    .bind(as_i64(size))
    .bind(&cosignature.line)
    .bind(cosignature.time);
    database.write_unrecorded("cosignatures", row).await?;
    let Some(needed) = witnessed_size(database, policy).await? else { return Ok(()) };
    let old = sql("DELETE FROM cosignatures WHERE witness = $1 AND size < $2 AND size < $3 AND time < $4")
        .bind(key.to_string())
        .bind(as_i64(size))
        .bind(as_i64(needed))
        .bind(cosignature.time.before(KEPT));
    database.write_unrecorded("cosignatures", old).await?;
    Ok(())
}

/// `$from, …` for as many witnesses as there are, and they.
fn among(policy: &WitnessPolicy, args: &mut Vec<Arg>) -> String {
    let first = args.len() + 1;
    args.extend(policy.keys().iter().map(|key| Arg::from(key.to_string())));
    (first..=args.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// How large the newest checkpoint is that fulfils the policy.
async fn witnessed_size(database: &Database, policy: &WitnessPolicy) -> Result<Option<u64>> {
    if policy.keys().is_empty() {
        return Ok(None);
    }
    let mut args = vec![Arg::from(i64::try_from(policy.quorum()).unwrap_or(i64::MAX))];
    let witnesses = among(policy, &mut args);
    let text = format!(
        "SELECT c.size FROM cosignatures c JOIN checkpoints p ON p.size = c.size \
         WHERE c.witness IN ({witnesses}) GROUP BY c.size \
         HAVING CAST(count(*) AS BIGINT) >= $1 ORDER BY c.size DESC LIMIT 1"
    );
    let row: Option<(i64,)> = database.fetch_optional(Query::composed(text, args)).await?;
    Ok(row.map(|(size,)| size.unsigned_abs()))
}

/// The note, with the cosignatures that there are of it below the log's own signatures.
async fn with_cosignatures(database: &Database, policy: &WitnessPolicy, stored: Stored) -> Result<String> {
    if policy.keys().is_empty() {
        return Ok(stored.note);
    }
    let mut args = vec![Arg::from(as_i64(stored.size))];
    let witnesses = among(policy, &mut args);
    let text = format!(
        "SELECT line FROM cosignatures WHERE size = $1 AND witness IN ({witnesses}) ORDER BY witness"
    );
    let rows: Vec<(String,)> = database.fetch_all(Query::composed(text, args)).await?;
    let mut note = stored.note;
    for (line,) in rows {
        note.push_str(&line);
        note.push('\n');
    }
    Ok(note)
}

/// The newest checkpoint, with the cosignatures that there are of it by now: often none.
///
/// # Errors
/// A problem of the database.
pub async fn newest_note(database: &Database, policy: &WitnessPolicy) -> Result<Option<String>> {
    match newest(database).await? {
        Some(stored) => with_cosignatures(database, policy, stored).await.map(Some),
        None => Ok(None),
    }
}

/// The newest checkpoint that fulfils the policy, with its cosignatures.
///
/// # Errors
/// `conflict` where there is none.
pub async fn witnessed_note(database: &Database, policy: &WitnessPolicy) -> Result<String> {
    let none = || {
        Problem::conflict("no checkpoint of this log is witnessed as the configuration wants it")
            .remedy("`port-control check` tries each witness; [[log.witnesses]] names them.")
    };
    let size = witnessed_size(database, policy).await?.ok_or_else(none)?;
    let stored = of_size(database, size).await?.ok_or_else(none)?;
    with_cosignatures(database, policy, stored).await
}

async fn of_size(database: &Database, size: u64) -> Result<Option<Stored>> {
    let query = sql("SELECT note FROM checkpoints WHERE size = $1").bind(as_i64(size));
    let row: Option<(String,)> = database.fetch_optional(query).await?;
    Ok(row.map(|(note,)| Stored { size, note }))
}

/// The checkpoint that an export is bound to, with its cosignatures: the newest one that fulfils the
/// policy, where it leaves nothing out that is older than a minute; else the newest one. So witnesses
/// that are down hold no export up, nor do they make it leave anything out.
///
/// # Errors
/// A problem of the database.
pub async fn note_for_export(
    database: &Database,
    policy: &WitnessPolicy,
    now: Timestamp,
) -> Result<Option<String>> {
    if let Some(size) = witnessed_size(database, policy).await?
        && leaves_little_out(database, size, now).await?
        && let Some(stored) = of_size(database, size).await?
    {
        return with_cosignatures(database, policy, stored).await.map(Some);
    }
    newest_note(database, policy).await
}

async fn leaves_little_out(database: &Database, size: u64, now: Timestamp) -> Result<bool> {
    let query = sql("SELECT time FROM entries WHERE idx = $1").bind(as_i64(size));
    let next: Option<(i64,)> = database.fetch_optional(query).await?;
    Ok(next.is_none_or(|(time,)| now.since(Timestamp::from_millis(time)) <= LEFT_OUT))
}
