//! Port Control: people get, use and lose access to secrets without anyone running after them.
//!
//! One folder is one room; a room uses only rooms above it in this list. `docs/architecture.md` tells
//! what each is for, and a test holds the order.

pub mod access;
pub mod api;
pub mod audit;
pub mod base;
pub mod broker;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod dashboard;
pub mod dev;
pub mod identity;
pub mod keys;
pub mod notify;
pub mod policy;
pub mod recovery;
pub mod revocation;
pub mod secrets;
pub mod server;
pub mod store;
