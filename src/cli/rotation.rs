//! `portctl rotation`

use clap::{Subcommand, ValueEnum};

use super::{Context, DONE, Table};
use crate::{base::Result, client::RotationTask};

/// Values that leavers know and that are still good for something.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List rotation tasks.
    List {
        /// Of one state only.
        #[arg(long)]
        state: Option<State>,
    },
}

/// How a task stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum State {
    /// To be done.
    Open,
    /// Done.
    Closed,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let Self::List { state } = self;
        let tasks = context.client()?.rotation(state.map(State::as_str)).await?;
        context.output.show(&tasks, |tasks| tasks_table(tasks))?;
        Ok(DONE)
    }
}

/// Rotation tasks as a table.
pub(super) fn tasks_table(tasks: &[RotationTask]) -> Table {
    Table::new(&["TASK", "SECRET", "STATE", "OPENED", "CLOSED"]).with(tasks.iter().map(|it| {
        vec![it.id.as_str(), &it.secret, &it.state, &it.opened_at, it.closed_at.as_deref().unwrap_or("-")]
    }))
}
