//! Puts the rooms together: from a configuration to a running server, and the other commands of
//! `port-control` on the server's own machine.

mod address_book;
mod check;
mod log_keys;
mod open;
mod pin;
mod recover;
mod recover_access;
mod room;
mod rotate_key;
mod run;
mod serve;
mod started;
mod vault_policy;

use std::path::Path;

pub use check::{Checked, check, verdict};
pub use log_keys::{retire_log_key, rotate_log_key};
pub use open::{Opening, Server};
pub use recover::{Outcome, Wish, recover};
pub use recover_access::recover_access;
pub use rotate_key::rotate_key;
pub use serve::{migrate, serve, stop_on_signal};
pub use vault_policy::{WhosePolicy, vault_policy};

use crate::base::{Config, Result};

/// Reads the configuration of a file and of this process's environment.
///
/// # Errors
/// `invalid-configuration` with every finding.
pub fn configuration(file: &Path) -> Result<Config> {
    Config::load(file, std::env::vars())
}
