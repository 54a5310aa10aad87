//! Versions, exposures, what is never found in the database, and remote engines that fail.

mod faulty;
mod histories;
mod versions;

use std::sync::Arc;

use super::{Made, Parts, RemoteEngine, Revealed, Secrets};
use crate::{
    access::house::House,
    base::{Result, SecretRef, SecretValue, ids::PersonId},
    keys::{Keys, MasterKey},
    policy::{Action, Permit, Resource},
    store::sql,
};

const A: &str = "reports/production/A";

/// A house with secrets, and somebody to use them.
struct Room {
    house: House,
    secrets: Secrets,
    keys: Keys,
    dana: PersonId,
}

impl Room {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(remote: Option<Arc<dyn RemoteEngine>>) -> Self {
        let house = House::new().await;
        let master = MasterKey::Raw(zeroize::Zeroizing::new([7; 32]));
        let keys = Keys::open(&house.database, master, house.ambient.clone()).await.unwrap();
        let secrets = Secrets::new(Parts {
            database: house.database.clone(),
            log: house.log.clone(),
            catalog: house.catalog.clone(),
            keys: keys.clone(),
            ambient: house.ambient.clone(),
            remote,
            permits: Arc::clone(&house.services) as _,
        });
        let dana = house.person("Dana", &["engineering"]).await;
        Self { house, secrets, keys, dana }
    }

    async fn permit(&self, at: &str, action: Action) -> Permit {
        let at: SecretRef = at.parse().unwrap();
        let facts = self.house.catalog.snapshot().await.unwrap().environment(&at.environment).unwrap();
        self.house.permit(self.dana, action, Resource::Secret(facts, at.name)).await
    }

    async fn set(&self, at: &str, value: &str, expect: Option<i64>) -> Result<Made> {
        let value = SecretValue::from(value.to_owned());
        self.secrets.set(self.permit(at, Action::Set).await, value, expect).await
    }

    async fn reveal(&self, at: &str, number: Option<i64>) -> Result<Revealed> {
        self.secrets.reveal(self.permit(at, Action::Reveal).await, number).await
    }

    async fn exposures(&self, how: &str) -> i64 {
        let query = sql("SELECT CAST(count(*) AS BIGINT) FROM exposures WHERE how = $1").bind(how);
        self.house.count(query).await
    }
}
