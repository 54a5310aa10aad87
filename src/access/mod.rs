//! Who may do what now: the gate that people get their permits at; requests, approvals and grants.

mod approvers;
mod ask;
mod belonging;
mod decide;
mod expiry;
mod facts;
mod gate;
mod grants;
mod lease_ends;
mod lease_rights;
mod movers;
mod moves;
mod powers;
mod protected;
pub mod reach;
mod request;
mod requests;
mod scope_choice;
mod workload;

#[cfg(test)]
pub(crate) mod house;
#[cfg(test)]
mod tests;

pub use approvers::Approver;
pub use ask::{Ask, Asked};
pub use decide::{Decision, Verdict};
pub use expiry::Expiry;
pub use facts::RowsOfNow;
pub use gate::{Gate, GateParts, Standing};
pub use grants::{Grant, end as end_grant, grants_of, move_facts, stored, stored_environment};
pub use movers::{Movers, MoversParts};
pub use moves::{Move, Moved, Moves};
pub use powers::{Power, powers_of};
pub use protected::DeclaredProtected;
pub use request::{Request, RequestState, withdraw};
pub use requests::Requests;
pub use workload::WorkloadStanding;
