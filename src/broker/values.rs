//! Where the broker's values come from: the room of secrets.

use async_trait::async_trait;

use super::{CurrentValue, Values};
use crate::{
    base::{EnvironmentRef, Result},
    policy::Permit,
    secrets::{Current, Secrets},
};

#[async_trait]
impl Values for Secrets {
    async fn current(&self, at: &EnvironmentRef, permit: Permit) -> Result<Vec<CurrentValue>> {
        Ok(Secrets::current(self, at, permit).await?.into_iter().map(CurrentValue::from).collect())
    }
}

impl From<Current> for CurrentValue {
    fn from(it: Current) -> Self {
        Self { name: it.name, secret: it.secret, version: it.version, value: it.value }
    }
}
