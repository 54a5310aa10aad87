//! Trying whether a connection's people are those who sign in.

use crate::{
    base::{Name, Problem, Result},
    identity::{
        oidc::is_entra,
        scim::{Connection, Scim},
    },
    policy::{Action, Permit},
    store::sql,
};

/// What trying came to.
#[derive(Clone, Debug)]
pub struct Checked {
    /// People who are linked with an account.
    pub linked: i64,
    /// Of them, those by whose account somebody has signed in: the link is the right one.
    pub signed_in: i64,
    /// People whose attribute that links is missing.
    pub unlinked: i64,
    /// Values of that attribute that several people have.
    pub ambiguous: i64,
    /// Accounts of the provider by which somebody signed in and whom the connection does not have.
    pub strangers: i64,
    /// What is wrong, each with what to do.
    pub findings: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct Numbers {
    signed_in: i64,
    ambiguous: i64,
    strangers: i64,
}

impl Scim {
    /// Tries the linking of a connection.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn check_connection(&self, permit: &Permit, name: &Name) -> Result<Checked> {
        permit.expect(Action::ManageConnections)?;
        self.try_linking(name).await
    }

    /// The same of all connections that are in use, on the server's own machine.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn check_connections(&self, permit: &Permit) -> Result<Vec<(Name, Checked)>> {
        permit.expect(Action::Operate)?;
        let names: Vec<(String,)> = self
            .parts()
            .database
            .fetch_all(sql("SELECT name FROM scim_connections WHERE disabled_at IS NULL ORDER BY name"))
            .await?;
        let mut all = Vec::with_capacity(names.len());
        for (name,) in names {
            let name: Name = name.parse().map_err(Problem::internal)?;
            let checked = self.try_linking(&name).await?;
            all.push((name, checked));
        }
        Ok(all)
    }

    async fn try_linking(&self, name: &Name) -> Result<Checked> {
        let connection = self.connection(name).await?;
        let counts = self.counts(name).await?;
        let numbers: Option<Numbers> = self
            .parts()
            .database
            .fetch_optional(
                sql("SELECT \
                     (SELECT CAST(count(*) AS BIGINT) FROM scim_users u WHERE u.connection = $1 \
                      AND u.deleted_at IS NULL AND EXISTS (SELECT 1 FROM sessions s \
                      WHERE s.person = u.person AND s.issuer = $2)) AS signed_in, \
                     (SELECT CAST(count(*) AS BIGINT) FROM (SELECT u.external_id FROM scim_users u \
                      WHERE u.connection = $1 AND u.deleted_at IS NULL AND u.external_id IS NOT NULL \
                      GROUP BY u.external_id HAVING count(*) > 1) AS twice) AS ambiguous, \
                     (SELECT CAST(count(*) AS BIGINT) FROM accounts a WHERE a.issuer = $2 \
                      AND NOT EXISTS (SELECT 1 FROM scim_users u WHERE u.connection = $1 \
                      AND u.person = a.person AND u.deleted_at IS NULL)) AS strangers")
                .bind(name)
                .bind(&connection.issuer),
            )
            .await?;
        let numbers = numbers.unwrap_or(Numbers { signed_in: 0, ambiguous: 0, strangers: 0 });
        let mut checked = Checked {
            linked: counts.linked,
            signed_in: numbers.signed_in,
            unlinked: counts.people - counts.linked,
            ambiguous: numbers.ambiguous,
            strangers: numbers.strangers,
            findings: Vec::new(),
        };
        checked.findings = self.findings(&connection, &checked);
        Ok(checked)
    }

    fn findings(&self, connection: &Connection, checked: &Checked) -> Vec<String> {
        let mut found = Vec::new();
        let (name, attribute) = (&connection.name, connection.link.attribute());
        match self.provider(&connection.provider) {
            None => found.push(format!(
                "no identity provider '{}' is configured any more: nobody can sign in as these people",
                connection.provider
            )),
            Some(provider) if provider.issuer != connection.issuer => found.push(format!(
                "the identity provider '{}' has another issuer now than when the connection was made: make \
                 another connection",
                connection.provider
            )),
            Some(provider) => {
                let wanted = if is_entra(&provider.issuer) { "oid" } else { "sub" };
                if connection.link.claim() != wanted {
                    found.push(format!("people of '{}' are known by their claim {wanted}", provider.name));
                }
            }
        }
        if connection.heard_at.is_none() {
            found.push(format!("'{name}' was never heard of: is its token with the identity provider?"));
        }
        if checked.unlinked > 0 {
            found.push(format!(
                "{} people have no {attribute}, and cannot sign in: map it in the identity provider \
                 (`portctl person list --unlinked`)",
                checked.unlinked
            ));
        }
        if checked.ambiguous > 0 {
            found.push(format!("{} values of externalId are several people's", checked.ambiguous));
        }
        if checked.linked > 0 && checked.signed_in == 0 && checked.strangers > 0 {
            found.push(format!(
                "nobody who is linked has signed in, and {} people who signed in are not provisioned: \
                 {attribute} may not be what the provider says as its claim {}",
                checked.strangers,
                connection.link.claim()
            ));
        }
        found
    }
}
