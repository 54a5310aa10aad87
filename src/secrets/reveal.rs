//! Telling values: facts read again, exposure, entry; only then does a value leave.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Secrets, environment_of,
    exposure::{How, Knower, note},
    fetch::{Fetched, Label, Which},
    no_such,
    rows::{LIVE, NewVersion, SecretRow, add_version, secret_or_new, version_in},
    secret_of,
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        EnvironmentRef, Problem, Result, SecretName, SecretRef, SecretValue,
        ids::{SecretId, VersionId},
    },
    catalog::Snapshot,
    policy::{Action, Permit},
};

/// How many values are fetched from an engine at once.
const AT_ONCE: usize = 8;

/// A value that was told.
#[derive(Debug)]
pub struct Revealed {
    /// What it is called in the environment that it was asked for in.
    pub name: SecretName,
    /// Which version.
    pub version: i64,
    /// The value.
    pub value: SecretValue,
}

impl Secrets {
    /// Reveals the current value of the secret that the permit is for, or that of a version.
    ///
    /// # Errors
    /// `not-found`; `engine-unavailable`, `engine-fault`; those of [`crate::audit::Log::perform`]: then
    /// no value has left.
    pub async fn reveal(&self, permit: Permit, number: Option<i64>) -> Result<Revealed> {
        let (_, at) = secret_of(&permit, Action::Reveal)?;
        let declared = self.it.catalog.of(&permit).await?;
        let own = super::rows::secret(&self.it.database, &at).await?;
        let owner = Self::owner_of(&declared, &at, own.is_some());
        let row = if owner == at { own } else { super::rows::secret(&self.it.database, &owner).await? };
        let fetched = self.fetch_row(&declared, &owner, row, number).await?;
        let mut told = self.tell(permit, How::Revealed, vec![(at.name.clone(), fetched)]).await?;
        told.pop().ok_or_else(|| no_such(&at))
    }

    /// All current values of the environment that the permit is for, to start a program with, by name.
    ///
    /// # Errors
    /// As [`Self::reveal`].
    pub async fn run_values(&self, permit: Permit) -> Result<Vec<Revealed>> {
        let here = environment_of(&permit, Action::Run)?.at;
        let declared = self.it.catalog.of(&permit).await?;
        let fetched = self.fetch_all(&declared, &here).await?;
        self.tell(permit, How::Run, fetched).await
    }

    /// Whose secret is meant by a name in an environment.
    pub(super) async fn resolve(&self, declared: &Snapshot, at: &SecretRef) -> Result<SecretRef> {
        let is_own = super::rows::secret(&self.it.database, at).await?.is_some();
        Ok(Self::owner_of(declared, at, is_own))
    }

    /// The current value of everything that an environment has, its own and what is shared with it.
    /// What has none now is left out.
    pub(super) async fn fetch_all(
        &self,
        declared: &Snapshot,
        here: &EnvironmentRef,
    ) -> Result<Vec<(SecretName, Fetched)>> {
        let all = self.names_in(declared, here).await?;
        let fetched = stream::iter(all).map(|(name, owner)| async move {
            match self.fetch(declared, &owner, None).await {
                Ok(fetched) => Ok(Some((name, fetched))),
                Err(problem) if problem.is(crate::base::ProblemKind::NotFound) => Ok(None),
                Err(problem) => Err(problem),
            }
        });
        let found: Vec<_> = fetched.buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn tell(
        &self,
        permit: Permit,
        how: How,
        fetched: Vec<(SecretName, Fetched)>,
    ) -> Result<Vec<Revealed>> {
        let labels = fetched.iter().map(|(name, it)| (name.clone(), it.label.clone())).collect();
        let numbers = self.it.log.perform(Tell { permit, how, labels }).await?;
        Ok(fetched
            .into_iter()
            .zip(numbers)
            .map(|((name, it), version)| Revealed { name, version, value: it.value })
            .collect())
    }
}

/// Records that values are told, and to whom. Answers with their version numbers.
struct Tell {
    permit: Permit,
    how: How,
    labels: Vec<(SecretName, Label)>,
}

#[async_trait]
impl Unit for Tell {
    type Output = Vec<i64>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Vec<i64>> {
        let here =
            self.permit.resource().environment().ok_or_else(|| Problem::internal("a permit for nowhere"))?;
        let action = if self.how == How::Run { "secret.run" } else { "secret.revealed" };
        let mut numbers = Vec::with_capacity(self.labels.len());
        for (name, label) in &self.labels {
            let (secret, version, number) = take_in(work, label).await?;
            let principal = self.permit.principal().to_string();
            let knower = Knower { principal: &principal, scope: self.permit.scope() };
            note(work, knower, secret, version, &label.fingerprint, self.how).await?;
            let draft = Draft::act(action).secret(&here.at, name).with("version", number);
            let is_shared = label.at.environment != here.at;
            work.record(if is_shared { draft.with("of", label.at.to_string()) } else { draft });
            numbers.push(number);
        }
        if self.labels.is_empty() {
            work.record(Draft::act(action).environment(&here.at).with("values", 0));
        }
        Ok(numbers)
    }
}

/// The version that a label means, as it is now; one that was found in the engine becomes a version.
pub(super) async fn take_in(work: &mut Work<'_>, label: &Label) -> Result<(SecretId, VersionId, i64)> {
    match label.which {
        Which::Known { secret, version, number } => {
            let row = version_in(work, secret, number).await?.ok_or_else(|| no_such(&label.at))?;
            row.expect_live(&label.at)?;
            Ok((secret, version, number))
        }
        Which::Found { engine_version } => {
            let row = secret_or_new(work, &label.at, label.engine, label.location.as_deref()).await?;
            if let Some(found) = by_engine_version(work, &row, engine_version).await? {
                return Ok(found);
            }
            let new = NewVersion {
                fingerprint: label.fingerprint,
                origin: "found",
                by: label.engine,
                engine_version: Some(engine_version),
                sealed: None,
            };
            let (version, number) = add_version(work, &row, new).await?;
            Ok((row.id()?, version, number))
        }
    }
}

/// Somebody else may have taken it in a moment ago.
async fn by_engine_version(
    work: &mut Work<'_>,
    row: &SecretRow,
    engine_version: i64,
) -> Result<Option<(SecretId, VersionId, i64)>> {
    let found: Option<(String, i64)> = work
        .fetch_optional(
            crate::store::sql(
                "SELECT id, number FROM versions WHERE secret = $1 AND engine_version = $2 AND state = $3",
            )
            .bind(row.id.as_str())
            .bind(engine_version)
            .bind(LIVE),
        )
        .await?;
    let Some((id, number)) = found else { return Ok(None) };
    let version = id.parse().map_err(|_| Problem::internal("a stored version cannot be read"))?;
    Ok(Some((row.id()?, version, number)))
}
