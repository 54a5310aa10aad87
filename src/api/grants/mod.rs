//! Grants.

pub mod list;
