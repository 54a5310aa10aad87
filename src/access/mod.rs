//! Requests, approvals and grants: asking for a trust scope for a while.

mod approvers;
mod expiry;
mod grants;
mod requests;

#[cfg(test)]
pub(crate) mod house;
#[cfg(test)]
mod tests;

pub use approvers::Approver;
pub use expiry::Expiry;
pub use grants::{Grant, end as end_grant, grants_of, move_facts, stored, stored_environment};
pub use requests::{Ask, Asked, Decision, Request, RequestState, Requests, Verdict, withdraw};
