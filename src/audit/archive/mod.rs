//! Archives: entries that are older than the set age move out of the database, with what lies beside them,
//! to files or to S3, where they are verified on their own.
//!
//! What moves are rows of `entries` and `openings`, 256 entries at a time and more. What stays are the
//! tiles, so that every proof can be made and the tree be verified, and the few entries that say what was
//! forgotten or moved, or which key takes over. Readers of [`Entries`] do not notice the difference; pages that are searched by
//! columns say which entries they did not search.

pub(super) mod forget;
mod place;
mod plan;
pub(super) mod ranges;
mod read;
mod run;
mod units;
mod write;

pub use place::Archive;
pub use ranges::ArchivedRange;
pub use read::Entries;
pub(super) use read::{Which, no_archive};
pub use run::{Archivist, ArchivistParts, Stepped};
pub(super) use units::ARCHIVED;
