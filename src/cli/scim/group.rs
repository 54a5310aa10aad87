//! `portctl scim group`

use clap::Subcommand;

use crate::{
    base::Result,
    cli::{Context, DONE, Table},
    client::ConnectionGroup,
};

/// Groups as identity providers say them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the groups of a connection; what stands under GROUP is what files declare as `id`.
    List {
        /// The connection.
        connection: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let Self::List { connection } = self;
        let groups = context.client()?.connection_groups(&connection).await?;
        context.output.show(&groups, |groups| table(groups))?;
        Ok(DONE)
    }
}

fn table(groups: &[ConnectionGroup]) -> Table {
    Table::new(&["GROUP", "NAME", "MEMBERS"])
        .with(groups.iter().map(|it| vec![it.group.clone(), it.display_name.clone(), it.members.to_string()]))
}
