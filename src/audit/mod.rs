//! The log, and the only way to write: nothing changes without its entry (invariant 2).
//!
//! [`Log::perform`] takes a [`Unit`] of work, runs it together with whatever else waits in one
//! transaction, appends the entries in that order, commits once, and wakes everybody. So commit order
//! is log order, a lone client pays one fdatasync, and a thousand share it.

pub mod archive;
pub mod bundle;
pub mod checkpoint;
mod claim;
pub mod csv;
mod entry;
pub mod export;
pub mod forget;
pub mod forgotten;
pub mod forward;
mod history;
mod log;
mod log_keys;
pub mod note;
pub mod opened;
mod outward;
pub mod pin;
pub mod proof;
#[cfg(test)]
mod properties;
pub mod read;
pub mod retention;
mod signer;
#[cfg(test)]
mod tests;
pub mod tile;
mod tree;
mod unit;
pub mod unknown;
pub mod verify;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use claim::Claim;
pub use entry::{Draft, EntryKind, Opening};
pub use log::{Head, Log};
pub use log_keys::{LogKeys, signing_verifiers, verifiers};
pub use note::VerifierKey;
pub use pin::Pin;
pub use signer::Signer;
pub use tree::{Edge, Hash, leaf_hash, node_hash};
pub use unit::{Authority, FactsOfNow, IntentOutcome, Unit, Work};
