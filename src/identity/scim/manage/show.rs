//! Connections as administrators see them.

use crate::{
    base::{Name, Result, Timestamp},
    identity::scim::{
        Connection, Refusal, Scim,
        connection::{COLUMNS, ConnectionRow},
    },
    policy::{Action, Permit},
    store::{Query, sql},
};

/// A token that is alive, without the token.
#[derive(Clone, Debug)]
pub struct TokenShown {
    /// When it was made.
    pub created_at: Timestamp,
}

/// How many a connection has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct ConnectionCounts {
    /// People.
    pub people: i64,
    /// Of them, those who are linked with an account.
    pub linked: i64,
    /// Groups.
    pub groups: i64,
    /// Members of all groups together.
    pub members: i64,
}

/// A connection with everything around it.
#[derive(Clone, Debug)]
pub struct ConnectionShown {
    /// As it is set.
    pub connection: Connection,
    /// Its live tokens, the newest first.
    pub tokens: Vec<TokenShown>,
    /// How many it has.
    pub counts: ConnectionCounts,
    /// What was refused to it lately, the newest first.
    pub refusals: Vec<Refusal>,
}

/// A provisioned person whom no account is known for.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct UnlinkedPerson {
    /// Her id in SCIM.
    pub id: String,
    /// What she is called by.
    pub user_name: String,
    /// The id that the identity provider has for her.
    pub external_id: Option<String>,
    /// Whether she is said to work here.
    pub active: bool,
}

/// A provisioned group, and what files declare an alias for.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ScimGroupLine {
    /// Its id in SCIM.
    pub id: String,
    /// The `id` of a group that files declare.
    pub group_id: String,
    /// What it is called, for display.
    pub display_name: String,
    /// How many are in it.
    pub members: i64,
}

impl Scim {
    /// All connections, by name.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn connections(&self, permit: &Permit) -> Result<Vec<Connection>> {
        permit.expect(Action::ManageConnections)?;
        let text = format!("SELECT {COLUMNS} FROM scim_connections c ORDER BY c.name");
        let rows: Vec<ConnectionRow> =
            self.parts().database.fetch_all(Query::composed(text, Vec::new())).await?;
        rows.into_iter().map(Connection::try_from).collect()
    }

    /// One of them, with everything around it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_connection(&self, permit: &Permit, name: &Name) -> Result<ConnectionShown> {
        permit.expect(Action::ManageConnections)?;
        let connection = self.connection(name).await?;
        let tokens: Vec<(i64,)> = self
            .parts()
            .database
            .fetch_all(
                sql("SELECT created_at FROM scim_tokens WHERE connection = $1 AND ended_at IS NULL \
                     ORDER BY created_at DESC")
                .bind(name),
            )
            .await?;
        Ok(ConnectionShown {
            connection,
            tokens: tokens
                .into_iter()
                .map(|(at,)| TokenShown { created_at: Timestamp::from_millis(at) })
                .collect(),
            counts: self.counts(name).await?,
            refusals: self.refusals(name).await?,
        })
    }

    pub(super) async fn counts(&self, name: &Name) -> Result<ConnectionCounts> {
        let counts: Option<ConnectionCounts> = self
            .parts()
            .database
            .fetch_optional(
                sql("SELECT \
                     (SELECT CAST(count(*) AS BIGINT) FROM scim_users u WHERE u.connection = $1 \
                      AND u.deleted_at IS NULL) AS people, \
                     (SELECT CAST(count(*) AS BIGINT) FROM scim_users u WHERE u.connection = $1 \
                      AND u.deleted_at IS NULL AND u.person IS NOT NULL) AS linked, \
                     (SELECT CAST(count(*) AS BIGINT) FROM scim_groups g WHERE g.connection = $1 \
                      AND g.deleted_at IS NULL) AS groups, \
                     (SELECT CAST(count(*) AS BIGINT) FROM scim_members m JOIN scim_groups g \
                      ON g.id = m.group_id WHERE g.connection = $1) AS members")
                .bind(name),
            )
            .await?;
        Ok(counts.unwrap_or_default())
    }

    /// People of a connection whom no account is known for; a thousand at most.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn unlinked(&self, permit: &Permit, name: &Name) -> Result<Vec<UnlinkedPerson>> {
        permit.expect(Action::ManageConnections)?;
        self.connection(name).await?;
        Ok(self
            .parts()
            .database
            .fetch_all(
                sql("SELECT id, user_name, external_id, active FROM scim_users \
                     WHERE connection = $1 AND person IS NULL AND deleted_at IS NULL ORDER BY id LIMIT 1000")
                .bind(name),
            )
            .await?)
    }

    /// Groups of a connection, by their names; a thousand at most.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn connection_groups(&self, permit: &Permit, name: &Name) -> Result<Vec<ScimGroupLine>> {
        permit.expect(Action::ManageConnections)?;
        self.connection(name).await?;
        Ok(self
            .parts()
            .database
            .fetch_all(
                sql("SELECT g.id, g.group_id, g.display_name, (SELECT CAST(count(*) AS BIGINT) \
                     FROM scim_members m WHERE m.group_id = g.id) AS members FROM scim_groups g \
                     WHERE g.connection = $1 AND g.deleted_at IS NULL ORDER BY g.display_key, g.id LIMIT 1000")
                .bind(name),
            )
            .await?)
    }
}
