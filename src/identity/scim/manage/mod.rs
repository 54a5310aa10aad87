//! Connections as administrators make, see and end them.

mod check;
mod create;
mod end;
mod set;
mod show;
mod tokens;

pub use check::Checked;
pub use create::{ConnectionSettings, NewConnection};
pub use set::ConnectionChange;
pub use show::{ConnectionCounts, ConnectionShown, ScimGroupLine, TokenShown, UnlinkedPerson};
