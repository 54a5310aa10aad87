//! Witnesses (C2SP tlog-witness): third parties that cosign the log's checkpoints after having seen that
//! each grew out of the one before. Who asks for a quorum of cosignatures cannot be shown another log
//! than everybody else.
//!
//! A checkpoint is published when it is signed, and cosignatures are added as they come: nothing here
//! waits for a witness. [`policy`] says how many it takes until a checkpoint counts as witnessed.

mod cosignature;
mod kept;
mod key;
mod offer;
pub mod policy;
mod run;

pub use cosignature::Cosignature;
pub(super) use kept::{Stored, newest};
pub use kept::{newest_note, note_for_export, witnessed_note};
pub use key::WitnessKey;
pub use policy::{WitnessPolicy, Witnessed};
pub use run::Witnesses;
