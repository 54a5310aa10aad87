//! Forwarding: sends signed entries on to where the configuration says, such as a SIEM, in order and at
//! least once, by a cursor in the database. Nothing waits for a receiver: one that is dead loses nothing,
//! since the log itself is what waits to be sent.

mod batch;
mod begin;
mod rows;
mod run;
mod target;

pub use batch::ForwardHeader;
pub use run::{Forwarder, ForwarderParts};
