//! What an environment holds now, for whoever keeps clusters as they should be.

use async_trait::async_trait;

use super::{Secrets, environment_of, fetch::Label, reveal::take_in};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        EnvironmentRef, Problem, Result, SecretName, SecretValue,
        ids::{SecretId, VersionId},
    },
    policy::{Action, Permit, Resource, Service},
};

/// The current version of a secret, with its value.
#[derive(Debug)]
pub struct Current {
    /// What it is called in this environment.
    pub name: SecretName,
    /// Which secret.
    pub secret: SecretId,
    /// Which version.
    pub version: VersionId,
    /// Its value.
    pub value: SecretValue,
}

impl Secrets {
    /// The current values of an environment, its own and those shared with it. `permit` is one to
    /// deliver it.
    ///
    /// # Errors
    /// `engine-unavailable`, `engine-fault`; a problem of the database.
    pub async fn current(&self, here: &EnvironmentRef, permit: Permit) -> Result<Vec<Current>> {
        if environment_of(&permit, Action::Deliver)?.at != *here {
            return Err(Problem::internal("a permit to deliver was used on another environment"));
        }
        let declared = self.it.catalog.snapshot().await?;
        let mut all = Vec::new();
        for (name, fetched) in self.fetch_all(&declared, here).await? {
            let (secret, version) = self.known(&permit, &fetched.label).await?;
            all.push(Current { name, secret, version, value: fetched.value });
        }
        Ok(all)
    }

    /// The version that a label means; one that was found in the engine is taken in.
    async fn known(&self, permit: &Permit, label: &Label) -> Result<(SecretId, VersionId)> {
        if let super::fetch::Which::Known { secret, version, .. } = label.which {
            return Ok((secret, version));
        }
        let environment = permit.resource().environment().cloned();
        let environment = environment.ok_or_else(|| Problem::internal("a permit for nowhere"))?;
        let permit =
            self.it.permits.permit(Service::Secrets, Action::Settle, Resource::Environment(environment))?;
        self.it.log.perform(TakeIn { permit, label: label.clone() }).await
    }
}

/// Takes a version in that somebody wrote in the engine past us.
struct TakeIn {
    permit: Permit,
    label: Label,
}

#[async_trait]
impl Unit for TakeIn {
    type Output = (SecretId, VersionId);

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let (secret, version, number) = take_in(work, &self.label).await?;
        let at = &self.label.at;
        work.record(Draft::act("secret.found").secret(&at.environment, &at.name).with("version", number));
        Ok((secret, version))
    }
}
