//! `portctl request`

mod create;

use clap::{Args, Subcommand, ValueEnum};

use super::{Context, DONE, Table};
use crate::{
    base::Result,
    client::{Request, Verdict},
};

/// Ask for a trust scope for a while, and say yes or no to others.
#[derive(Debug, Subcommand)]
pub enum Command {
    Create(create::Command),
    /// List requests.
    List {
        /// Your own, or those that wait for you.
        #[arg(long)]
        role: Option<Role>,
        /// Of one state only: pending, approved, denied, cancelled, expired or withdrawn.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one.
    Show {
        /// Its id.
        id: String,
    },
    /// Say yes.
    Approve(Decide),
    /// Say no.
    Deny(Decide),
    /// Take your own back.
    Cancel(Decide),
}

/// Whose requests.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Role {
    /// Your own.
    Mine,
    /// Those that you can decide.
    ToDecide,
}

/// Which request, and why.
#[derive(Debug, Args)]
pub struct Decide {
    /// Its id.
    id: String,
    /// Why; stands in the log.
    #[arg(long)]
    reason: Option<String>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        match self {
            Self::Create(it) => it.run(context).await,
            Self::List { role, state } => {
                let role = role.map(|role| match role {
                    Role::Mine => "mine",
                    Role::ToDecide => "to-decide",
                });
                let requests = context.client()?.requests(role, state.as_deref()).await?;
                context.output.show(&requests, |requests| table(requests))?;
                Ok(DONE)
            }
            Self::Show { id } => {
                let request = context.client()?.request_by_id(&id).await?;
                context.output.show(&request, |request| table(std::slice::from_ref(request)))?;
                Ok(DONE)
            }
            Self::Approve(it) => it.run(context, Verdict::Approve).await,
            Self::Deny(it) => it.run(context, Verdict::Deny).await,
            Self::Cancel(it) => it.run(context, Verdict::Cancel).await,
        }
    }
}

impl Decide {
    async fn run(self, context: &Context, verdict: Verdict) -> Result<u8> {
        let request = context.client()?.decide(&self.id, verdict, self.reason.as_deref()).await?;
        context.output.show(&request, |request| table(std::slice::from_ref(request)))?;
        Ok(DONE)
    }
}

fn table(requests: &[Request]) -> Table {
    Table::new(&["REQUEST", "BY", "TRUST SCOPE", "AT", "FOR", "STATE", "REASON"]).with(requests.iter().map(
        |it| {
            vec![
                it.id.as_str(),
                &it.person.display_name,
                &it.scope,
                &it.at,
                &it.length,
                &it.state,
                &it.reason,
            ]
        },
    ))
}
