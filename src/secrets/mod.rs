//! Secrets: engines, immutable versions, and who came to know which value.

mod remote;
pub mod vault;

pub use remote::{Place, RemoteEngine, Stored};
