//! Fetching a value from its engine: before the unit that records that it is told.

use super::{
    Secrets, Stored, embedded, no_such,
    place::Home,
    rows::{SecretRow, VersionRow, secret, version},
};
use crate::{
    base::{
        Problem, ProblemKind, Result, SecretRef, SecretValue,
        ids::{SecretId, VersionId},
    },
    catalog::Snapshot,
    store::sql,
};

/// Which version a fetched value is.
#[derive(Clone)]
pub(super) enum Which {
    /// One that we know.
    Known {
        /// Of which secret.
        secret: SecretId,
        /// Which.
        version: VersionId,
        /// Its number.
        number: i64,
    },
    /// One that somebody wrote in the engine past us: the unit that tells it takes it in first.
    Found {
        /// The engine's own number.
        engine_version: i64,
    },
}

/// What is known of a fetched value, apart from the value.
#[derive(Clone)]
pub(super) struct Label {
    /// Whose secret it is.
    pub(super) at: SecretRef,
    /// Which version.
    pub(super) which: Which,
    /// Tells whether two values are equal.
    pub(super) fingerprint: [u8; 32],
    /// Where it lives, as it is stored beside a new secret.
    pub(super) engine: &'static str,
    pub(super) location: Option<String>,
}

/// A value that was fetched and not yet told.
pub(super) struct Fetched {
    pub(super) label: Label,
    pub(super) value: SecretValue,
}

impl Secrets {
    /// Fetches the current value of a secret, or that of a version. `at` is whose it is.
    ///
    /// # Errors
    /// `not-found`; `engine-unavailable`, `engine-fault`.
    pub(super) async fn fetch(
        &self,
        declared: &Snapshot,
        at: &SecretRef,
        number: Option<i64>,
    ) -> Result<Fetched> {
        let row = secret(&self.it.database, at).await?;
        self.fetch_row(declared, at, row, number).await
    }

    /// The same, of a secret that was read already.
    pub(super) async fn fetch_row(
        &self,
        declared: &Snapshot,
        at: &SecretRef,
        row: Option<SecretRow>,
        number: Option<i64>,
    ) -> Result<Fetched> {
        let home = self.home(declared, at)?;
        let (which, value) = match (&home, number) {
            (Home::Embedded, number) => {
                let row = row.ok_or_else(|| no_such(at))?;
                let version = self.wanted(&row, at, number).await?;
                let value = embedded::open(&self.it.keys, at, &version).await?;
                (known(&row, &version)?, value)
            }
            (Home::Remote { engine, place, .. }, None) => {
                let Some(stored) = engine.read(place, None).await? else {
                    return Err(self.absent(row.as_ref(), at).await);
                };
                let which = self.recognise(row.as_ref(), &stored).await?;
                (which, stored.value)
            }
            (Home::Remote { engine, place, .. }, number) => {
                let row = row.ok_or_else(|| no_such(at))?;
                let version = self.wanted(&row, at, number).await?;
                let wanted = version.engine_version.and_then(|n| u64::try_from(n).ok());
                let stored = engine.read(place, wanted).await?.ok_or_else(|| lost(at, &version))?;
                if self.it.keys.fingerprint(&stored.value).as_slice() != version.fingerprint {
                    return Err(lost(at, &version));
                }
                (known(&row, &version)?, stored.value)
            }
        };
        let fingerprint = self.it.keys.fingerprint(&value);
        let label = Label {
            at: at.clone(),
            which,
            fingerprint,
            engine: home.engine_name(),
            location: home.location(),
        };
        Ok(Fetched { label, value })
    }

    /// Why the engine has no current value: it is deleted, it never was, or somebody took it away there.
    async fn absent(&self, row: Option<&SecretRow>, at: &SecretRef) -> Problem {
        let Some(row) = row else { return no_such(at) };
        match self.wanted(row, at, None).await {
            Ok(_) => {
                Problem::not_found(format!("the current value of '{at}' was deleted in the engine itself"))
                    .remedy(format!("Undelete it there, or set it anew: `portctl secret set {at}`."))
            }
            Err(problem) => problem,
        }
    }

    /// The version that is meant, which has to be there still.
    async fn wanted(&self, row: &SecretRow, at: &SecretRef, number: Option<i64>) -> Result<VersionRow> {
        let number = number.or(row.current_number).unwrap_or(row.latest_number);
        let found = version(&self.it.database, row.id()?, number).await?.ok_or_else(|| {
            Problem::not_found(format!("'{at}' has no version {number}"))
                .remedy(format!("`portctl secret versions {at}` shows those that there are."))
        })?;
        found.expect_live(at)?;
        Ok(found)
    }

    /// Which version the engine's newest is: the current one where the value is equal, else the one
    /// that has the engine's number.
    async fn recognise(&self, row: Option<&SecretRow>, stored: &Stored) -> Result<Which> {
        let engine_version = i64::try_from(stored.version).unwrap_or(i64::MAX);
        let Some(row) = row else { return Ok(Which::Found { engine_version }) };
        let fingerprint = self.it.keys.fingerprint(&stored.value);
        let found: Option<VersionRow> = self
            .it
            .database
            .fetch_optional(
                sql(
                    "SELECT id, number, fingerprint, state, engine_version, sealed, wrapped_key, master_key \
                     FROM versions WHERE secret = $1 AND state = 'live' AND fingerprint = $2 \
                     AND (number = $3 OR engine_version = $4) ORDER BY number DESC",
                )
                .bind(row.id.as_str())
                .bind(fingerprint)
                .bind(row.current_number.unwrap_or(0))
                .bind(engine_version),
            )
            .await?;
        found.map_or(Ok(Which::Found { engine_version }), |version| known(row, &version))
    }
}

fn known(row: &SecretRow, version: &VersionRow) -> Result<Which> {
    Ok(Which::Known { secret: row.id()?, version: version.id()?, number: version.number })
}

fn lost(at: &SecretRef, version: &VersionRow) -> Problem {
    Problem::new(
        ProblemKind::EngineFault,
        format!("the engine no longer holds version {} of '{at}' as it was written", version.number),
    )
    .remedy("It keeps only so many versions, or somebody has changed it there.")
}
