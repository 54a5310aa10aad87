//! Taking a connection out of use.

use async_trait::async_trait;

use super::tokens::check_enabled;
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, Result},
    identity::{removal::Removals, scim::Scim},
    policy::{Action, Permit},
    store::sql,
};

impl Scim {
    /// Takes a connection out of use, for good. Whom it provisioned stays as she is; what it said of groups
    /// holds no longer.
    ///
    /// # Errors
    /// `not-found`; `conflict` where it is disabled already, or nobody else says who administers;
    /// `invalid-request` without a reason.
    pub async fn disable_connection(&self, permit: Permit, name: &Name, reason: &str) -> Result<()> {
        permit.expect(Action::ManageConnections)?;
        if reason.trim().is_empty() {
            return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
        }
        let removals = self.parts().removals.clone();
        self.parts()
            .log
            .perform(Disable { permit, name: name.clone(), reason: reason.to_owned(), removals })
            .await
    }
}

struct Disable {
    permit: Permit,
    name: Name,
    reason: String,
    removals: Removals,
}

#[async_trait]
impl Unit for Disable {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        check_enabled(work, &self.name).await?;
        self.removals.check_not_the_only(work, &self.name).await?;
        // Every session, grant and lease that rests on its groups is decided on anew.
        let people = work
            .execute(
                sql("UPDATE people SET facts = facts + 1 \
                     WHERE id IN (SELECT person FROM memberships WHERE source = $1)")
                .bind(&self.name),
            )
            .await?;
        work.execute(
            sql("UPDATE scim_connections SET disabled_at = $2, version = version + 1 WHERE name = $1")
                .bind(&self.name)
                .bind(work.now()),
        )
        .await?;
        work.record(
            Draft::act("connection.disabled")
                .resource(format!("connection/{}", self.name))
                .reason(&self.reason)
                .with("people", people),
        );
        Ok(())
    }
}
