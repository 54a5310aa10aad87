//! New versions: set, generated, rolled back, made by a rotator.

use async_trait::async_trait;

use super::{
    Recipe, Secrets, embedded,
    exposure::{How, Knower, note},
    place::Home,
    rows::{LIVE, NewVersion, SecretRow, add_version, secret_in, secret_or_new, version_in},
    secret_of,
    settle::{Op, Pending},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Ambient, Problem, ProblemKind, Result, SecretRef, SecretValue, ids::VersionId},
    keys::Keys,
    policy::{Action, EnvironmentFacts, Permit},
};

/// A version that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id.
    pub id: VersionId,
    /// Its number.
    pub number: i64,
    /// Whether its value is the one that was current before.
    pub equal_to_previous: bool,
}

/// Where a new value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Somebody entered it, and knows it.
    Entered,
    /// It was made here, and nobody has seen it.
    Generated,
    /// A rotator made it, and nobody has seen it.
    Rotated,
    /// It is that of an earlier version.
    RolledBack {
        /// Which.
        to: i64,
    },
}

impl Origin {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Generated => "generated",
            Self::Rotated => "rotated",
            Self::RolledBack { .. } => "rolled-back",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Entered => "secret.set",
            Self::Generated => "secret.generated",
            Self::Rotated => "secret.rotated",
            Self::RolledBack { .. } => "secret.rolled-back",
        }
    }

    /// What it takes.
    const fn permitted_by(self) -> Action {
        match self {
            Self::Rotated => Action::Rotate,
            _ => Action::Set,
        }
    }

    pub(super) fn draft(self, at: &SecretRef) -> Draft {
        let draft = Draft::act(self.action()).secret(&at.environment, &at.name);
        match self {
            Self::RolledBack { to } => draft.with("to", to),
            _ => draft,
        }
    }
}

/// A value that is to become the next version.
struct NewValue {
    at: SecretRef,
    environment: EnvironmentFacts,
    value: SecretValue,
    origin: Origin,
    expect: Option<i64>,
}

impl Secrets {
    /// Makes a new version of the secret that the permit is for. `expect` is the number that the newest
    /// has to have still; 0 where there must be none.
    ///
    /// # Errors
    /// `precondition-failed`, `too-large`, `managed-by-files`, `conflict` where another owns and shares it; `engine-unavailable`, `engine-fault`;
    /// `outcome-unknown` where the engine did not say whether it wrote; those of
    /// [`crate::audit::Log::perform`].
    pub async fn set(&self, permit: Permit, value: SecretValue, expect: Option<i64>) -> Result<Made> {
        self.write(permit, value, Origin::Entered, expect).await
    }

