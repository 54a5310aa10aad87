//! Closing a leaver by hand: for what cannot be closed by itself, such as a secret whose service is gone.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Revocation,
    leaver::{LeaverRow, one_query},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, Result, ids::PersonId},
    catalog::Snapshot,
    policy::{Action, Permit},
    store::sql,
};

impl Revocation {
    /// Closes a leaver of whom something is left. Nothing of it is forgotten: what can still be taken is
    /// taken, what is left stays counted, and the list says who closed her and why.
    ///
    /// # Errors
    /// `invalid-request` without a reason; `conflict` where she has not left, is closed, or was not looked
    /// at yet.
    pub async fn close(&self, permit: Permit, person: PersonId, reason: &str) -> Result<()> {
        permit.expect(Action::ManagePeople)?;
        if reason.trim().is_empty() {
            return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
        }
        let declared = self.catalog.snapshot().await?;
        self.log.perform(Close { permit, person, reason: reason.to_owned(), declared }).await
    }
}

struct Close {
    permit: Permit,
    person: PersonId,
    reason: String,
    declared: Arc<Snapshot>,
}

#[async_trait]
impl Unit for Close {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let row: Option<LeaverRow> = work.fetch_optional(one_query(&self.declared, self.person)).await?;
        let row = row.ok_or_else(|| Problem::conflict(format!("{} has not left", self.person)))?;
        let touched = work
            .execute(
                sql("UPDATE leavers SET closed_at = $3, outcome = 'by-hand', closed_by = $4, closed_because = $5 \
                     WHERE person = $1 AND since = $2 AND closed_at IS NULL")
                .bind(self.person)
                .bind(row.since)
                .bind(work.now())
                .bind(self.permit.principal().to_string())
                .bind(&self.reason),
            )
            .await?;
        if touched == 0 {
            return Err(Problem::conflict(format!(
                "{} is closed already, or was not looked at yet",
                self.person
            ))
            .remedy(format!("`portctl leaver show {}` says which.", self.person)));
        }
        work.record(
            Draft::act("leaver.closed")
                .subject(self.person)
                .resource(self.person)
                .reason(&self.reason)
                .with("outcome", "by-hand")
                .with("left", row.left.total()),
        );
        Ok(())
    }
}
