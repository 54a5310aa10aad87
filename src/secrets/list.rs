//! Names, versions and states; never values.

use std::collections::BTreeMap;

use super::{
    Secrets, environment_of, no_such,
    rows::{secret, secrets_query},
    secret_of,
};
use crate::{
    base::{EnvironmentRef, Name, Result, SecretName, SecretRef, Timestamp},
    catalog::Snapshot,
    policy::{Action, Permit},
    store::sql,
};

/// A secret as a list shows it.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Its id; empty for one that files declare and nobody has used yet.
    pub id: String,
    /// What it is called in this environment.
    pub name: String,
    /// The current version; nothing where that is deleted.
    pub version: Option<i64>,
    /// How many versions there have been.
    pub versions: i64,
    /// When it last changed.
    pub changed_at: Option<Timestamp>,
    /// Who made the newest version, as the log names her.
    pub changed_by: Option<String>,
    /// The application that shares it with this one.
    pub shared_by: Option<Name>,
}

/// A version as a list shows it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct VersionLine {
    /// Its id.
    pub id: String,
    /// Its number.
    pub number: i64,
    /// `live`, `deleted` or `destroyed`.
    pub state: String,
    /// `entered`, `generated`, `rotated`, `rolled-back` or `found`.
    pub origin: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: i64,
    /// Who made it, as the log names her.
    pub created_by: String,
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    id: String,
    current_number: Option<i64>,
    latest_number: i64,
    changed_at: i64,
    created_by: Option<String>,
}

impl Secrets {
    /// The secrets of the environment that the permit is for, its own and those shared with it, by name.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn list(&self, permit: Permit) -> Result<Vec<Listed>> {
        let here = environment_of(&permit, Action::List)?.at;
        let declared = self.it.catalog.snapshot().await?;
        let mut all = Vec::new();
        for (name, owner) in self.names_in(&declared, &here).await? {
            let shared_by = (owner.environment != here).then(|| owner.environment.application.clone());
            all.push(Listed { name: name.to_string(), shared_by, ..self.line(&owner).await? });
        }
        Ok(all)
    }

    async fn line(&self, at: &SecretRef) -> Result<Listed> {
        let row: Option<ListedRow> = self
            .it
            .database
            .fetch_optional(
                sql("SELECT s.id, s.current_number, s.latest_number, s.changed_at, v.created_by FROM secrets s \
                     LEFT JOIN versions v ON v.secret = s.id AND v.number = s.latest_number \
                     WHERE s.application = $1 AND s.environment = $2 AND s.team = $3 AND s.name = $4")
                .bind(&at.environment.application)
                .bind(&at.environment.environment)
                .bind(at.environment.team_column())
                .bind(&at.name),
            )
            .await?;
        Ok(row.map_or_else(Listed::default, |row| Listed {
            id: row.id,
            version: row.current_number,
            versions: row.latest_number,
            changed_at: Some(Timestamp::from_millis(row.changed_at)),
            changed_by: row.created_by,
            ..Listed::default()
        }))
    }

    /// The versions of the secret that the permit is for, the newest first.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn versions(&self, permit: Permit) -> Result<Vec<VersionLine>> {
        let (_, at) = secret_of(&permit, Action::List)?;
        let declared = self.it.catalog.snapshot().await?;
        let owner = self.resolve(&declared, &at).await?;
        let row = secret(&self.it.database, &owner).await?.ok_or_else(|| no_such(&at))?;
        let query = sql("SELECT id, number, state, origin, created_at, created_by FROM versions \
                         WHERE secret = $1 ORDER BY number DESC")
        .bind(row.id.as_str());
        Ok(self.it.database.fetch_all(query).await?)
    }

    /// Every name in an environment, and whose secret it is. An environment's own hides one that is
    /// shared with it under the same name.
    pub(super) async fn names_in(
        &self,
        declared: &Snapshot,
        here: &EnvironmentRef,
    ) -> Result<BTreeMap<SecretName, SecretRef>> {
        let mut names = BTreeMap::new();
        for shared in declared.shares_into(&here.application, &here.environment) {
            names.insert(shared.name.clone(), shared);
        }
        let own = |name: SecretName| (name.clone(), SecretRef { environment: here.clone(), name });
        let application = declared.applications.get(&here.application).filter(|_| here.team.is_none());
        let external = application.into_iter().flat_map(|it| &it.secrets);
        names.extend(external.filter(|it| it.environment == here.environment).map(|it| own(it.name.clone())));
        let rows: Vec<super::rows::SecretRow> = self.it.database.fetch_all(secrets_query(here)).await?;
        for row in rows {
            names.extend([own(row.name()?)]);
        }
        Ok(names)
    }
}