    /// The same with a value that nobody has seen.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn generate(&self, permit: Permit, recipe: &Recipe, expect: Option<i64>) -> Result<Made> {
        self.write(permit, recipe.make(&self.it.ambient), Origin::Generated, expect).await
    }

    /// The same with the value of an earlier version.
    ///
    /// # Errors
    /// As [`Self::set`]; `not-found` where that version has no value any more.
    pub async fn rollback(&self, permit: Permit, to: i64, expect: Option<i64>) -> Result<Made> {
        let (_, at) = secret_of(&permit, Action::Set)?;
        let declared = self.it.catalog.snapshot().await?;
        let old = self.fetch(&declared, &at, Some(to)).await?;
        self.write(permit, old.value, Origin::RolledBack { to }, expect).await
    }

    /// The same with a value that a rotator made. `permit` is one to rotate.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn set_rotated(&self, permit: Permit, value: SecretValue, expect: i64) -> Result<Made> {
        self.write(permit, value, Origin::Rotated, Some(expect)).await
    }

    async fn write(
        &self,
        permit: Permit,
        value: SecretValue,
        origin: Origin,
        expect: Option<i64>,
    ) -> Result<Made> {
        let (environment, at) = secret_of(&permit, origin.permitted_by())?;
        if value.len() > SecretValue::LONGEST {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                format!("a value has {} bytes at most", SecretValue::LONGEST),
            ));
        }
        let declared = self.it.catalog.snapshot().await?;
        let home = self.writable_home(&declared, &at).await?;
        let new = NewValue { at, environment, value, origin, expect };
        match home {
            Home::Embedded => self.write_embedded(permit, new).await,
            home @ Home::Remote { .. } => self.write_remote(permit, home, new).await,
        }
    }

    async fn write_embedded(&self, permit: Permit, new: NewValue) -> Result<Made> {
        let fingerprint = self.it.keys.fingerprint(&new.value);
        let (keys, ambient) = (self.it.keys.clone(), self.it.ambient.clone());
        self.it.log.perform(WriteEmbedded { permit, keys, ambient, new, fingerprint }).await
    }

    /// Between an intent and an outcome: what was written is known by the number that the engine gives
    /// next, and by its fingerprint.
    async fn write_remote(&self, permit: Permit, home: Home, new: NewValue) -> Result<Made> {
        let Home::Remote { engine, place, .. } = &home else {
            return Err(Problem::internal("a remote write to no remote engine"));
        };
        let expected = engine.newest(place).await?;
        let pending = Pending {
            at: new.at.clone(),
            team: new.environment.owner.clone(),
            protected: new.environment.protected,
            by: permit.principal().to_string(),
            scope: permit.scope().cloned(),
            place: place.clone(),
            op: Op::Write {
                engine_version: expected + 1,
                fingerprint: self.it.keys.fingerprint(&new.value),
                origin: new.origin.as_str().to_owned(),
                exposed: new.origin == Origin::Entered,
            },
        };
        let draft = new.origin.draft(&new.at);
        let intent = self.begin(permit, pending.clone(), draft, new.expect).await?;
        let written = engine.write(place, &new.value, expected).await;
        self.conclude(intent, &home, &pending, written.map(drop))
            .await?
            .ok_or_else(|| Problem::internal("a version was written and has no number"))
    }
}

struct WriteEmbedded {
    permit: Permit,
    keys: Keys,
    ambient: Ambient,
    new: NewValue,
    fingerprint: [u8; 32],
}

#[async_trait]
impl Unit for WriteEmbedded {
    type Output = Made;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Made> {
        let new = &self.new;
        expect_newest(secret_in(work, &new.at).await?.as_ref(), &new.at, new.expect)?;
        let row = secret_or_new(work, &new.at, "embedded", None).await?;
        let equal_to_previous = is_current(work, &row, &self.fingerprint).await?;
        let sealed = embedded::seal(&self.keys, &self.ambient, &new.at, row.latest_number + 1, &new.value);
        let version = NewVersion {
            fingerprint: self.fingerprint,
            origin: new.origin.as_str(),
            by: &self.permit.principal().to_string(),
            engine_version: None,
            sealed: Some(sealed),
        };
        let (id, number) = add_version(work, &row, version).await?;
        if new.origin == Origin::Entered {
            let principal = self.permit.principal().to_string();
            let knower = Knower { principal: &principal, scope: self.permit.scope() };
            note(work, knower, row.id()?, id, &self.fingerprint, How::Entered).await?;
        }
        work.record(new.origin.draft(&new.at).with("version", number).with("equal", equal_to_previous));
        Ok(Made { id, number, equal_to_previous })
    }
}

/// Whether the current value has this fingerprint.
pub(super) async fn is_current(work: &mut Work<'_>, row: &SecretRow, fingerprint: &[u8; 32]) -> Result<bool> {
    let Some(number) = row.current_number else { return Ok(false) };
    let current = version_in(work, row.id()?, number).await?;
    Ok(current.is_some_and(|it| it.state == LIVE && it.fingerprint == fingerprint))
}

/// Refuses where the newest version is not the one that was expected.
pub(super) fn expect_newest(row: Option<&SecretRow>, at: &SecretRef, expect: Option<i64>) -> Result<()> {
    let newest = row.map_or(0, |row| row.latest_number);
    match expect {
        Some(expected) if expected != newest => Err(Problem::new(
            ProblemKind::PreconditionFailed,
            format!("the newest version of '{at}' is {newest}, not {expected}"),
        )
        .with("version", newest)
        .remedy("Look at what changed (`portctl secret versions`), then try again.")),
        _ => Ok(()),
    }
}
