//! The fact that somebody came to know a value.

use crate::{
    audit::Work,
    base::{
        Result,
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

/// Notes it; a second time moves when it was last. `principal` is whoever it is, as the log names her.
pub(super) async fn note(
    work: &mut Work<'_>,
    principal: &str,
    secret: SecretId,
    version: VersionId,
    fingerprint: &[u8],
    how: How,
) -> Result<()> {
    let (id, now) = (work.ambient().id::<ExposureId>(), work.now());
    work.execute(
        sql("INSERT INTO exposures (id, principal, secret, version, fingerprint, how, first_at, last_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) \
             ON CONFLICT (principal, version, how) DO UPDATE SET last_at = excluded.last_at")
        .bind(id)
        .bind(principal)
        .bind(secret)
        .bind(version)
        .bind(fingerprint)
        .bind(how.as_str())
        .bind(now),
    )
    .await?;
    Ok(())
}
