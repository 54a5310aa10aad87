//! `portctl secret`

mod change;
mod generate;
mod get;
mod list;
mod rollback;
mod set;
mod versions;

use clap::Subcommand;

use super::{Context, output::Output, printable};
use crate::{
    base::Result,
    client::{SecretChange, VersionMade},
};

/// Secrets: `APPLICATION/ENVIRONMENT[@TEAM]/NAME`.
#[derive(Debug, Subcommand)]
pub enum Command {
    Set(set::Command),
    Generate(generate::Command),
    Get(get::Command),
    List(list::Command),
    Versions(versions::Command),
    Rollback(rollback::Command),
    /// Hide a version; it can be had back.
    Delete(change::Command),
    /// Have a deleted version back.
    Undelete(change::Command),
    /// Make a version's value gone for good.
    Destroy(change::Destroy),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        match self {
            Self::Set(it) => it.run(context).await,
            Self::Generate(it) => it.run(context).await,
            Self::Get(it) => it.run(context).await,
            Self::List(it) => it.run(context).await,
            Self::Versions(it) => it.run(context).await,
            Self::Rollback(it) => it.run(context).await,
            Self::Delete(it) => it.run(context, SecretChange::Delete).await,
            Self::Undelete(it) => it.run(context, SecretChange::Undelete).await,
            Self::Destroy(it) => it.run(context).await,
        }
    }
}

/// Tells the version that was made.
fn tell_made(output: Output, made: &VersionMade) -> Result<()> {
    output.tell(made, |it| {
        let equal = if it.equal_to_previous { ", equal to the one before" } else { "" };
        format!("{}: version {}{equal}\n", printable(&it.name), it.version)
    })
}
