//! `portctl grant`

use clap::Subcommand;

use super::{Context, DONE, Table};
use crate::{base::Result, client::Grant};

/// Trust scopes that you hold for a while.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List your grants.
    List,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let Self::List = self;
        let grants = context.client()?.grants().await?;
        context.output.show(&grants, |grants| grants_table(grants))?;
        Ok(DONE)
    }
}

/// Grants as a table.
pub(super) fn grants_table(grants: &[Grant]) -> Table {
    Table::new(&["GRANT", "TRUST SCOPE", "AT", "ENDS", "ENDED"]).with(grants.iter().map(|it| {
        let ended = it.ended_because.as_deref().or(it.ended_at.as_deref()).unwrap_or("-");
        vec![it.id.as_str(), &it.scope, &it.at, &it.ends_at, ended]
    }))
}
