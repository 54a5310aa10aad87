//! Secrets of a sandbox: set, generated, revealed, rolled back, and handed to a program.

use super::{Broken, Cast, Member, Story, ensure, refused, secret};
use crate::{
    base::{ProblemKind, Result, SecretValue},
    client::Generate,
};

const CHAPTER: &str = "Use";
pub(super) const SANDBOX_URL: &str = "reports/sandbox/DATABASE_URL";
pub(super) const SANDBOX_KEY: &str = "reports/sandbox/SESSION_KEY";

impl Story<'_> {
    pub(super) async fn keep(&self, cast: &Cast) -> Result<(), Broken> {
        let dana = &cast.dana;
        self.step(CHAPTER, "Dana sets and reveals a sandbox secret", self.set_and_reveal(dana)).await?;
        self.step(CHAPTER, "compare-and-set refuses a version that is not current", self.stale(dana)).await?;
        self.step(
            CHAPTER,
            "Dana rolls back, and generates a value that nobody has seen",
            self.roll_back(dana),
        )
        .await?;
        self.step(CHAPTER, "a program starts with the values of its environment", self.run_program(dana))
            .await
    }

    async fn set_and_reveal(&self, dana: &Member) -> Result<()> {
        let at = secret(SANDBOX_URL);
        for (version, text) in [(1, "postgres://sandbox/one"), (2, "postgres://sandbox/two")] {
            let made =
                dana.client.set_secret(&at, &SecretValue::from(text.to_owned()), Some(version - 1)).await?;
            ensure(made.version == version, "versions count from 1")?;
            let value = dana.client.reveal(&at, None).await?;
            ensure(value.value.expose() == text.as_bytes(), "what was set is revealed")?;
        }
        let first = dana.client.reveal(&at, Some(1)).await?;
        ensure(first.value.expose() == b"postgres://sandbox/one", "an earlier version is kept")
    }

    async fn stale(&self, dana: &Member) -> Result<()> {
        let value = SecretValue::from("lost".to_owned());
        let outcome = dana.client.set_secret(&secret(SANDBOX_URL), &value, Some(1)).await;
        refused(outcome, &[ProblemKind::PreconditionFailed]).map(drop)
    }

    async fn roll_back(&self, dana: &Member) -> Result<()> {
        let at = secret(SANDBOX_URL);
        let made = dana.client.roll_back_secret(&at, 1, None).await?;
        ensure(made.version == 3, "a roll-back is a version of its own")?;
        let value = dana.client.reveal(&at, None).await?;
        ensure(value.value.expose() == b"postgres://sandbox/one", "the old value is current again")?;
        dana.client.generate_secret(&secret(SANDBOX_KEY), &Generate::default()).await?;
        let names = dana.client.secrets(&at.environment).await?;
        ensure(names.len() == 2, "the list names both secrets")
    }

    async fn run_program(&self, dana: &Member) -> Result<()> {
        let values = dana.client.run_values(&secret(SANDBOX_URL).environment).await?;
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        ensure(names == ["DATABASE_URL", "SESSION_KEY"], "the program gets both values")
    }
}
