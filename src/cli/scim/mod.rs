//! `portctl scim`

mod connection;
mod group;

use clap::Subcommand;

use super::Context;
use crate::base::Result;

/// Who works here, as identity providers say by SCIM.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connections by which they say it.
    #[command(subcommand)]
    Connection(connection::Command),
    /// Groups as they say them.
    #[command(subcommand)]
    Group(group::Command),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        match self {
            Self::Connection(it) => it.run(context).await,
            Self::Group(it) => it.run(context).await,
        }
    }
}
