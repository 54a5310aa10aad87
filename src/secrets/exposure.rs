//! The fact that somebody came to know a value.

use crate::{
    audit::Work,
    base::{
        Name, Result,
        ids::{ExposureId, SecretId, VersionId},
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
}

impl How {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Revealed => "revealed",
            Self::Run => "run",
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

/// Notes it; a second time moves when it was last. Where that is under another scope, none is kept: then
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
    work.execute(
        sql("INSERT INTO exposures (id, principal, secret, version, fingerprint, how, first_at, last_at, scope) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8) \
             ON CONFLICT (principal, version, how) DO UPDATE SET last_at = excluded.last_at, \
             scope = CASE WHEN exposures.scope = excluded.scope THEN exposures.scope ELSE NULL END")
        .bind(id)
        .bind(knower.principal)
        .bind(secret)
        .bind(version)
        .bind(fingerprint)
        .bind(how.as_str())
        .bind(now)
        .bind(knower.scope),
    )
    .await?;
    Ok(())
}
