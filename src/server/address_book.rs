//! Where people and teams are told: as files and identity providers say.

use async_trait::async_trait;

use crate::{
    base::Result,
    catalog::Catalog,
    notify::AddressBook,
    store::{Database, sql},
};

/// Addresses as the database has them now.
pub(super) struct Addresses {
    pub(super) database: Database,
    pub(super) catalog: Catalog,
}

#[async_trait]
impl AddressBook for Addresses {
    async fn of_team(&self, team: &str) -> Result<Option<String>> {
        let declared = self.catalog.snapshot().await?;
        Ok(declared
            .contacts
            .iter()
            .find(|(name, _)| name.as_str() == team)
            .map(|(_, contact)| contact.clone()))
    }

    async fn of_person(&self, person: &str) -> Result<Option<String>> {
        let row: Option<(String,)> = self
            .database
            .fetch_optional(
                sql("SELECT email FROM people WHERE id = $1 AND status = 'active' AND email <> ''")
                    .bind(person),
            )
            .await?;
        Ok(row.map(|(email,)| email))
    }
}
