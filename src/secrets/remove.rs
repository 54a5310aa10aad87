//! Deleting, undeleting and destroying versions.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Place, Secrets, VersionState, no_such,
    place::Home,
    rows::{DELETED, DESTROYED, LIVE, SecretRow, VersionRow, secret, secret_in, version, version_in},
    secret_of,
    settle::{Op, Pending, remove_in},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, ProblemKind, Result, SecretRef},
    policy::{Action, Permit},
    store::sql,
};

/// What is done to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// It is hidden, and can be had back.
    Delete,
    /// It is had back.
    Undelete,
    /// Its value is gone for good.
    Destroy,
}

impl Removal {
    /// The action that it takes.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Delete | Self::Undelete => Action::Set,
            Self::Destroy => Action::Destroy,
        }
    }

    const fn entry(self) -> &'static str {
        match self {
            Self::Delete => "secret.deleted",
            Self::Undelete => "secret.undeleted",
            Self::Destroy => "secret.destroyed",
        }
    }

    const fn leads_to(self) -> &'static str {
        match self {
            Self::Delete => DELETED,
            Self::Undelete => LIVE,
            Self::Destroy => DESTROYED,
        }
    }

    /// Whether a version that is so in the engine has had it done to it.
    pub(super) const fn is_done_in(self, state: VersionState) -> bool {
        match self {
            Self::Delete => !matches!(state, VersionState::Live),
            Self::Undelete => matches!(state, VersionState::Live),
            Self::Destroy => matches!(state, VersionState::Destroyed | VersionState::Absent),
        }
    }

    fn draft(self, at: &SecretRef, number: i64) -> Draft {
        Draft::act(self.entry()).secret(&at.environment, &at.name).with("version", number)
    }

    /// Refuses what would change nothing, or cannot be.
    fn check(self, at: &SecretRef, version: &VersionRow) -> Result<()> {
        let possible = match self {
            Self::Delete => version.state == LIVE,
            Self::Undelete => version.state == DELETED,
            Self::Destroy => version.state != DESTROYED,
        };
        if possible {
            return Ok(());
        }
        Err(Problem::conflict(format!("version {} of '{at}' is {}", version.number, version.state)))
    }
}

impl Secrets {
    /// Does it to a version of the secret that the permit is for; to the newest where none is said.
    ///
    /// # Errors
    /// `not-found`; `conflict` where the version is not in a state for it; `managed-by-files` for a
    /// secret that lives beside others at one path; those of the engine and of
    /// [`crate::audit::Log::perform`].
    pub async fn remove(&self, permit: Permit, removal: Removal, number: Option<i64>) -> Result<()> {
        let (environment, at) = secret_of(&permit, removal.action())?;
        let declared = self.it.catalog.snapshot().await?;
        let home = self.writable_home(&declared, &at).await?;
        let row = secret(&self.it.database, &at).await?.ok_or_else(|| no_such(&at))?;
        let number = number.unwrap_or(row.latest_number);
        match &home {
            Home::Embedded => self.it.log.perform(Remove { permit, at, number, removal }).await,
            Home::Remote { place: Place::Foreign { .. }, .. } => Err(Problem::new(
                ProblemKind::ManagedByFiles,
                format!("'{at}' shares its path with other fields, whose versions are not ours to remove"),
            )),
            Home::Remote { engine, place, .. } => {
                let found = version(&self.it.database, row.id()?, number).await?;
                let found = found.ok_or_else(|| no_version(&at, number))?;
                removal.check(&at, &found)?;
                let engine_version = found.engine_version.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                let pending = Pending {
                    at: at.clone(),
                    team: environment.owner.clone(),
                    protected: environment.protected,
                    by: permit.principal().to_string(),
                    scope: permit.scope().cloned(),
                    place: place.clone(),
                    op: Op::Remove { removal, number, engine_version },
                };
                let intent = self.begin(permit, pending.clone(), removal.draft(&at, number), None).await?;
                let outcome = remove_in(engine.as_ref(), place, removal, engine_version).await;
                self.conclude(intent, &home, &pending, outcome).await.map(drop)
            }
        }
    }
}

struct Remove {
    permit: Permit,
    at: SecretRef,
    number: i64,
    removal: Removal,
}

#[async_trait]
impl Unit for Remove {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let row = secret_in(work, &self.at).await?.ok_or_else(|| no_such(&self.at))?;
        let found = version_in(work, row.id()?, self.number).await?;
        self.removal.check(&self.at, &found.ok_or_else(|| no_version(&self.at, self.number))?)?;
        mark(work, &self.at, self.number, self.removal).await?;
        work.record(self.removal.draft(&self.at, self.number));
        Ok(())
    }
}

/// Notes the state that a removal leads to. The secret is current only where its newest version lives.
pub(super) async fn mark(work: &mut Work<'_>, at: &SecretRef, number: i64, removal: Removal) -> Result<()> {
    let row: SecretRow = secret_in(work, at).await?.ok_or_else(|| no_such(at))?;
    let found = version_in(work, row.id()?, number).await?.ok_or_else(|| no_version(at, number))?;
    // What is learned late never brings back what was destroyed meanwhile.
    if found.state == DESTROYED {
        return Ok(());
    }
    work.execute(
        sql("UPDATE versions SET state = $3 WHERE secret = $1 AND number = $2")
            .bind(row.id.as_str())
            .bind(number)
            .bind(removal.leads_to()),
    )
    .await?;
    if removal == Removal::Destroy {
        work.execute(
            sql("UPDATE versions SET sealed = NULL, wrapped_key = NULL, master_key = NULL \
                 WHERE secret = $1 AND number = $2")
            .bind(row.id.as_str())
            .bind(number),
        )
        .await?;
    }
    if number == row.latest_number {
        let current = (removal == Removal::Undelete).then_some(number);
        work.execute(
            sql("UPDATE secrets SET current_number = $2, changed_at = $3 WHERE id = $1")
                .bind(row.id.as_str())
                .bind(current)
                .bind(work.now()),
        )
        .await?;
    }
    Ok(())
}

fn no_version(at: &SecretRef, number: i64) -> Problem {
    Problem::not_found(format!("'{at}' has no version {number}"))
        .remedy(format!("`portctl secret versions {at}` shows those that there are."))
}
