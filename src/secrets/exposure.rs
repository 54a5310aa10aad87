//! The fact that somebody came to know a value.

use crate::{
    audit::Work,
    base::{
        Name, Result,
        ids::{ExposureId, PersonId, SecretId, VersionId},
    },
    store::sql,
};

/// How somebody came to know a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// She entered it.
    Entered,
    /// She was shown it.
    Revealed,
    /// A program of hers was started with it.
    Run,
    /// It was delivered to where she could read it.
    Delivery,
}

impl How {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Revealed => "revealed",
            Self::Run => "run",
            Self::Delivery => "delivery",
        }
    }
}

/// Whoever comes to know a value, and under which trust scope.
pub(super) struct Knower<'a> {
    /// As the log names her.
    pub(super) principal: &'a str,
    /// The scope that allowed it; it says what follows for rotation once she has left.
    pub(super) scope: Option<&'a Name>,
}

/// Notes it, before its entry is drafted; a second time moves when it was last. Where that is under another scope, none is kept: then
/// the strictest rule holds.
pub(super) async fn note(
    work: &mut Work<'_>,
    knower: Knower<'_>,
    secret: SecretId,
    version: VersionId,
    fingerprint: &[u8],
    how: How,
) -> Result<()> {
    let (id, now) = (work.ambient().id::<ExposureId>(), work.now());
    let entry = i64::try_from(work.next_index()).unwrap_or(i64::MAX);
    work.execute(
        sql("INSERT INTO exposures (id, principal, secret, version, fingerprint, how, first_at, last_at, scope, \
             first_entry, last_entry) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $9) \
             ON CONFLICT (principal, version, how) DO UPDATE SET last_at = excluded.last_at, \
             last_entry = excluded.last_entry, \
             scope = CASE WHEN exposures.scope = excluded.scope THEN exposures.scope ELSE NULL END")
        .bind(id)
        .bind(knower.principal)
        .bind(secret)
        .bind(version)
        .bind(fingerprint)
        .bind(how.as_str())
        .bind(now)
        .bind(knower.scope)
        .bind(entry),
    )
    .await?;
    Ok(())
}

/// Notes, before the entry that says so, that a version lies where a person can read it. That she could
/// before is noted once: `false`, and nothing is to be said.
///
/// # Errors
/// A problem of the database.
pub async fn note_readable(
    work: &mut Work<'_>,
    person: PersonId,
    secret: SecretId,
    version: VersionId,
    fingerprint: &[u8],
) -> Result<bool> {
    let principal = person.to_string();
    let known: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM exposures WHERE principal = $1 AND version = $2 AND how = $3")
                .bind(principal.as_str())
                .bind(version)
                .bind(How::Delivery.as_str()),
        )
        .await?;
    if known.is_some() {
        return Ok(false);
    }
    let knower = Knower { principal: &principal, scope: None };
    note(work, knower, secret, version, fingerprint, How::Delivery).await?;
    Ok(true)
}
