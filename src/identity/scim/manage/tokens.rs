//! A connection's tokens: two are alive at once, so that one can take over from the other.

use async_trait::async_trait;

use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, Result, SecretValue},
    identity::{
        scim::{Scim, connection::PREFIX},
        token::{hash_of, new_token},
    },
    policy::{Action, Permit},
    store::sql,
};

impl Scim {
    /// Makes another token. The one before it goes on; one that is older ends.
    ///
    /// # Errors
    /// `not-found`; `conflict` where the connection is disabled.
    pub async fn rotate_token(&self, permit: Permit, name: &Name) -> Result<SecretValue> {
        permit.expect(Action::ManageConnections)?;
        let token = new_token(&self.parts().ambient, PREFIX);
        let unit = Rotate { permit, name: name.clone(), token_hash: hash_of(token.expose()) };
        self.parts().log.perform(unit).await?;
        Ok(token)
    }

    /// Ends all tokens of a connection but the newest. How many they were.
    ///
    /// # Errors
    /// `not-found`; `conflict` where there is none but the newest.
    pub async fn retire_tokens(&self, permit: Permit, name: &Name) -> Result<u64> {
        permit.expect(Action::ManageConnections)?;
        self.parts().log.perform(Retire { permit, name: name.clone() }).await
    }
}

/// Refuses what is done to a connection that is not there, or is disabled.
pub(super) async fn check_enabled(work: &mut Work<'_>, name: &Name) -> Result<()> {
    let row: Option<(Option<i64>,)> = work
        .fetch_optional(sql("SELECT disabled_at FROM scim_connections WHERE name = $1").bind(name))
        .await?;
    match row {
        None => Err(Problem::not_found(format!("there is no connection '{name}'"))
            .remedy("`portctl scim connection list` shows those that there are.")),
        Some((Some(_),)) => Err(Problem::conflict(format!("the connection '{name}' is disabled"))
            .remedy("Make another one: `portctl scim connection create`.")),
        Some((None,)) => Ok(()),
    }
}

/// Ends all live tokens but the `kept` newest. How many they were.
async fn end_but(work: &mut Work<'_>, name: &Name, kept: i64) -> Result<u64> {
    work.execute(
        sql("UPDATE scim_tokens SET ended_at = $2 WHERE connection = $1 AND ended_at IS NULL \
             AND token_hash NOT IN (SELECT token_hash FROM scim_tokens WHERE connection = $1 \
             AND ended_at IS NULL ORDER BY created_at DESC, token_hash LIMIT $3)")
        .bind(name)
        .bind(work.now())
        .bind(kept),
    )
    .await
}

struct Rotate {
    permit: Permit,
    name: Name,
    token_hash: [u8; 32],
}

#[async_trait]
impl Unit for Rotate {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        check_enabled(work, &self.name).await?;
        let ended = end_but(work, &self.name, 1).await?;
        work.execute(
            sql("INSERT INTO scim_tokens (token_hash, connection, created_at) VALUES ($1, $2, $3)")
                .bind(self.token_hash)
                .bind(&self.name)
                .bind(work.now()),
        )
        .await?;
        work.record(
            Draft::act("connection.token-made")
                .resource(format!("connection/{}", self.name))
                .with("ended", ended),
        );
        Ok(())
    }
}

struct Retire {
    permit: Permit,
    name: Name,
}

#[async_trait]
impl Unit for Retire {
    type Output = u64;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<u64> {
        check_enabled(work, &self.name).await?;
        let ended = end_but(work, &self.name, 1).await?;
        if ended == 0 {
            return Err(Problem::conflict(format!("the connection '{}' has one token", self.name)));
        }
        work.record(
            Draft::act("connection.tokens-ended")
                .resource(format!("connection/{}", self.name))
                .with("ended", ended),
        );
        Ok(ended)
    }
}
