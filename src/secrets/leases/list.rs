//! Leases as they are shown; never credentials.

use super::{
    Lease, Leases, no_such,
    rows::{self, LeaseRow},
};
use crate::{
    base::{Result, ids::LeaseId},
    policy::{Action, Permit},
};

/// Whose leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    All,
    /// Those of one holder, as the log names whoever it is.
    Of(String),
}

impl Leases {
    /// Leases, the newest first, 500 at most; those that are open, or all. One's own under a permit to see one's
    /// own, anybody's under one to see people.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn list(&self, permit: &Permit, whose: &Whose, ended: bool) -> Result<Vec<Lease>> {
        let own = Whose::Of(permit.principal().to_string());
        let whose = if permit.action() == Action::SeeOwn {
            &own
        } else {
            permit.expect(Action::SeePeople)?;
            whose
        };
        let open = if ended { "" } else { "AND l.state <> 'ended'" };
        let order = "ORDER BY l.created_at DESC, l.id LIMIT 500";
        let query = match whose {
            Whose::All => rows::leases(&format!("WHERE 1 = 1 {open} {order}")),
            Whose::Of(principal) => {
                rows::leases(&format!("WHERE l.principal = $1 {open} {order}")).bind(principal)
            }
        };
        let rows: Vec<LeaseRow> = self.it.database.fetch_all(query).await?;
        rows.into_iter().map(Lease::try_from).collect()
    }

    /// One lease: one's own under a permit to see one's own, anybody's under one to see people.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show(&self, permit: &Permit, id: LeaseId) -> Result<Lease> {
        let lease = self.get(id).await?;
        match permit.action() {
            Action::SeeOwn if lease.principal == permit.principal().to_string() => Ok(lease),
            Action::SeeOwn => Err(no_such(id)),
            _ => permit.expect(Action::SeePeople).map(|()| lease),
        }
    }

    /// For finding out whose it is: what is told of it takes a permit.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn holder(&self, id: LeaseId) -> Result<String> {
        Ok(self.get(id).await?.principal)
    }

    pub(super) async fn get(&self, id: LeaseId) -> Result<Lease> {
        let row: Option<LeaseRow> = self.it.database.fetch_optional(rows::lease(id)).await?;
        row.map(Lease::try_from).transpose()?.ok_or_else(|| no_such(id))
    }
}
